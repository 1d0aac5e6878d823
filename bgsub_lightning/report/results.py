"""Any number of tests put in order: which are one cross-validation, which are seeds of one system, what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict  # which pydantic wants before Python 3.12

from bgsub_lightning.core.config import flat
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_json, read_yaml
from bgsub_lightning.evaluation.extent import missing_folds, protocol_name
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.report.merge import merged
from bgsub_lightning.report.series import FinishedRun, Series


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


def load_results(paths: Sequence[Path]) -> Results:
    """Read tests and put them in order.

    Tests are of one series if system, dataset, protocol (but for the fold) and the rest of the configuration agree (but
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
