"""The figures of the page: curves over thresholds, speed, and curves of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.report.curves import precision_recall_figure, threshold_figure
from bgsub_lightning.report.datasets import dataset_title
from bgsub_lightning.report.figures import curves_figure, speed_figure
from bgsub_lightning.report.learning import Curve, learning_curves
from bgsub_lightning.report.page.pictures import drawing
from bgsub_lightning.report.series import Series
from bgsub_lightning.report.thresholds import ThresholdCurve

_MOST_LINES = 10  # of a figure of learning curves, above which it is not legible


@dataclass
class Drawings:
    """Figures, messages where one cannot be drawn, and notes below them.

    Attributes:
        figures: Title and ``data:`` address of each.
    """

    figures: list[tuple[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, title: str, path: Path) -> None:
        """Add a figure that was written to a file."""
        self.figures.append((title, drawing(path)))


# --- thresholds, speed ------------------------------------------------------------------------------------------------


def draw_curves(folder: Path, series: Sequence[Series], datasets: Mapping[str, Sequence[TestResult]]) -> Drawings:
    """Draw F-measure against threshold, precision against recall, speed against F-measure; for each dataset.

    Args:
        folder: Where the files go.
        series: The systems.
        datasets: Dataset → what was found on it.
    """
    shown = Drawings()
    for number, (dataset, results) in enumerate(datasets.items()):
        title = dataset_title(results)
        of = f" on {title}" if len(datasets) > 1 or title != dataset else ""
        suffix = f"_{number + 1}" if len(datasets) > 1 else ""
        tested = [(place, each) for place, each in enumerate(series) if each.dataset == dataset]
        _draw_dataset(shown, folder, tested, of, suffix)
    if shown.figures:
        shown.notes.append(
            "CDnet's averaging. Dots: as tested; stars: best F-measure. A threshold that is read off these curves is "
            "chosen on the test frames: no measure of generalisation. AP: area under the steps of 101 thresholds. "
            "Frames per second include loading and counting, on the device that is named: they compare systems on one "
            "machine alone."
        )
    return shown


def _draw_dataset(shown: Drawings, folder: Path, tested: Sequence[tuple[int, Series]], of: str, suffix: str) -> None:
    curves: list[ThresholdCurve] = []
    speeds = []
    for place, each in tested:
        part = "" if each.extent.is_whole else f", {each.extent.name}"
        if part:
            shown.messages.append(f"Curves of the tested part: {each.extent.note}.")
        for whole in each.per_seed:
            name = (each.name if len(each.per_seed) == 1 else f"{each.name}, seed {whole.seed}") + part
            if whole.frames_per_second:
                f_measure = whole.scores().overall["f_measure"]
                speeds.append((f"{name} ({whole.device})", place, whole.frames_per_second, f_measure))
            if not all(video.threshold_counts for video in whole.videos.values()):
                shown.messages.append(f"{name} has no curves: its test kept no counts at thresholds.")
                continue
            curves.append(ThresholdCurve.of(whole, place=place, name=name))
            if not curves[-1].precision:
                shown.messages.append(f"{name} has no precision: it calls nothing foreground at any threshold.")
    if curves:
        path = folder / f"threshold{suffix}.svg"
        threshold_figure(path, curves, within=folder.parent)
        shown.add(f"F-measure against threshold{of}", path)
        path = folder / f"precision_recall{suffix}.svg"
        precision_recall_figure(path, curves, within=folder.parent)
        shown.add(f"Precision against recall{of}", path)
    if speeds:
        path = folder / f"speed{suffix}.svg"
        extent = " or ".join(dict.fromkeys(each.extent.name for _, each in tested))
        speed_figure(path, speeds, f"F-measure, {extent}")
        shown.add(f"Speed against F-measure{of}", path)
    if len({tuple(sorted(whole.frames.items())) for _, each in tested for whole in each.per_seed}) > 1:
        shown.notes.append(
            f"The systems{of} were not all tested on the same frames, so their curves are not strictly comparable."
        )


# --- learning ---------------------------------------------------------------------------------------------------------


def draw_learning(folder: Path, series: Sequence[Series]) -> Drawings:
    """Draw F-measure in validation and the loss of all systems; then the terms of each system's loss.

    Args:
        folder: Where the files go.
        series: The systems.
    """
    shown = Drawings()
    logged: list[tuple[str, int, dict[str, Curve]]] = []
    for place, each in enumerate(series):
        found = [(each.name_of(run), place, learning_curves(run.folder)) for run in each.runs]
        logged += [line for line in found if line[2]]
    trained = {place for _, place, _ in logged}
    if without := [each.name for place, each in enumerate(series) if place not in trained]:
        shown.messages.append(
            f"No training was logged beside the tests of {', '.join(without)}: systems without training have none, and "
            f"`test` with another --run_dir than `fit` leaves the logs there."
        )
    for key, label, title in (
        ("val/f_measure", "F-measure in validation", "Validation"),
        ("train/loss/total", "loss in training", "Training"),
    ):
        having = [(name, place, curves[key]) for name, place, curves in logged if key in curves]
        for part in range(0, len(having), _MOST_LINES):
            lines = {name: (place, curve) for name, place, curve in having[part : part + _MOST_LINES]}
            path = folder / f"learning_{key.split('/')[-1]}_{part // _MOST_LINES + 1}.svg"
            curves_figure(path, lines, label, unit=key.startswith("val"), logarithmic=key.startswith("train"))
            shown.add(title, path)
    seen = set()
    for name, place, curves in logged:
        losses = [(i, key) for i, key in enumerate(curves) if key.startswith("train/loss/")]
        if place not in seen and len(losses) > 2:  # one term is the total
            seen.add(place)
            path = folder / f"learning_terms_{place + 1}.svg"
            terms = {key.removeprefix("train/loss/"): (i, curves[key]) for i, key in losses}
            curves_figure(path, terms, "loss in training", logarithmic=True)
            shown.add(f"Terms of the loss: {name}", path)
    if shown.figures:
        shown.notes.append("Long curves are averaged to 300 points. Validation sees no test frame.")
    return shown
