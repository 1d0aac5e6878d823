"""Two systems over the same videos: is one of them better?

The difference is taken video by video, so that what makes a video hard for both falls out. The interval of its mean is
B. Efron's bias-corrected and accelerated bootstrap ("Better bootstrap confidence intervals", JASA 1987); the test is F.
Wilcoxon's signed-rank test ("Individual comparisons by ranking methods", Biometrics Bulletin 1945).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import join_some
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.evaluation import read_frames
from bgsub_lightning.report.datasets import dataset_remarks
from bgsub_lightning.report.merge import require_equal_frames
from bgsub_lightning.report.resulttable import METRIC_COLUMNS, Cell, Column, ResultTable, TableRow
from bgsub_lightning.report.series import Series, tests_of

LEVEL = 0.95
"""Of the interval; the test's p is held against the rest, 0.05."""

RESAMPLES = 9_999

FEWEST = 6
"""Pairs with a difference, of which Wilcoxon's exact p can fall below 0.05: with n pairs it is 2¹⁻ⁿ at least."""


@dataclass(frozen=True)
class Comparison:
    """Two systems over the same videos.

    Attributes:
        first: Name of the one.
        second: Name of the other.
        metric: One of :data:`bgsub_lightning.report.resulttable.METRIC_COLUMNS`.
        values: ``category/name`` → the metric of both, the mean over their seeds.
        by_category: Whether the mean is over the categories' means, and categories are drawn before their videos.
        mean: Mean difference, first − second.
        interval: Of the mean, at :data:`LEVEL`; ``None`` where there is too little to draw from.
        p_value: Of Wilcoxon's signed-rank test, two-sided; ``None`` if no pair has a difference.
        pairs: Pairs with a difference, which the test looks at.
        exact: Whether p is exact rather than a normal approximation.
        remarks: What a reader must know as well.
    """

    first: str
    second: str
    metric: str
    values: Mapping[str, tuple[float, float]]
    by_category: bool
    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    pairs: int
    exact: bool
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """State in one sentence what the comparison establishes."""
        column = METRIC_COLUMNS[self.metric]
        digits = column.digits or 0
        over = f"over {len(self.values)} video{'s' if len(self.values) != 1 else ''}"
        if self.by_category:
            over += f" of {len({key.split('/')[0] for key in self.values})} categories"
        found = f"mean difference in {column.heading} {self.mean:+.{digits}f} ({self.first} − {self.second})"
        interval = ""
        if self.interval is not None:
            low, high = self.interval
            interval = f" ({100 * LEVEL:.0f} % interval {low:+.{digits}f} to {high:+.{digits}f})"
        if self.p_value is None:
            return (
                f"{self.first} and {self.second} do not differ {over}: no video has a difference in {column.heading}."
            )
        test = f"Wilcoxon p = {_p(self.p_value)}{' (exact)' if self.exact else ''}, {self.pairs} pairs"
        if self.pairs < FEWEST:
            return (
                f"Too few videos to decide: {found} {over}; with {self.pairs} pair{'s' if self.pairs != 1 else ''} "
                f"Wilcoxon's p cannot be below {_p(2 ** (1 - self.pairs))}, and {FEWEST} are needed for less than 0.05."
            )
        is_shown = self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)
        is_small = self.p_value < 1 - LEVEL
        if is_shown and is_small:
            first_is_better = (self.mean > 0) == (column.better == "higher")
            better, worse = (self.first, self.second) if first_is_better else (self.second, self.first)
            low, high = sorted(abs(bound) for bound in self.interval or ())
            by = f"{abs(self.mean):.{digits}f} ({100 * LEVEL:.0f} % interval {low:.{digits}f} to {high:.{digits}f})"
            return f"{better} is better than {worse}: its {column.heading} is {column.better} by {by} {over}; {test}."
        if is_shown or is_small:
            return (
                f"Interval and test disagree, so that no difference is established: {found}{interval} {over}; {test}."
            )
        return f"No difference is established: {found}{interval} {over}; {test}."


def compare(
    first: Series, second: Series, metric: str = "f_measure", by_category: bool = False, seed: int = 0
) -> Comparison:
    """Compare two systems video by video.

    Args:
        first: The one.
        second: The other, tested on the same frames.
        metric: One of :data:`bgsub_lightning.report.resulttable.METRIC_COLUMNS`, but for the speed.
        by_category: Take the mean over the categories' means, as CDnet's overall metric, and draw categories, then
            their videos: the interval then covers other categories as well. The test is over the videos in both cases.
        seed: Of the bootstrap.

    Raises:
        UserError: If they were not tested on the same frames, as far as is known, or lack the metric.
    """
    require_same_test(first, second)
    both = [{key: found.get(metric) for key, found in each.by_video().items()} for each in (first, second)]
    values: dict[str, tuple[float, float]] = {}
    for key in both[0]:
        a, b = (of_one[key] for of_one in both)
        if a is not None and b is not None:
            values[key] = (a.mean, b.mean)
        elif metric != "precision":
            name = (first if a is None else second).name
            raise UserError(f"{name}: its scores.json has no {METRIC_COLUMNS[metric].heading}. Run the test again.")
    silent = len(both[0]) - len(values)
    if not values:
        raise UserError(f"{first.name} and {second.name}: there is no video in which both found something.")
    differences = {key: a - b for key, (a, b) in values.items()}
    categories: dict[str, list[float]] = {}
    for key, difference in differences.items():
        categories.setdefault(key.split("/")[0], []).append(difference)
    groups = list(categories.values()) if by_category else [list(differences.values())]
    p_value, pairs, exact = _wilcoxon(list(differences.values()))
    return Comparison(
        first=first.name,
        second=second.name,
        metric=metric,
        values=values,
        by_category=by_category,
        mean=float(np.mean([np.mean(group) for group in groups])),
        interval=_interval_of_groups(groups, seed) if by_category else _interval(groups[0], seed),
        p_value=p_value,
        pairs=pairs,
        exact=exact,
        remarks=_remarks(first, second, silent),
    )


