"""Mistakes of a user end with one message that names them, and no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bgsub_lightning.cli import main
from bgsub_lightning.core.program import PROGRAM

Run = Callable[..., int]
Fails = Callable[[int], str]


def test_dataset_that_nobody_named(run: Run, fails: Fails, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDNET2014_ROOT", raising=False)
    message = fails(run("fit", "--data.init_args.root=null"))
    for part in ("CDnet2014 is needed", "--data.init_args.root", "CDNET2014_ROOT", "changedetection.net", "make demo"):
        assert part in message


def test_dataset_by_environment(
    run: Run, tiny: Path, cdnet: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CDNET2014_ROOT", str(cdnet))
    assert run("fit", "--data.init_args.root=null", "--trainer.max_steps=1") == 0


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("--data.init_args.root=/no/such/folder", ["/no/such/folder: there is no such folder"]),
        ("--data.init_args.scene=[baseline/higway]", ["data.init_args.scene", "'baseline/higway'", "baseline/highway"]),
        ("--data.init_args.protocol.init_args.exclude=[PTX]", ["protocol.init_args.exclude", "'PTX'", "PTZ"]),
        ("--data.init_args.fold=4", ["data.init_args.fold", "4", "1 and 3"]),
        ("--data.init_args.protocol.init_args.validation.scenes=9", ["validation.scenes", "got 9"]),
        ("--data.init_args.flip=2", ["data.init_args.flip", "2"]),
        ("--data.init_args.batch_size=0", ["data.init_args.batch_size", "0"]),
        ("--model.init_args.chanels=8", ["chanels"]),
        ("--model.init_args.references=21", ["at most 20", "got 21", "model.init_args.references"]),
        ("--model.init_args.threshold=2", ["model.init_args.threshold", "2"]),
        ("--trainer.max_epohcs=3", ["--trainer.max_epohcs=3", "Did you mean --trainer.max_epochs?"]),
        ("--trainer.max_steps=soon", ["trainer.max_steps: 'soon' is not a whole number."]),
        ("--model.init_args.lr=big", ["model.init_args.lr: 'big' is not a number."]),
        ("--model=BmnBns", ["model: there is no class 'BmnBns'"]),
        ("--model=bgsub_lightning.systems.Bmn", ["model: ", "'bgsub_lightning.systems' has no attribute 'Bmn'"]),
        ("--data.init_args.protocol=Subste", ["data.init_args.protocol: there is no class 'Subste'"]),
        ("--ckpt_path=/no/such.ckpt", ["--ckpt_path", "/no/such.ckpt"]),
        ("--wandb=maybe", ["wandb", "maybe"]),
        ("--data.init_args.batch_size=null", ["data.init_args.batch_size", "int", "null"]),
        ("--data.init_args.reader=null", ["data.init_args.reader", "Reader", "null"]),
        ("--data.init_args.transforms=null", ["data.init_args.transforms", "null"]),
        ("--model.init_args.lr=null", ["model.init_args.lr", "float", "null"]),
        (
            "--data.init_args.transforms=[{class_path: Blur}, {class_path: Sway, init_args: {p: null}}]",
            ["data.init_args.transforms[1].init_args.p", "float", "null"],
        ),
        ("--trainer={max_steps: a}", ["error: trainer.max_steps: 'a' is not a whole number"]),
        ("--trainer.overfit_batches=1", ["trainer.overfit_batches", "got 1", "limit_train_batches"]),
        (f"--model.init_args.maps=0x{'f' * 400}", ["model.init_args.maps", "1,600 bits"]),
        ("--trainer.strategy=ddp_spawn", ["trainer.strategy", "'ddp_spawn'", "ddp"]),
        ("--trainer.val_check_interval=99999", ["trainer", "val_check_interval", "99999"]),
    ],
)
def test_configuration(run: Run, fails: Fails, option: str, parts: list[str], tmp_path: Path) -> None:
    message = fails(run("fit", option))
    for part in parts:
        assert part in message
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--threshold=50%", "threshold: '50%' is not a number."),
        ("--frames=3.5", "frames: '3.5' is not a whole number."),
        ("--codec=vp9", "codec: 'vp9' is not one of 'h264', 'ffv1'."),
        ("--latency=maybe", "latency: 'maybe' is not true or false."),
        ("--bakground=first", "unrecognized arguments: --bakground=first\nDid you mean --background?"),
        ("--xqj=1", "unrecognized arguments: --xqj=1"),
    ],
)
def test_options_of_a_command(fails: Fails, option: str, expected: str) -> None:
    command = ["segment", "--checkpoint=MOG2", "--source=none.mp4", "--out=none", option]
    assert fails(main(command)) == f"error: {expected}\nAll options: {PROGRAM} segment --help\n"


def test_configuration_file_that_is_missing_or_no_yaml(fails: Fails, tmp_path: Path) -> None:
    assert "none.yaml" in fails(main(["fit", "--config", str(tmp_path / "none.yaml")]))
    (tmp_path / "bad.yaml").write_text("model: [")
    assert "bad.yaml" in fails(main(["fit", "--config", str(tmp_path / "bad.yaml")]))
    (tmp_path / "loop.yaml").write_text("config: loop.yaml")
    assert "includes itself" in fails(main(["fit", "--config", str(tmp_path / "loop.yaml")]))


@pytest.mark.parametrize("key", ["config", "run_dir"])
def test_a_name_with_a_zero_byte(fails: Fails, tiny: Path, key: str, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(f'{key}: "a\\0b"\n')
    expected = {"config": r"a\x00b", "run_dir": "zero byte"}[key]
    assert expected in fails(main(["fit", f"--config={tiny}", f"--config={tmp_path / 'f.yaml'}"]))


def test_unknown_command(fails: Fails) -> None:
    assert "'fti'" in fails(main(["fti"]))


def spoil_roi(video: Path) -> Path:
    half = np.zeros((10, 20), np.uint8)
    half[:, 10:] = 255
    cv2.imwrite(str(video / "ROI.bmp"), half)
    return video / "ROI.bmp"


def spoil_temporal_roi(video: Path) -> Path:
    (video / "temporalROI.txt").write_text("from 21 to 26")
    return video / "temporalROI.txt"


def remove_temporal_roi(video: Path) -> Path:
    (video / "temporalROI.txt").unlink()
    return video / "temporalROI.txt"


def resize_mask(video: Path) -> Path:
    cv2.imwrite(str(video / "groundtruth/gt000023.png"), np.zeros((10, 20), np.uint8))
    return video / "groundtruth/gt000023.png"


def blur_mask(video: Path) -> Path:
    file = video / "groundtruth/gt000023.png"
    cv2.imwrite(str(file), cv2.blur(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (3, 3)))
    return file


def empty_category(video: Path) -> Path:
    (video.parents[1] / "thermal2").mkdir()  # no category of CDnet2014: ignored
    (video.parents[1] / "turbulence").mkdir()
    return video.parents[1] / "turbulence"


SPOILS = [spoil_roi, spoil_temporal_roi, remove_temporal_roi, resize_mask, blur_mask, empty_category]


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("store", [False, True])
def test_dataset_files(
    run: Run, fails: Fails, cdnet: Path, tmp_path: Path, spoil: Callable[[Path], Path], store: bool
) -> None:
    file = spoil(cdnet / "baseline/office")
    options = [f"--data.init_args.store={tmp_path / 'store'}"] if store else ["--data.init_args.num_workers=1"]
    message = fails(run("fit", *options))
    assert f"{file}: " in message
    assert len(message) > len(f"error: {file}: ") + 30  # what is wrong, and what to do


@pytest.mark.parametrize("spoil", SPOILS)
def test_prepare_lists_them_too(
    fails: Fails, cdnet: Path, capfd: pytest.CaptureFixture[str], spoil: Callable[[Path], Path]
) -> None:
    file = spoil(cdnet / "baseline/office")
    status = main(["prepare", str(cdnet)])
    output = capfd.readouterr()
    assert status == 2
    assert str(file) in output.out + output.err
    assert "Traceback" not in output.err


def test_broken_scene_that_takes_no_part_does_no_harm(run: Run, cdnet: Path) -> None:
    spoil_temporal_roi(cdnet / "PTZ/zoomInZoomOut")
    assert run("fit", "--trainer.max_steps=1") == 0


class TestRuns:
    @pytest.fixture(autouse=True)
    def _trained(self, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
        assert run("fit", "--trainer.max_steps=2") == 0
        capfd.readouterr()

    def test_finished_run_is_not_trained_over(self, run: Run, fails: Fails) -> None:
        assert "finished run" in fails(run("fit"))

    def test_begun_run_is_not_trained_over(self, run: Run, fails: Fails, tmp_path: Path) -> None:
        (tmp_path / "run/finished.json").unlink()
        assert "--ckpt_path last" in fails(run("fit"))

    def test_weights_of_another_run_do_not_lift_the_guard(self, run: Run, fails: Fails, tmp_path: Path) -> None:
        assert run("fit", "--trainer.max_steps=1", run_dir=tmp_path / "other") == 0
        checkpoint = tmp_path / "other/checkpoints/last.ckpt"
        assert "finished run" in fails(run("fit", f"--ckpt_path={checkpoint}"))

    def test_checkpoint_without_a_record(self, run: Run, fails: Fails, tmp_path: Path) -> None:
        content = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
        del content["trained_on"]
        torch.save(content, tmp_path / "bare.ckpt")
        assert "trained_on" in fails(run("test", f"--ckpt_path={tmp_path / 'bare.ckpt'}"))

    def test_checkpoint_that_was_cut_off(self, run: Run, fails: Fails, tmp_path: Path) -> None:
        whole = (tmp_path / "run/checkpoints/last.ckpt").read_bytes()
        (tmp_path / "run/checkpoints/last.ckpt").write_bytes(whole[: len(whole) // 2])
        assert "run/checkpoints/last.ckpt" in fails(run("test"))

    def test_run_that_was_never_trained_cannot_be_tested(self, run: Run, fails: Fails, tmp_path: Path) -> None:
        message = fails(run("test", run_dir=tmp_path / "other"))
        assert "other/checkpoints/last.ckpt" in message
        assert "fit" in message

    def test_checkpoint_of_other_numbers(self, run: Run, fails: Fails) -> None:
        message = fails(run("test", "--model.init_args.channels=2"))
        assert "--model.init_args.channels=4" in message

    def test_checkpoint_that_is_none(self, run: Run, fails: Fails, tmp_path: Path) -> None:
        (tmp_path / "x.ckpt").write_bytes(b"not a checkpoint")
        assert "x.ckpt" in fails(run("test", f"--ckpt_path={tmp_path / 'x.ckpt'}"))

    def test_frames_that_were_trained_on(self, run: Run, fails: Fails, tmp_path: Path) -> None:
        message = fails(run("test", "--data.init_args.fold=2"))
        assert "trained on" in message
        assert "baseline/office" in message
        assert "allow_training_frames" in message
        assert run("test", "--data.init_args.fold=2", "--data.init_args.allow_training_frames=true") == 0
        assert '"leakage": "includes training frames"' in (tmp_path / "run/scores.json").read_text()

    def test_report_of_different_frames(
        self,
        run: Run,
        fails: Fails,
        tmp_path: Path,
        cdnet: Path,
        make_video: Callable[..., Path],
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        assert run("test") == 0
        (tmp_path / "a.json").write_text((tmp_path / "run/scores.json").read_text())
        make_video(cdnet, "shadow", "more")
        assert run("test") == 0
        capfd.readouterr()
        assert "shadow/more" in fails(main(["report", str(tmp_path / "run"), str(tmp_path / "a.json")]))
        (tmp_path / "a.json").write_text("{}")
        assert "a.json" in fails(main(["report", str(tmp_path / "a.json")]))


def test_seen_scene_with_unseen_frames(run: Run, tmp_path: Path, cdnet: Path) -> None:
    """The third verdict: other frames of a scene that was trained on."""
    assert run("fit", "--trainer.max_steps=1") == 0
    office = cdnet / "baseline/office"
    for number in range(1, 27):  # the same scene continues: other numbers, all after those that were trained on
        (office / f"input/in{number:06d}.jpg").rename(office / f"input/in{number + 26:06d}.jpg")
        (office / f"groundtruth/gt{number:06d}.png").rename(office / f"groundtruth/gt{number + 26:06d}.png")
    (office / "temporalROI.txt").write_text("47 52")
    assert run("test", "--data.init_args.fold=2", "--data.init_args.scene=[baseline,shadow]") == 0
    found = json.loads((tmp_path / "run/scores.json").read_text())
    assert found["leakage"] == "seen scenes, unseen frames"
    assert {key: video["leakage"] for key, video in found["videos"].items()} == {"baseline/office": found["leakage"]}
