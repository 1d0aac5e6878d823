"""Results of a test under a protocol whose papers score the training frames as well."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from bgsub_lightning.cli import main
from bgsub_lightning.data import Image, ScenesDataModule
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.splits import LabelBudget
from bgsub_lightning.systems import BmnBsn
from bgsub_lightning.systems.base import BgsModule

KEYS = ("baseline/highway", "shadow/bungalows")
LABELLED = range(21, 27)
Run = Callable[..., int]


@pytest.fixture
def tiny(tiny: Path, tmp_path: Path) -> Path:
    """The tiny configuration under a budget: 2 of 6 labelled frames of two videos are trained on, 4 are tested."""
    content = yaml.safe_load(tiny.read_text())
    content["data"]["init_args"] |= {
        "scene": list(KEYS),
        "protocol": {
            "class_path": "bgsub_lightning.splits.LabelBudget",
            "init_args": {"frames": 2, "drawn": "balanced", "validation": {"frames": 2}},
        },
    }
    path = tmp_path / "budget.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def subtractor(tiny: Path, tmp_path: Path) -> Path:
    """MOG2 in place of the network, which sees every frame."""
    content = yaml.safe_load(tiny.read_text())
    content["model"] = {"class_path": "bgsub_lightning.systems.ClassicalSubtractor", "init_args": {"method": "MOG2"}}
    path = tmp_path / "mog2.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def counts_by_hand(results: Path, dataset: Path, key: str, numbers: Iterable[int]) -> list[int]:
    """Count mask files by the official rule, in numpy and from the files alone."""
    roi = cv2.imread(str(dataset / key / "ROI.bmp"), cv2.IMREAD_GRAYSCALE) > 0
    counts = np.zeros(5, int)
    for number in numbers:
        truth = cv2.imread(str(dataset / key / f"groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)[roi]
        said = cv2.imread(str(results / key / f"bin{number:06d}.png"), cv2.IMREAD_UNCHANGED)[roi] == 255
        moving, static = truth == 255, np.isin(truth, (0, 50, 85))
        parts = (moving & said, static & said, moving & ~said, static & ~said, (truth == 50) & said)
        counts += [np.count_nonzero(part) for part in parts]
    return counts.tolist()


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "frames.csv").open() as file:
        return list(csv.DictReader(file))


def summed(rows: Iterable[dict[str, str]]) -> list[int]:
    return [
        sum(column) for column in zip(*([int(r[n]) for n in ("TP", "FP", "FN", "TN", "SE")] for r in rows), strict=True)
    ]


def mean_dice(rows: Iterable[dict[str, str]]) -> float:
    found = [tuple(int(row[name]) for name in ("TP", "FP", "FN")) for row in rows]
    return float(np.mean([2 * tp / (2 * tp + fp + fn) for tp, fp, fn in found if tp + fn]))


def numbers_of(rows: Iterable[dict[str, str]], key: str) -> list[int]:
    return [int(row["frame"]) for row in rows if row["video"] == key]


def content(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


def test_the_result_is_of_frames_that_were_not_trained_on(
    run: Run, tmp_path: Path, cdnet: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run("fit") == 0
    assert run("test", "--data.init_args.eval_batch_size=4") == 0
    output = " ".join(capfd.readouterr().out.split())
    assert run("predict") == 0
    result, rows = TestResult.load(folder), rows_of(folder)
    assert result.leakage == "seen scenes, unseen frames"
    assert result.protocol.startswith("2 labelled frames per scene (balanced by foreground)")
    split = ScenesDataModule((), LabelBudget(2, "balanced"), cdnet, scene=list(KEYS)).split
    trained = {scene.key: set(numbers) for scene, numbers in split.train}
    assert len(rows) == 12
    for key, video in result.videos.items():
        of_video = [row for row in rows if row["video"] == key]
        unseen = [row for row in of_video if row["trained_on"] == "0"]
        assert numbers_of(of_video, key) == list(LABELLED)
        assert set(LABELLED) - set(numbers_of(unseen, key)) == trained[key]
        assert all(row["is_test"] == str(1 - int(row["trained_on"])) for row in of_video)
        assert video.counts == summed(unseen) == counts_by_hand(folder / "results", cdnet, key, numbers_of(unseen, key))
        assert video.counts_with_training == summed(of_video)
        assert video.counts_with_training == counts_by_hand(folder / "results", cdnet, key, LABELLED)
        assert (video.frames, video.frames_with_training, video.binary_truth) == (4, 6, False)
        assert result.scores().videos[key]["mean_dice"] == pytest.approx(mean_dice(unseen))
        assert result.scores(with_training=True).videos[key]["mean_dice"] == pytest.approx(mean_dice(of_video))
        assert result.threshold == 0.5
        assert video.threshold_dice[50] == video.dice
    both = result.scores(with_training=True).overall
    assert result.training_frames == 4
    assert (
        f"With the 4 training frames, as the papers score: F {both['f_measure']:.4f}, PWC {both['pwc']:.3f}." in output
    )
    assert content(folder)["metrics_with_training"]["overall"] == both
    assert content(folder)["metrics"]["overall"] == result.scores().overall


@pytest.mark.parametrize("options", [["--data.init_args.eval_batch_size=1"], ["--data.init_args.num_workers=2"]])
def test_both_scores_do_not_depend_on_batches_or_workers(tmp_path: Path, subtractor: Path, options: list[str]) -> None:
    command = ["test", "--config", str(subtractor)]
    assert main([*command, f"--run_dir={tmp_path / 'a'}"]) == 0
    assert main([*command, f"--run_dir={tmp_path / 'b'}", *options]) == 0
    assert content(tmp_path / "a")["videos"] == content(tmp_path / "b")["videos"]
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")


def test_a_system_that_carries_state_is_scored_twice_as_well(tmp_path: Path, subtractor: Path, cdnet: Path) -> None:
    command = ["--config", str(subtractor), f"--run_dir={tmp_path / 'run'}"]
    assert main(["test", *command]) == 0
    assert main(["predict", *command]) == 0
    rows = rows_of(tmp_path / "run")
    assert {row["trained_on"] for row in rows} == {"0"}
    for key, video in content(tmp_path / "run")["videos"].items():
        tested = numbers_of([row for row in rows if row["is_test"] == "1"], key)
        assert len(tested) == 4
        assert video["counts"] == counts_by_hand(tmp_path / "run/results", cdnet, key, tested)
        assert video["counts_with_training"] == counts_by_hand(tmp_path / "run/results", cdnet, key, LABELLED)


SYSTEMS = {
    "BmnBsn": {"references": 3, "maps": 4, "channels": 4, "depth": 2},
    "ClassicalSubtractor": {"method": "KNN"},
    "ThresholdedDifference": {"background": {"class_path": "bgsub_lightning.backgrounds.PreviousFrame"}},
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_speed_is_of_the_frames_that_were_shown(
    tiny: Path, tmp_path: Path, cdnet: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0
    own = BgsModule.test_step

    def counted(module: BgsModule, batch: Any, position: int) -> Any:
        nonlocal seen
        seen += len(batch["image"])
        return own(module, batch, position)

    monkeypatch.setattr(BgsModule, "test_step", counted)
    content = yaml.safe_load(tiny.read_text())
    content["model"] = {"class_path": f"bgsub_lightning.systems.{system}", "init_args": SYSTEMS[system]}
    tiny.write_text(yaml.safe_dump(content))
    options = ["--config", str(tiny), f"--run_dir={tmp_path / 'run'}"]
    streams = system != "BmnBsn"
    assert streams or main(["fit", *options, "--trainer.max_steps=1"]) == 0
    began = time.perf_counter()
    assert main(["test", *options]) == 0
    elapsed = time.perf_counter() - began
    result = TestResult.load(tmp_path / "run")
    on_disk = sum(len(list((cdnet / key / "input").iterdir())) for key in KEYS)
    assert result.frames_shown == seen == (on_disk if streams else len(rows_of(tmp_path / "run")))
    assert 0 < result.seconds < elapsed
    stored = json.loads((tmp_path / "run/scores.json").read_text())
    assert stored["frames_per_second"] == seen / result.seconds
    network = BmnBsn(**SYSTEMS[system]) if system == "BmnBsn" else None  # type: ignore[arg-type]
    assert stored["parameters"] == (network and sum(each.numel() for each in network.parameters()))
    assert bool(stored["flop_per_frame"]) is (network is not None)
    del stored["parameters"], stored["flop_per_frame"]
    (tmp_path / "run/scores.json").write_text(json.dumps(stored))  # as earlier tests wrote it
    assert TestResult.load(tmp_path / "run") == replace(result, parameters=None, flop_per_frame=None)


def test_other_frames_than_those_of_the_training_are_refused(
    run: Run, fails: Callable[[int], str], tmp_path: Path
) -> None:
    assert run("fit", "--trainer.max_steps=1") == 0
    assert "allow_training_frames" in fails(run("test", "--data.init_args.seed=1"))
    assert run("test", "--data.init_args.seed=1", "--data.init_args.allow_training_frames=true") == 0
    result, rows = TestResult.load(tmp_path / "run"), rows_of(tmp_path / "run")
    assert result.leakage == "includes training frames"
    for key, video in result.videos.items():
        assert video.counts == summed(row for row in rows if (row["video"], row["is_test"]) == (key, "1"))


def test_a_test_that_is_cut_off_before_the_first_scored_frame_has_no_figures(
    tmp_path: Path, subtractor: Path, capfd: pytest.CaptureFixture[str], fails: Callable[[int], str]
) -> None:
    command = ["test", "--config", str(subtractor), f"--run_dir={tmp_path / 'run'}"]
    assert main([*command, "--trainer.limit_test_batches=0.2"]) == 0  # of 8 batches
    found = content(tmp_path / "run")
    assert (found["videos"], found["missing"]) == ({}, dict.fromkeys(KEYS, 4))
    printed = " ".join(capfd.readouterr().out.split())
    assert "–" in printed
    assert f"8 frames of {', '.join(KEYS)}" in printed
    assert "trainer.limit_test_batches=0.2" in printed
    message = fails(main(["report", str(tmp_path / "run")]))
    assert "scores.json: videos:" in message


def test_a_test_of_a_part_says_of_which(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "--trainer.max_steps=1") == 0
    capfd.readouterr()
    assert run("test", "--data.init_args.eval_batch_size=2", "--trainer.limit_test_batches=2") == 0
    result = TestResult.load(tmp_path / "run")
    tested = [row for row in rows_of(tmp_path / "run") if row["is_test"] == "1"]
    assert {row["video"] for row in tested} == set(result.videos) == {KEYS[0]}
    assert result.missing == {KEYS[0]: 4 - len(tested), KEYS[1]: 4}
    printed = " ".join(capfd.readouterr().out.split())
    assert "overall, partial" in printed
    assert f"{8 - len(tested)} frames of {', '.join(KEYS)}" in printed
    assert "trainer.limit_test_batches=2" in printed
    assert run("test") == 0
    assert not TestResult.load(tmp_path / "run").partial
    assert "limit_test_batches" not in capfd.readouterr().out


def test_truth_without_an_unknown_band_is_marked(
    tmp_path: Path, subtractor: Path, cdnet: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in (cdnet / KEYS[0] / "groundtruth").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask[mask == 170] = 255
        cv2.imwrite(str(path), mask)
    assert main(["test", "--config", str(subtractor), f"--run_dir={tmp_path / 'run'}"]) == 0
    assert {key: video["binary_truth"] for key, video in content(tmp_path / "run")["videos"].items()} == {
        KEYS[0]: True,
        KEYS[1]: False,
    }
    output = capfd.readouterr().out
    assert ["¹" in line for line in output.splitlines() if line.startswith((" baseline", " shadow"))] == [True, False]
    assert "¹ some masks have no unknown band" in output
    assert main(["report", str(tmp_path / "run"), "--by_video=true"]) == 0
    (line,) = (line for line in capfd.readouterr().out.splitlines() if line.startswith("   highway"))
    assert "¹" in line


def test_scores_of_other_protocols_and_of_older_files_are_as_they_were(
    tmp_path: Path, subtractor: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = yaml.safe_load(subtractor.read_text())
    settings["data"]["init_args"]["protocol"] = {"class_path": "bgsub_lightning.splits.SceneWise"}
    subtractor.write_text(yaml.safe_dump(settings))
    assert main(["test", "--config", str(subtractor), f"--run_dir={tmp_path / 'run'}"]) == 0
    assert "as the papers score" not in capfd.readouterr().out
    found = content(tmp_path / "run")
    assert "metrics_with_training" not in found
    for video in found["videos"].values():
        assert (video.pop("counts_with_training"), video.pop("frames_with_training")) == ([], 0)
        assert video.pop("binary_truth") is False
    assert {row["is_test"] for row in rows_of(tmp_path / "run")} == {"1"}
    now = TestResult.load(tmp_path / "run")
    (tmp_path / "older.json").write_text(json.dumps(found))
    assert TestResult.load(tmp_path / "older.json") == now
    assert now.scores(with_training=True) == now.scores()


def test_training_frames_are_scored_in_tests_alone(cdnet: Path) -> None:
    data = ScenesDataModule(
        (Image(),), LabelBudget(2, "random"), cdnet, scene=[KEYS[0]], eval_batch_size=4, num_workers=0
    )
    trained = list(data.split.train.numbers[0])
    batches = list(data.test_dataloader())
    assert [number for batch in batches for number in batch["number"].tolist()] == list(LABELLED)
    assert all(batch["is_scored"].all() for batch in batches)
    assert [number for batch in batches for number in batch["number"][batch["also_scored"]].tolist()] == trained
    assert data.frames_of("test").numbers == (tuple(number for number in LABELLED if number not in trained),)
    for batch in [*data.val_dataloader(), *data.predict_dataloader()]:
        assert "also_scored" not in batch


@pytest.mark.slow
def test_two_processes_score_both_as_one(run: Run, tiny: Path, subtractor: Path, tmp_path: Path) -> None:
    assert run("fit", "--trainer.max_steps=2") == 0
    two = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.init_args.eval_batch_size=5"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    for config in (tiny, subtractor):
        options = ["test", "--config", str(config), f"--run_dir={tmp_path / 'run'}"]
        assert main(options) == 0
        alone = content(tmp_path / "run")["videos"], rows_of(tmp_path / "run")
        command = [sys.executable, "-m", "bgsub_lightning", *options, *two]
        subprocess.run(command, check=True, env=environment, timeout=300)
        assert (content(tmp_path / "run")["videos"], rows_of(tmp_path / "run")) == alone


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("protocol", "frames", "binary"),
    [({}, 190, True), ({"frames": 100, "drawn": "balanced", "among": "fgsegnet"}, 100, False)],
    ids=["the list", "half of the list"],
)
def test_the_others_of_the_list_are_binary_in_this_copy_of_canoe(
    real_data: Path, subtractor: Path, tmp_path: Path, protocol: dict[str, Any], frames: int, binary: bool
) -> None:
    settings = yaml.safe_load(subtractor.read_text())
    settings["data"]["init_args"] |= {"root": str(real_data / "CDnet2014"), "scene": ["dynamicBackground/canoe"]}
    settings["data"]["init_args"]["protocol"] = {"class_path": "LabelBudget", "init_args": protocol}
    subtractor.write_text(yaml.safe_dump(settings))
    assert main(["test", "--config", str(subtractor), f"--run_dir={tmp_path / 'run'}"]) == 0
    video = TestResult.load(tmp_path / "run").videos["dynamicBackground/canoe"]
    assert (video.frames, video.binary_truth) == (frames, binary)
    assert video.frames_with_training == (390 if binary else 200)
