"""Notes of tables on their rows and cells: footnotes, the columns of context, and remarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import join_some
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.metrics import METRICS, Averaging
from bgsub_lightning.report.datasets import dataset_remarks, dataset_title, departures
from bgsub_lightning.report.published import Printed, PublishedRow, PublishedTable
from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow
from bgsub_lightning.report.series import MeanSd, Series, tests_of
from bgsub_lightning.splits import Leakage

AVERAGING_TEXT: dict[Averaging, str] = {
    "video": "averaged over videos",
    "pooled": "counts pooled by category",
    "frames": "all frames' counts together",
}

CONTEXT = (
    Column("source", "source", None, is_context=True),
    Column("protocol", "protocol", None, is_context=True),
    Column("averaging", "averaging", None, is_context=True),
    Column("leakage", "training has seen", None, is_context=True),
)
"""The columns that say of what kind a row is."""

SYSTEM = Column("system", "system", None)
ARITHMETIC = (
    "GFLOP: billions of operations of convolutions and products of matrices, 2 for each multiply-add, without what is "
    "computed once per scene or loaded with a frame, such as optical flow."
)
"""Text of the column of that name."""
_NOTES = {
    "other_averaging": "averaged otherwise than ours",
    "unknown_averaging": "averaging is not stated",
    "other_leakage": "unlike ours",
    "with_training_frames": "unlike ours: metrics are no measure of generalisation",
    "undefined": "0/0 in a video: undefined ratios count as perfect",
    "binary_truth": "some masks have no unknown band at the boundaries of moving objects: of lower fidelity",
    "best_on_test": "threshold chosen on the test frames: optimistic, no measure of generalisation",
    "mean_of_printed": "mean over the printed categories; the paper prints none",
}


class Footnotes:
    """Footnotes of cells: their names and texts, by comparison with our first system."""

    def __init__(self, ours: Sequence[Series]) -> None:
        self.ours, self.dataset = ours, _title(ours)
        self.texts = dict(_NOTES)
        self.undefined = {each.name: [scores.undefined for scores in each.scores()] for each in ours}

    def table(
        self,
        key: str,
        title: str,
        columns: Sequence[Column],
        rows: Iterable[TableRow],
        before: Iterable[str] = (),
        after: Iterable[str] = (),
    ) -> ResultTable:
        """Make a table, with the columns of context, footnotes, and remarks before and after those of the tests."""
        remarks = (*before, *self.remarks, *after)
        return ResultTable(key, title, (*columns, *CONTEXT), tuple(rows), self.texts, remarks)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Notes on the extent of the tests, their own notes, seeds and folds."""
        remarks = dataset_remarks(tests_of(self.ours))
        for each in self.ours:
            own = dict.fromkeys(whole.remark for whole in each.per_seed if whole.remark)
            remarks += [f"{each.name}: {text}" for text in own]
            if len(each.per_seed) > 1:
                remarks.append(f"{each.name}: mean ± standard deviation over {len(each.per_seed)} seeds.")
            if not each.missing and (folds := each.over_folds().get("f_measure")):
                spread = f"{folds.mean:.4f} ± {folds.sd:.4f}"
                remarks.append(
                    f"{each.name}: F-measure by fold {spread} (mean and standard deviation over {folds.count} folds)."
                )
        return tuple(remarks)

    def name(self, series: Series, with_training: bool = False) -> Cell:
        """Name a system, and mark what keeps it from being compared with the first."""
        footnotes = []
        first = self.ours[0]
        if series.frames != first.frames:
            footnotes.append(self._note(f"tested on other frames than {first.name}: not comparable with it"))
        elif series.protocol_name != first.protocol_name:
            footnotes.append(self._note(f"another protocol than that of {first.name}"))
        own = len(series.frames) - len(departures(series.per_seed))
        if series.dataset == "CDnet2014" and 0 < own < len(published_videos()):
            footnotes.append(self._note(f"on {own} of the {len(published_videos())} videos"))
        if series.partial:
            names = join_some([f"{count} frames of {key}" for key, count in sorted(series.partial.items())], most=3)
            footnotes.append(self._note(f"partial: {names} were not scored"))
        return Cell(
            text=f"{series.name}, with training frames" if with_training else series.name, footnotes=tuple(footnotes)
        )

    def context(self, series: Series, averaging: str, with_training: bool) -> tuple[Cell, ...]:
        """Fill the columns of context; ``averaging`` in words."""
        leakage: Leakage = "includes training frames" if with_training else series.leakage
        texts = (f"ours ({series.system})", series.protocol, averaging, leakage_text(leakage))
        return tuple(Cell(text=text) for text in texts)

    def context_of(self, table: PublishedTable, row: PublishedRow, averagings: Sequence[Averaging]) -> tuple[Cell, ...]:
        """Fill them for a published row, with footnotes where it differs from ours: the same system's, or else all."""
        ours = [each for each in self.ours if each.system == row.system] or self.ours
        source, protocol, leakage = (
            Cell(text=table.source),
            Cell(text=row.protocol),
            Cell(text=leakage_text(row.leakage)),
        )
        if row.leakage is not None and row.leakage not in {each.leakage for each in ours}:
            is_training = row.leakage == "includes training frames"
            leakage = replace(leakage, footnotes=("with_training_frames" if is_training else "other_leakage",))
        if row.averaging is None:
            averaging = Cell(text="not stated", footnotes=("unknown_averaging",))
        else:
            footnotes = () if row.averaging in averagings else ("other_averaging",)
            averaging = Cell(text=averaging_text(row.averaging), footnotes=footnotes)
        return source, protocol, averaging, leakage

    def overall(
        self, series: Series, averaging: Averaging, with_training: bool, of_part: bool = False
    ) -> dict[str, Cell]:
        """Return the cell of each overall metric, none of a series that is not whole; and of what the system costs."""
        count = series.parameters
        costs = {
            "frames_per_second": cell_of(series.frames_per_second),
            "parameters": Cell() if count is None else Cell(count, text=f"{count:,}"),
            "gflop_per_frame": Cell(series.gflop_per_frame),
        }
        if not (series.extent.is_whole or of_part):
            note = self._note(series.extent.note)
            return {metric: Cell(footnotes=(note,)) for metric in (*METRICS, "mean_dice")} | costs
        found = series.over_tested(averaging, with_training)
        footnotes = {"precision": self._silent(series, list(series.frames))}
        metrics = dict.fromkeys([*found, "precision"])
        return {metric: cell_of(found.get(metric), footnotes.get(metric, ())) for metric in metrics} | costs

    def of_part(self, series: Series, part: str, metric: str) -> tuple[str, ...]:
        """Return the footnotes of a category's or a sequence's cell."""
        keys = [key for key in series.frames if part in (key.split("/")[0], key.partition("/")[2])]
        footnotes = self.of_videos(series, keys, metric)
        if series.missing:
            footnotes += (self._note(f"of the part that was tested, without {', '.join(series.missing)}"),)
        return footnotes

    def of_videos(self, series: Series, keys: Sequence[str], metric: str) -> tuple[str, ...]:
        """Return the footnotes of a cell that is of these videos."""
        footnotes: list[str] = []
        if metric == "precision":
            footnotes += self._silent(series, keys)
        elif any(metric in undefined.get(key, ()) for undefined in self.undefined[series.name] for key in keys):
            footnotes.append("undefined")
        if any(whole.videos[key].binary_truth for whole in series.per_seed for key in keys if key in whole.videos):
            footnotes.append("binary_truth")
        return tuple(footnotes)

    def _silent(self, series: Series, keys: Sequence[str]) -> tuple[str, ...]:
        """Count the videos that have no precision."""
        found = {key for of_one in self.undefined[series.name] for key in keys if "precision" in of_one.get(key, ())}
        if not found:
            return ()
        if len(keys) == 1:
            return (self._note("nothing was called foreground: there is no precision"),)
        return (
            self._note(
                f"nothing was called foreground in {len(found)} of {len(keys)} videos, which have no precision and are "
                f"left out of its mean"
            ),
        )

    def _note(self, text: str) -> str:
        self.texts[text] = text
        return text


