"""Any number of tests put in order: which are one cross-validation, which are seeds of one system, what is missing."""

from __future__ import annotations

import re
import statistics
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict  # which pydantic wants before Python 3.12

from bgsub_lightning.core.config import flat
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_json, read_yaml
from bgsub_lightning.evaluation.extent import Extent, extent_of, folds_of, missing_folds, protocol_name
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import Averaging, Scores
from bgsub_lightning.report.merge import merged
from bgsub_lightning.splits import Leakage
from bgsub_lightning.splits.leaks import worst


class CampaignRecord(TypedDict):
    """``campaign.json``: which campaign a folder holds.

    Attributes:
        version: Of the form of the file.
        configuration: The experiment.
        options: Options of all runs, each as ``--key=value``.
        commands: What each run does.
        grid: Name → its values; empty if the experiment lists its runs.
        runs: Name of a run → its options.
    """

    version: Literal[2]
    configuration: dict[str, Any]
    options: list[str]
    commands: list[str]
    grid: dict[str, list[str]]
    runs: dict[str, list[str]]


def read_campaign(file: Path) -> CampaignRecord:
    """Read ``campaign.json``.

    Raises:
        FileNotFoundError: If there is none.
        UserError: If it is not one of ours.
    """
    return read_json(file, CampaignRecord, "Delete it, or name another --out FOLDER.")


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
        """What was tested, in words, with the folds."""
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
        return [
            whole.scores_with_training(averaging, skip_silent=True)
            if with_training
            else whole.scores(averaging, skip_silent=True)
            for whole in self.per_seed
        ]

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
    def partial(self) -> dict[str, int]:
        """``category/name`` → frames that should have been scored and were not."""
        return {key: count for whole in self.per_seed for key, count in whole.missing.items()}

    @property
    def device(self) -> str:
        """What it ran on."""
        return ", ".join(dict.fromkeys(whole.device for whole in self.per_seed))

    @property
    def extent(self) -> Extent:
        """Whether there is an overall metric of it, and what is said where there is none."""
        return extent_of(self.name, self.missing)


@dataclass(frozen=True)
class Results:
    """Tests in order.

    Attributes:
        series: Systems, in the order in which they were named.
        remarks: What a reader must know as well, such as members of campaigns without a result.
    """

    series: tuple[Series, ...]
    remarks: tuple[str, ...] = ()

    @property
    def datasets(self) -> dict[str, tuple[Series, ...]]:
        """Dataset → its series."""
        names = dict.fromkeys(each.dataset for each in self.series)
        return {name: tuple(each for each in self.series if each.dataset == name) for name in names}


def tests_of(series: Iterable[Series]) -> list[TestResult]:
    """Return what was found by systems, each seed by itself."""
    return [whole for each in series for whole in each.per_seed]


def load_results(paths: Sequence[Path]) -> Results:
    """Read tests and put them in order.

    Tests are of one series if system, dataset, protocol (but for the fold) and the configuration beside them agree (but
    for scene, fold, seed, and what is the machine's). Those of one seed with different videos are united.

    Args:
        paths: Run directories, scores.json files, and folders of campaigns, whose members are read.

    Raises:
        UserError: If there is none, one cannot be read, or comes twice.
    """
    if not paths:
        raise UserError("Name at least one run directory, such as `report runs/bmn_bsn_small runs/mog2`.")
    places: list[_Place] = []
    remarks: list[str] = []
    for path in paths:
        found, missing = _places(path)
        places += found
        if missing:
            remarks.append(f"{path}: not tested yet: {', '.join(missing)}.")
    runs = []
    for place in places:
        result = TestResult.load(place.file)
        runs.append(FinishedRun(place.file, result, _settings(result, place.file.parent)))
    _require_each_once(runs)
    untested = {place.file: place.missing for place in places}
    groups: dict[object, list[FinishedRun]] = {}
    for run in runs:
        result = run.result
        key = (result.dataset, result.system, protocol_name(result.protocol), tuple(sorted(run.settings.items())))
        groups.setdefault(key, []).append(run)
    divided = [part for group in groups.values() for part in _divided(group)]
    names = _names(divided)
    series = [
        _series(name, part, {text for run in part for text in untested[run.file]})
        for name, part in zip(names, divided, strict=True)
    ]
    return Results(tuple(series), tuple(remarks))


_APART = {"root", "store", "scene", "fold", "seed", "num_workers", "allow_training_frames"}
"""Arguments of a module or of the datamodule that differ between runs of one system, or that change no metric."""
_PLACE = re.compile(r".*(/|\.[A-Za-z]\w{1,3}$)")


@dataclass(frozen=True)
class _Place:
    """A scores.json, and the members without one of a campaign whose members are all of one series."""

    file: Path
    missing: tuple[str, ...] = ()


