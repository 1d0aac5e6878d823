"""Tables in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich import box
from rich.table import Table

from bgsub_lightning.metrics.scenes import Averaging
from bgsub_lightning.results.testresult import TestResult

_AVERAGING: dict[Averaging, str] = {
    "video": "Figures by video, averaged by category, then over the categories (CDnet's averaging).",
    "pooled": "Counts of all frames of a category together, then averaged over the categories (pooled).",
}
_SHOWN = (("recall", "Recall", 4), ("precision", "Precision", 4), ("f_measure", "F-measure", 4), ("pwc", "PWC", 3))


def table(results: Sequence[TestResult], by_video: bool = False, averaging: Averaging = "video") -> Table:
    """Lay out the first result by category (or by video), with the F-measures of the others beside it.

    Args:
        results: What tests found, on the same videos.
        by_video: A row for each video as well.
        averaging: How a category's figures come about.
    """
    first, *others = results
    scores = first.scores(averaging)
    other_scores = [result.scores(averaging) for result in others]
    shown = Table(
        title=f"{first.name} on {first.dataset}, {first.protocol}: {first.leakage}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        pad_edge=False,
    )
    shown.add_column("category")
    shown.add_column("videos", justify="right")
    for _, heading, _ in _SHOWN:
        shown.add_column(heading, justify="right")
    for other in others:
        mark = "" if other.leakage == "unseen scenes" else f" ({other.leakage})"
        shown.add_column(f"F of {other.name}{mark}", justify="right")

    def row(name: str, videos: str, figures: dict[str, float], rest: Sequence[dict[str, float]]) -> None:
        cells = [f"{figures[key]:.{digits}f}" if figures else "–" for key, _, digits in _SHOWN]
        beside = [f"{other['f_measure']:.4f}" if other else "–" for other in rest]
        shown.add_row(name, videos, *cells, *beside)

    def marks(keys: Sequence[str]) -> str:
        undefined = any(key in scores.undefined for key in keys)
        return (" *" if undefined else "") + (" †" if any(first.videos[key].binary_truth for key in keys) else "")

    for category, figures in scores.categories.items():
        members = [key for key in scores.videos if key.split("/")[0] == category]
        mark = marks(members)
        beside = [other.categories.get(category, {}) for other in other_scores]
        row(category + mark, str(len(members)), figures, beside)
        if by_video:
            for key in members:
                beside = [other.videos.get(key, {}) for other in other_scores]
                row(f"  {key.split('/')[1]}{marks([key])}", "", scores.videos[key], beside)
    shown.add_section()
    row("overall", str(len(scores.videos)), scores.overall, [other.overall for other in other_scores])
    notes = [_AVERAGING[averaging]]
    if scores.undefined:
        notes.append(
            "* a figure is 0/0 in a video: there is nothing that it could count, and it is taken to be without error."
        )
    if any(video.binary_truth for video in first.videos.values()):
        notes.append(
            "† some masks have no unknown band at the boundaries of moving objects: figures of lower fidelity."
        )
    if first.remark:
        notes.append(first.remark)
    if first.training_frames:
        overall = first.scores_with_training(averaging).overall
        both = f"F {overall['f_measure']:.4f}, PWC {overall['pwc']:.3f}"
        notes.append(f"With the {first.training_frames} training frames, as the papers score: {both}.")
    draws = [draw.overall["f_measure"] for draw in first.scores_of_draws()]
    if len(draws) > 1:
        spread = statistics.stdev(draws)
        single = f"single draws: F {min(draws):.4f} to {max(draws):.4f}, standard deviation {spread:.4f}"
        notes.append(f"{len(draws)} draws of references averaged; {single}.")
    shown.caption = "\n".join(notes)
    shown.caption_justify = "left"
    return shown