def _title(series: Sequence[Series]) -> str:
    """Name the one dataset of a table.

    Raises:
        UserError: If there are several.
    """
    if not series:
        raise ValueError("a table needs at least one system")
    names = list(dict.fromkeys(each.dataset for each in series))
    if len(names) > 1:
        raise UserError(f"A table is of one dataset, and these tests are of {', '.join(names)}. Report each by itself.")
    return dataset_title(tests_of(series))


def averaging_text(averaging: str | None) -> str:
    """Say how metrics come about, in the words of tables."""
    return AVERAGING_TEXT.get(cast(Averaging, averaging), averaging or "averaging is not stated")


def leakage_text(leakage: Leakage | None) -> str:
    """Say what training has seen, in the words of tables."""
    if leakage in (None, "unknown"):
        return "what training has seen is not " + ("stated" if leakage is None else "known")
    return str(leakage)


def cell_of(metric: MeanSd | None, footnotes: tuple[str, ...] = ()) -> Cell:
    """Return the cell of a metric; one without a number if there is none."""
    if metric is None:
        return Cell(footnotes=footnotes)
    return Cell(metric.mean, metric.sd, metric.count, footnotes=footnotes)


def printed_cell(number: Printed | None) -> Cell:
    """Show a number with the digits that are printed, and a percentage as a fraction where ours are fractions."""
    return Cell() if number is None else Cell(number.value, text=f"{number.value:.{number.digits}f}")


def method_name(table: PublishedTable, row: PublishedRow) -> str:
    """Return what tables call a published method."""
    return f"{table.paper} (“ours”)" if row.method == "ours" else row.method
