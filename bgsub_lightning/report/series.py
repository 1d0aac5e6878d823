"""A system as it was tested: its folds and scenes united, its seeds side by side."""

from __future__ import annotations

import statistics
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bgsub_lightning.evaluation.extent import Extent, extent_of, folds_of, missing_folds, protocol_name
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import Averaging, Scores
from bgsub_lightning.splits import Leakage
from bgsub_lightning.splits.leaks import worst

T = TypeVar("T")


@dataclass(frozen=True)
class FinishedRun:
    """One test, and where it lies.

    Attributes:
        file: Its scores.json.
        result: What it found.
        settings: The configuration next to it, a key for each value (``model.init_args.lr``), without what differs
            between runs of one system: places, scene, fold, seed, the machine; empty if there is none.
    """

    file: Path
    result: TestResult
    settings: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The run directory; frames.csv, csv logs and pictures lie in it."""
        return self.file.parent


@dataclass(frozen=True)
class MeanSd:
    """A metric of several tests.

    Attributes:
        mean: Their mean.
        sd: Standard deviation (of a sample); ``None`` for one.
        count: Their number.
    """

    mean: float
    sd: float | None = None
    count: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> MeanSd:
        """Take the mean and the standard deviation.

        Example:
            >>> MeanSd.of([1.0, 3.0])
            MeanSd(mean=2.0, sd=1.4142135623730951, count=2)
        """
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Series:
    """One system with one setting under one protocol: its folds and scenes united, its seeds side by side.

    Attributes:
        name: What tables call it.
        runs: All its tests.
        per_seed: One for each seed: its folds and scenes together.
        missing: What of it was not tested, in words, such as ``fold 3 of 3``; empty if nothing is missing.
    """

    name: str
    runs: tuple[FinishedRun, ...]
    per_seed: tuple[TestResult, ...]
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: TestResult) -> Series:
        """Take a result as it is, without the folder of its run."""
        missing = (*missing_folds(result.protocol), *result.untested)
        return cls(result.name, (FinishedRun(Path(), result, {}),), (result,), missing)

    @property
    def system(self) -> str:
        """Class of its module."""
        return self.per_seed[0].system

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.per_seed[0].dataset

    @property
    def protocol(self) -> str:
        """The tested data in words, with the folds."""
        return max((whole.protocol for whole in self.per_seed), key=len)

    @property
    def protocol_name(self) -> str:
        """The protocol without the fold."""
        return protocol_name(self.per_seed[0].protocol)

    @property
    def leakage(self) -> Leakage:
        """The least honest of all its tests."""
        return worst(whole.leakage for whole in self.per_seed)

    @property
    def seeds(self) -> list[int]:
        """The seeds of its tests."""
        return sorted({run.result.seed for run in self.runs})

    def name_of(self, run: FinishedRun) -> str:
        """Return what one of its tests is called where all are listed."""
        return self.name if len(self.runs) == 1 else f"{self.name}: {run.result.name}"

    @property
    def settings(self) -> Mapping[str, str]:
        """Its configuration, without what differs between its tests."""
        return self.runs[0].settings

    @property
    def frames(self) -> dict[str, int]:
        """``category/name`` → number of scored frames, of the first seed that has it."""
        return dict(sorted(ChainMap(*(whole.frames for whole in self.per_seed)).items()))

    @property
    def has_training_frames(self) -> bool:
        """Whether frames of the training part were scored as well."""
        return any(whole.training_frames for whole in self.per_seed)

    def scores(self, averaging: Averaging = "video", with_training: bool = False) -> list[Scores]:
        """Return the metrics of each seed.

        Args:
            averaging: How a category's metrics come about.
            with_training: Over the frames of the training part as well.
        """
        return [whole.scores(averaging, skip_silent=True, with_training=with_training) for whole in self.per_seed]

    def by_video(self, with_training: bool = False) -> dict[str, dict[str, MeanSd]]:
        """Return ``category/name`` → metric → mean and deviation over the seeds."""
        return _over([scores.videos for scores in self.scores("video", with_training)])

    def by_category(self, averaging: Averaging = "video", with_training: bool = False) -> dict[str, dict[str, MeanSd]]:
        """Return category → metric → mean and deviation over the seeds; see :attr:`missing`."""
        return _over([scores.categories for scores in self.scores(averaging, with_training)])

    def over_tested(self, averaging: Averaging = "video", with_training: bool = False) -> dict[str, MeanSd]:
        """Return metric → mean and deviation over the seeds, of the mean over the categories.

        It is the overall metric only if :attr:`extent` is whole.
        """
        return _mean_sd([scores.overall for scores in self.scores(averaging, with_training)])

    def over_folds(self) -> dict[str, MeanSd]:
        """Return metric → mean and deviation over the folds, each by itself; empty if there are no folds."""
        folds: dict[int, list[dict[str, float]]] = {}
        for run in self.runs:
            if len(folds_of(run.result.protocol)) == 1:
                folds.setdefault(run.result.fold, []).append(run.result.scores(skip_silent=True).overall)
        if len(folds) < 2:
            return {}
        means = [{key: metric.mean for key, metric in _mean_sd(rows).items()} for rows in folds.values()]
        return _mean_sd(means)

    @property
    def frames_per_second(self) -> MeanSd | None:
        """Speed of the whole test, loading and counting included; ``None`` if it is not known of all."""
        rates = [whole.frames_per_second for whole in self.per_seed if whole.frames_per_second is not None]
        return MeanSd.of(rates) if len(rates) == len(self.per_seed) else None

    @property
    def parameters(self) -> int | None:
        """Number of its parameters; ``None`` where it is not one and the same for all."""
        return _only({whole.parameters for whole in self.per_seed})

    @property
    def gflop_per_frame(self) -> float | None:
        """10⁹ operations per frame of 320×240; ``None`` where they are not known, and the same for all."""
        return _only({whole.gflop_per_frame for whole in self.per_seed})

    @property
    def partial(self) -> dict[str, int]:
        """``category/name`` → frames that should have been scored and were not."""
        return {key: count for whole in self.per_seed for key, count in whole.missing.items()}

    @property
    def device(self) -> str:
        """The device that it ran on."""
        return ", ".join(dict.fromkeys(whole.device for whole in self.per_seed))

    @property
    def extent(self) -> Extent:
        """Whether there is an overall metric of it, and what is said where there is none."""
        return extent_of(self.name, self.missing)


def tests_of(series: Iterable[Series]) -> list[TestResult]:
    """Return what was found by systems, each seed by itself."""
    return [whole for each in series for whole in each.per_seed]


def _only(values: set[T | None]) -> T | None:
    return values.pop() if len(values) == 1 else None


def _over(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, MeanSd]]:
    keys = sorted(set().union(*rows))
    return {key: _mean_sd([row[key] for row in rows if key in row]) for key in keys}


def _mean_sd(rows: Sequence[Mapping[str, float]]) -> dict[str, MeanSd]:
    """Take the mean of each metric that all have."""
    return (
        {key: MeanSd.of([row[key] for row in rows]) for key in rows[0] if all(key in row for row in rows)}
        if rows
        else {}
    )
