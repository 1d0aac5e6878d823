"""Tables in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.table import Table

from bgsub_lightning.results.testresult import TestResult

_SHOWN = (("recall", "Recall", 4), ("precision", "Precision", 4), ("f_measure", "F-measure", 4), ("pwc", "PWC", 3))


def table(results: Sequence[TestResult], by_video: bool = False) -> Table:
    """Lay out the first result by category (or by video), with the F-measures of the others beside it.

    Args:
        results: What tests found, on the same videos.
        by_video: A row for each video as well.
    """
    first, *others = results
    scores = first.scores()
    other_scores = [result.scores() for result in others]
    shown = Table(
        title=f"{first.system} ({first.name}) on {first.dataset}, fold {first.fold}: {first.leakage}",
        title_justify="left",
        title_style="bold",
    )
    shown.add_column("category")
    shown.add_column("videos", justify="right")
    for _, heading, _ in _SHOWN:
        shown.add_column(heading, justify="right")
    for other in others:
        shown.add_column(f"F of {other.name}", justify="right")

    def row(name: str, videos: str, figures: dict[str, float], rest: Sequence[dict[str, float]], mark: str = "") -> None:
        cells = [f"{figures[key]:.{digits}f}" for key, _, digits in _SHOWN]
        beside = [f"{other['f_measure']:.4f}" if other else "–" for other in rest]
        shown.add_row(name + mark, videos, *cells, *beside)

    for category, figures in scores.categories.items():
        members = [key for key in scores.videos if key.split("/")[0] == category]
        mark = " *" if any(key in scores.undefined for key in members) else ""
        row(category, str(len(members)), figures, [other.categories.get(category, {}) for other in other_scores], mark)
        if by_video:
            for key in members:
                beside = [other.videos.get(key, {}) for other in other_scores]
                row(f"  {key.split('/')[1]}", "", scores.videos[key], beside, " *" if key in scores.undefined else "")
    shown.add_section()
    row("overall", str(len(scores.videos)), scores.overall, [other.overall for other in other_scores])
    notes = ["Figures by video, averaged by category, then over the categories (CDnet's averaging)."]
    if scores.undefined:
        notes.append("* 0/0 in a video, which counts as no error made.")
    draws = [draw.overall["f_measure"] for draw in first.scores_of_draws()]
    if len(draws) > 1:
        spread = statistics.stdev(draws)
        notes.append(f"{len(draws)} draws of references averaged; single: F {min(draws):.4f}–{max(draws):.4f}, σ {spread:.4f}.")
    shown.caption = "\n".join(notes)
    shown.caption_justify = "left"
    return shown