def require_same_test(first: Series, second: Series) -> None:
    """Check that two systems were tested on the same frames, so that their metrics can be compared as equals.

    The numbers of frames must agree; and where both tests have a frames.csv, so must the frames. Tests under
    different protocols are the same test only if that shows it, or if they are of all labelled frames of CDnet2014.

    Raises:
        UserError: If they were not, or it is not known.
    """
    names = f"{first.name} and {second.name}"
    require_equal_frames(names, (first.dataset, second.dataset), (first.frames, second.frames))
    ours, theirs = _frames(first), _frames(second)
    if ours and theirs:
        by_seed = ours.keys() == theirs.keys()
        pairs = (
            [(ours[seed], theirs[seed]) for seed in ours]
            if by_seed
            else [(a, b) for a in ours.values() for b in theirs.values()]
        )
        for a, b in pairs:
            if different := sorted({key for key, _ in a ^ b}):
                raise UserError(
                    f"{names} were tested on as many frames, but not on the same ({join_some(different)}; see "
                    f"frames.csv), so that they cannot be compared. Test both under one protocol, with the same seed."
                )
    elif first.protocol_name != second.protocol_name and not _tests_all_frames(first):
        raise UserError(
            f"{names} were tested under different protocols ({first.protocol_name}; {second.protocol_name}), and there "
            f"is no frames.csv next to both that shows the same frames. Test both under one protocol."
        )


def comparison_table(comparison: Comparison) -> ResultTable:
    """Lay out a comparison: a row for each video, the largest difference in favour of the first on top."""
    column = METRIC_COLUMNS[comparison.metric]
    sign = 1 if column.better == "higher" else -1
    ordered = sorted(comparison.values.items(), key=lambda item: (-sign * (item[1][0] - item[1][1]), item[0]))
    rows = [TableRow((Cell(text=key), Cell(a), Cell(b), Cell(a - b)), "video", "videos") for key, (a, b) in ordered]
    means = [float(np.mean(list(of_one))) for of_one in zip(*comparison.values.values(), strict=True)]
    if comparison.by_category:
        keys = {key.split("/")[0] for key in comparison.values}
        of_each = [[pair for key, pair in comparison.values.items() if key.split("/")[0] == each] for each in keys]
        means = [float(np.mean([np.mean([pair[i] for pair in of_one]) for of_one in of_each])) for i in (0, 1)]
    name = "mean over categories" if comparison.by_category else "mean over videos"
    rows.append(TableRow((Cell(text=name), *(Cell(mean) for mean in means), Cell(comparison.mean)), "overall", "mean"))
    better, worse = _counted(comparison)
    return ResultTable(
        key=f"comparison_{comparison.metric}",
        title=f"{column.heading} of {comparison.first} and {comparison.second}, video by video",
        columns=(
            Column("video", "video", None),
            replace(column, key="first", heading=comparison.first),
            replace(column, key="second", heading=comparison.second),
            replace(column, key="difference", heading="difference"),
        ),
        rows=tuple(rows),
        remarks=(
            comparison.verdict,
            f"{comparison.first} is better in {better} of {len(comparison.values)} videos, worse in {worse}.",
            *comparison.remarks,
        ),
    )


def comparisons_table(comparisons: Sequence[Comparison]) -> ResultTable:
    """Lay out comparisons of one system with several: a row for each of the others."""
    first = comparisons[0]
    column = METRIC_COLUMNS[first.metric]
    signed = replace(column, better=None)
    rows = []
    for each in comparisons:
        low, high = (Cell(bound) for bound in each.interval) if each.interval else (Cell(), Cell())
        better, worse = _counted(each)
        p_value = Cell(each.p_value, text="" if each.p_value is None else _p(each.p_value))
        counts = (Cell(float(better)), Cell(float(worse)))
        rows.append(
            TableRow((Cell(text=each.second), Cell(each.mean), low, high, p_value, *counts), "other", "comparisons")
        )
    return ResultTable(
        key=f"comparisons_{first.metric}",
        title=f"{column.heading} of {first.first} minus that of each other; videos: {len(first.values)}",
        columns=(
            Column("other", "other", None),
            replace(signed, key="difference", heading="mean difference"),
            replace(signed, key="low", heading=f"{100 * LEVEL:.0f} % from"),
            replace(signed, key="high", heading="to"),
            Column("p", "Wilcoxon p", 3),
            Column("better", "better in", 0),
            Column("worse", "worse in", 0),
        ),
        rows=tuple(rows),
        remarks=(
            *(each.verdict for each in comparisons),
            *(
                [f"{len(comparisons)} comparisons: about one in 20 would show a difference where there is none."]
                if len(comparisons) > 1
                else []
            ),
            *dict.fromkeys(remark for each in comparisons for remark in each.remarks),
        ),
    )


