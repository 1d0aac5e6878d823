"""The tables of papers, made of tests: by category or sequence, overall, by video, at thresholds, ablations, speed."""

from __future__ import annotations

from collections.abc import Sequence

from bgsub_lightning.metrics.scenes import Averaging
from bgsub_lightning.results.collection import Collection, Series
from bgsub_lightning.results.published import PublishedTable
from bgsub_lightning.results.resulttable import Column, ResultTable

FIGURE_COLUMNS = {
    column.key: column
    for column in (
        Column("recall", "Recall", 4, "higher"),
        Column("specificity", "Specificity", 4, "higher"),
        Column("fpr", "FPR", 4, "lower"),
        Column("fnr", "FNR", 4, "lower"),
        Column("pwc", "PWC", 3, "lower", "%"),
        Column("precision", "Precision", 4, "higher"),
        Column("f_measure", "F-measure", 4, "higher"),
        Column("mean_dice", "Mean Dice", 4, "higher"),
        Column("frames_per_second", "Frames/s", 1, "higher"),
    )
}
"""Figure → the column of it."""

SEVEN = ("recall", "specificity", "fpr", "fnr", "pwc", "precision", "f_measure")


def by_part(
    series: Sequence[Series],
    figure: str = "f_measure",
    averaging: Averaging = "video",
    against: Sequence[PublishedTable] = (),
) -> ResultTable:
    """One figure: a row for each system, a column for each category (or sequence, where there is one category)."""
    raise NotImplementedError


def overall(
    series: Sequence[Series],
    figures: Sequence[str] = (*SEVEN, "mean_dice"),
    averagings: Sequence[Averaging] = ("video", "pooled"),
    against: Sequence[PublishedTable] = (),
) -> ResultTable:
    """All figures overall: a row for each system and averaging."""
    raise NotImplementedError


def of_system(series: Series, averaging: Averaging = "video", by_video: bool = False) -> ResultTable:
    """All figures of one system: a row for each category (and each video), and overall."""
    raise NotImplementedError


def by_video(series: Sequence[Series], figure: str = "f_measure") -> ResultTable:
    """One figure: a row for each video, a column for each system."""
    raise NotImplementedError


def at_thresholds(series: Sequence[Series], averaging: Averaging = "video") -> ResultTable:
    """Overall F-measure: a row for each system, a column for each of some thresholds, and the best."""
    raise NotImplementedError


def ablation(
    series: Sequence[Series],
    figures: Sequence[str] = ("f_measure", "mean_dice"),
    averaging: Averaging = "video",
    against: Sequence[PublishedTable] = (),
) -> ResultTable:
    """Overall figures: a row for each setting of one system, with what differs in their configurations."""
    raise NotImplementedError


def speed(series: Sequence[Series], against: Sequence[PublishedTable] = ()) -> ResultTable:
    """Frames per second with the device, beside the F-measure: a row for each system."""
    raise NotImplementedError


def tables_of(collection: Collection) -> list[ResultTable]:
    """All tables that the tests of a collection can fill, ours beside the published."""
    raise NotImplementedError
