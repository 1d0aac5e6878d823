"""The main job on real sequences of CDnet2014, in short."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from bgsub_lightning.cli import main
from bgsub_lightning.evaluation import TestResult

pytestmark = pytest.mark.real_data
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.mark.parametrize(("method", "f_measure", "pwc"), [("mog2", 0.787, 0.468), ("knn", 0.842, 0.303)])
def test_subtractors_score_what_was_measured_independently(
    real_data: Path, tmp_path: Path, method: str, f_measure: float, pwc: float
) -> None:
    """The metrics come from a separate program that follows the official rule."""
    config = EXPERIMENTS / f"{method}_real_subset.yaml"
    root = f"--data.init_args.root={real_data / 'CDnet2014'}"
    assert main(["test", "--config", str(config), root, f"--run_dir={tmp_path}"]) == 0
    metrics = TestResult.load(tmp_path).scores().overall
    assert metrics["f_measure"] == pytest.approx(f_measure, abs=5e-4)
    assert metrics["pwc"] == pytest.approx(pwc, abs=5e-4)


@pytest.mark.slow
def test_bmn_bsn_trains_tests_and_predicts(real_data: Path, tmp_path: Path) -> None:
    options = ["--config", str(EXPERIMENTS / "bmn_bsn_real_subset.yaml"), f"--run_dir={tmp_path / 'run'}"]
    options += [f"--data.init_args.root={real_data / 'CDnet2014'}", f"--data.init_args.store={tmp_path / 'store'}"]
    options += ["--data.init_args.scene=[baseline,cameraJitter,dynamicBackground]", "--wandb=disabled"]
    options += ["--data.init_args.protocol.init_args.validation.frames=6"]
    assert main(["fit", *options, "--trainer.max_steps=6", "--trainer.val_check_interval=6"]) == 0
    assert main(["test", *options, "--trainer.limit_test_batches=4"]) == 0
    result = json.loads((tmp_path / "run/scores.json").read_text())
    assert result["leakage"] == "unseen scenes"
    assert result["videos"]["baseline/pedestrians"]["frames"] == 32
    assert main(["predict", *options, "--trainer.limit_predict_batches=1"]) == 0
    mask = cv2.imread(str(tmp_path / "run/results/baseline/pedestrians/bin000300.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (240, 360)


@pytest.mark.slow
def test_cdn_medal_trains_and_tests_on_one_scene(real_data: Path, tmp_path: Path) -> None:
    """Traffic, whose ROI.bmp has another size than its frames; few steps, so only the books are checked."""
    options = ["--config", str(EXPERIMENTS / "cdn_medal_small.yaml"), f"--run_dir={tmp_path / 'run'}"]
    options += [f"--data.init_args.root={real_data / 'CDnet2014'}", f"--data.init_args.store={tmp_path / 'store'}"]
    options += ["--data.init_args.scene=cameraJitter/traffic", "--wandb=disabled", "--trainer.val_check_interval=1.0"]
    steps = ["--model.init_args.density.steps=30", "--model.init_args.difference.steps=10"]
    assert main(["fit", *options, *steps, "--trainer.log_every_n_steps=5"]) == 0
    assert main(["test", *options]) == 0
    result = json.loads((tmp_path / "run/scores.json").read_text())
    video = result["videos"]["cameraJitter/traffic"]
    assert result["leakage"] == "seen scenes, unseen frames"
    assert (video["frames"], video["frames_with_training"]) == (471, 671)
    assert sum(video["counts_with_training"][:4]) > sum(video["counts"][:4])


def test_prepare_lists_the_real_wrinkles(real_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(real_data / "CDnet2014")]) == 0
    output = capfd.readouterr().out
    assert "cameraJitter/traffic/ROI.bmp: is 352×240, the frames are 320×240, and it is uniform" in output
    assert "316 frames of the temporal ROI with no mask" in output
    assert "5 videos, 0 errors, 4 warnings." in output