def _counted(comparison: Comparison) -> tuple[int, int]:
    """In how many videos the first is better, and worse."""
    sign = 1 if METRIC_COLUMNS[comparison.metric].better == "higher" else -1
    signed = [sign * (a - b) for a, b in comparison.values.values()]
    return sum(each > 0 for each in signed), sum(each < 0 for each in signed)


def _interval(differences: Sequence[float], seed: int) -> tuple[float, float] | None:
    """Bootstrap the mean."""
    if len(differences) < 2:
        return None
    if len(set(differences)) == 1:
        return differences[0], differences[0]
    from scipy import stats  # here, because it takes a second

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        for method in ("BCa", "percentile"):  # the first has no answer for some samples of very few values
            found = stats.bootstrap(
                (np.asarray(differences),),
                np.mean,
                confidence_level=LEVEL,
                n_resamples=RESAMPLES,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
            if math.isfinite(found.low) and math.isfinite(found.high):
                return float(found.low), float(found.high)
    return None


def _interval_of_groups(groups: Sequence[Sequence[float]], seed: int) -> tuple[float, float] | None:
    """Bootstrap the mean of groups' means in two steps: draw groups, then members of each; percentiles."""
    if len(groups) < 2:
        return _interval(groups[0], seed) if groups else None
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(groups), size=(RESAMPLES, len(groups)))
    means = np.empty(drawn.shape)
    for i, group in enumerate(groups):
        places = drawn == i
        members = generator.integers(len(group), size=(int(places.sum()), len(group)))
        means[places] = np.asarray(group)[members].mean(1)
    low, high = np.quantile(means.mean(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _wilcoxon(differences: Sequence[float]) -> tuple[float | None, int, bool]:
    """Return p, the number of pairs with a difference, and whether p is exact."""
    there = [difference for difference in differences if difference]
    if not there:
        return None, 0, True
    from scipy import stats

    sizes = [abs(difference) for difference in there]
    if len(there) <= 50 and len(set(sizes)) == len(sizes):
        return float(stats.wilcoxon(there, method="exact").pvalue), len(there), True
    if len(there) <= 12:  # ties: all signs are gone through
        method = stats.PermutationMethod(n_resamples=2 ** len(there))
        return float(stats.wilcoxon(there, method=method).pvalue), len(there), True
    return float(stats.wilcoxon(there, method="asymptotic").pvalue), len(there), False


def _frames(series: Series) -> dict[int, set[tuple[str, int]]]:
    """Seed → the (video, frame) that its metrics are of; empty if a file is missing."""
    found: dict[int, set[tuple[str, int]]] = {}
    for run in series.runs:
        file = run.folder / "frames.csv"
        if not file.is_file():
            return {}
        of_seed = found.setdefault(run.result.seed, set())
        for video, frames in read_frames(file).items():
            of_seed.update((video, number) for number, frame in frames.items() if frame.is_test)
    return found


def _tests_all_frames(series: Series) -> bool:
    """Whether each video was tested on as many frames as CDnet2014 has public masks of it."""
    public = {
        f"{row['category']}/{row['video']}": int(row["last_labelled_frame"]) - int(row["temporal_roi_start"]) + 1
        for row in published_videos()
    }
    return series.dataset == "CDnet2014" and all(public.get(key) == count for key, count in series.frames.items())


def _remarks(first: Series, second: Series, silent: int) -> tuple[str, ...]:
    where = f"{silent} of {len(first.frames)} videos, which have no precision and are left out"
    remarks = [f"One or both called nothing foreground in {where}."] if silent else []
    remarks += dataset_remarks(tests_of([first, second]))
    if first.leakage != second.leakage:
        remarks.append(f"Training differs: {first.name}: {first.leakage}; {second.name}: {second.leakage}.")
    if first.protocol_name != second.protocol_name:
        remarks.append(
            f"Protocols differ, on the same frames: {first.name}: {first.protocol_name}; "
            f"{second.name}: {second.protocol_name}."
        )
    for each in (first, second):
        if len(each.per_seed) > 1:
            remarks.append(f"{each.name}: the mean over {len(each.per_seed)} seeds.")
        if each.missing:
            remarks.append(f"Of the tested part: {each.extent.note}.")
    return tuple(remarks)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