def _places(path: Path) -> tuple[list[_Place], list[str]]:
    """Find the tests of a path, and the members of a campaign that have none."""
    if not path.exists():
        raise UserError(f"{path}: there is no such file or directory.")
    record = path / "campaign.json"
    if not record.is_file():
        file = path / "scores.json" if path.is_dir() else path
        if not file.is_file():
            below = sorted(other.parent for other in path.glob("**/scores.json"))
            hint = (
                f"Run directories below it have one; name them: {' '.join(str(other) for other in below[:3])}"
                f"{' …' if len(below) > 3 else ''}"
                if below
                else f"Run `test` with --run_dir {path} first."
            )
            raise UserError(f"{path}: is a directory without a scores.json. {hint}")
        return [_Place(file)], []
    content = read_campaign(record)
    names, grid = list(content["runs"]), set(content["grid"])
    tested = [name for name in names if (path / name / "scores.json").is_file()]
    missing = [name for name in names if name not in tested]
    if not tested:
        if (path / "scores.json").is_file():
            return [_Place(path / "scores.json")], []
        raise UserError(f"{path}: no run of this campaign has a result yet. Run the same `campaign` again.")
    is_one = grid and grid <= {"scene", "fold", "seed"} and "fold" not in grid
    return [_Place(path / name / "scores.json", tuple(missing) if is_one else ()) for name in tested], missing


def _settings(result: TestResult, folder: Path) -> dict[str, str]:
    """Read the configuration of a run, as far as metrics depend on it: the model as trained, the data as tested."""
    trained, tested = _configuration(folder / "config.yaml"), _configuration(folder / "test.yaml")
    trainer = trained.get("trainer") or {}
    parts = {
        "model": (trained or tested).get("model"),
        "data": (tested or trained).get("data"),
        "trainer": {key: trainer[key] for key in ("max_steps", "max_epochs") if key in trainer},
    }
    names = "|".join(sorted((re.escape(key.split("/")[-1]) for key in result.videos), key=len, reverse=True))
    apart = re.compile(rf"{names}|\d+" if names else r"\d+")  # of the scene, the fold and the seed
    settings = {key: str(value) for key, value in flat(parts).items() if _APART.isdisjoint(key.split("."))}
    return {key: apart.sub("…", value) if _PLACE.match(value) else value for key, value in settings.items()}


def _configuration(file: Path) -> dict[str, Any]:
    try:
        content = read_yaml(file)
    except FileNotFoundError:
        return {}
    return content if isinstance(content, dict) else {}


def _require_each_once(runs: Sequence[FinishedRun]) -> None:
    files: dict[Path, FinishedRun] = {}
    for run in runs:
        for other in files.values():
            if other.file.resolve() == run.file.resolve():
                raise UserError(f"{run.file}: is named twice, the other time as {other.file}. Name it once.")
            if replace(other.result, name="") == replace(run.result, name=""):
                raise UserError(
                    f"{run.file} and {other.file} are copies of one test, to the last digit of its speed. Name one."
                )
        files[run.file] = run


def _divided(group: list[FinishedRun]) -> list[list[FinishedRun]]:
    """Divide what cannot be one series, since one seed has a video twice: by folder, by name, else each alone."""
    if not _overlap(group):
        return [group]
    for key in (lambda run: run.folder.resolve().parent, _without_part):
        parts: dict[object, list[FinishedRun]] = {}
        for run in group:
            parts.setdefault(key(run), []).append(run)
        if len(parts) > 1:
            return [each for part in parts.values() for each in _divided(part)]
    return [[run] for run in group]


def _overlap(group: Sequence[FinishedRun]) -> bool:
    seen: set[tuple[int, str]] = set()
    for run in group:
        keys = {(run.result.seed, video) for video in run.result.videos}
        if keys & seen:
            return True
        seen |= keys
    return False


def _series(name: str, runs: Sequence[FinishedRun], untested: set[str]) -> Series:
    seeds = sorted({run.result.seed for run in runs})
    per_seed = []
    for seed in seeds:
        results = [run.result for run in runs if run.result.seed == seed]
        called = name if len(seeds) == 1 else f"{name}, seed {seed}"
        per_seed.append(merged(results, called) if len(results) > 1 else replace(results[0], name=called))
    return Series(name, tuple(runs), tuple(per_seed), (*_missing(per_seed), *sorted(untested)))


def _missing(per_seed: Sequence[TestResult]) -> Iterable[str]:
    """Name the folds that each seed lacks, or else the videos that another seed has."""
    every = set().union(*(whole.videos for whole in per_seed))
    for whole in per_seed:
        of_seed = f" of seed {whole.seed}" if len(per_seed) > 1 else ""
        absent = missing_folds(whole.protocol)
        yield from (f"{fold}{of_seed}" for fold in absent)
        if absent:
            continue
        yield from (f"{key}{of_seed}" for key in sorted(every - whole.videos.keys()))


def _names(series: Sequence[Sequence[FinishedRun]]) -> list[str]:
    """Name each series: as its run, or as what its runs' names or their folder have in common; each name once."""
    short = [_name(runs) for runs in series]
    names: list[str] = []
    for name, runs in zip(short, series, strict=True):
        if short.count(name) > 1:
            name = f"{runs[0].folder.resolve().parent.name}/{name}"
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def _name(runs: Sequence[FinishedRun]) -> str:
    if len(runs) == 1:
        return runs[0].result.name
    names = [_without_part(run) for run in runs]
    common = "".join(
        column[0] for column in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    folders = {run.folder.resolve().parent for run in runs}
    return common.strip("_-, ") or (folders.pop().name if len(folders) == 1 else runs[0].result.system)


def _without_part(run: FinishedRun) -> str:
    """Return a run's name without its fold, seed and scene."""
    scenes = [re.escape(part) for key in run.result.videos for part in (key.replace("/", "_"), key.split("/")[-1])]
    return re.sub("|".join([*scenes, r"(fold|seed)[_=]?\d+"]), "", run.result.name).strip("_-, ")


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
