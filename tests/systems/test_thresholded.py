"""Systems with nothing to fit, and the threshold on what differs from a background, through the command line."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from bgsub_lightning.backgrounds.classical import TemporalMedian
from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch, Stream
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.metrics import THRESHOLDS
from bgsub_lightning.systems.baselines import ClassicalSubtractor, ThresholdedDifference
from bgsub_lightning.systems.bmn_bsn import BmnBsn
from bgsub_lightning.systems.cdn_medal import CdnMedal
from bgsub_lightning.systems.cdn_medal.background import DensityBackground
from bgsub_lightning.systems.untrained import UntrainedModule

KEYS = ("baseline/highway", "shadow/bungalows")
MEDIAN = {"class_path": "bgsub_lightning.backgrounds.TemporalMedian", "init_args": {"history": 15, "every": 3}}
PCA = {"class_path": "Eigenbackground", "init_args": {"frames": 20, "components": 2}}
RPCA = {"class_path": "IncrementalPcp"}
DENSITY = {"class_path": "DensityBackground"}


@pytest.fixture
def experiment(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writer of a configuration: the tiny videos, 2 of 6 labelled frames of which are not test frames."""

    def write(background: dict[str, Any], name: str = "thresholded", **settings: Any) -> Path:
        content = yaml.safe_load(tiny.read_text())
        content["model"] = {"class_path": "ThresholdedDifference", "init_args": {"background": background, **settings}}
        content["data"]["init_args"] |= {
            "size": None,
            "scene": list(KEYS),
            "protocol": {"class_path": "LabelBudget", "init_args": {"frames": 2, "drawn": "balanced"}},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def batch(images: Tensor) -> EvaluationBatch:
    count, _, height, width = images.shape
    return {
        "image": images,
        "roi": torch.ones(height, width, dtype=torch.bool),
        "is_scored": torch.ones(count, dtype=torch.bool),
        "scene": 0,
        "number": torch.arange(count),
        "first_in_scene": True,
        "last_in_scene": True,
    }


def test_probability_is_the_largest_difference_of_a_channel() -> None:
    images = torch.zeros(3, 3, 5, 4)
    images[2, 0, 1, 1], images[2, 1, 1, 1], images[2, 2, 3, 2] = 51 / 255, 40 / 255, 1.0
    images[0, :, 0, 0] = images[1, :, 0, 0] = 102 / 255
    module = ThresholdedDifference(TemporalMedian(9, 9), threshold=0.2)
    assert module.inputs == (Stream(),)
    context = module.begin_scene({})
    probability = module.probability(context, batch(images))
    expected = torch.zeros(3, 5, 4)
    expected[2, 1, 1], expected[2, 3, 2], expected[2, 0, 0] = 0.2, 1.0, 0.4
    assert torch.equal(probability, expected[None])
    assert (probability > 0.2).sum() == 2  # 51/255 is not above 0.2
    assert list(context.pictures()) == ["background"]


def test_another_scene_is_another_background() -> None:
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (6, 3, 5, 4)).astype(np.float32)) / 255
    module = ThresholdedDifference(TemporalMedian(9, 1))
    context = module.begin_scene({})
    first = module.probability(context, batch(images))
    assert torch.equal(module.probability(module.begin_scene({}), batch(images)), first)
    assert not torch.equal(module.probability(context, batch(images)), first)


def test_difference_in_half_precision_is_of_eight_bits() -> None:
    images = torch.arange(256).view(4, 1, 8, 8).expand(-1, 3, -1, -1).float() / 255
    module = ThresholdedDifference(TemporalMedian(9, 9))
    exact, half = (module.probability(module.begin_scene({}), batch(each)) for each in (images, images.half()))
    assert half.dtype == torch.float32
    assert torch.equal((half * 255).round() / 255, half)
    assert (half - exact).abs().max() <= 1.01 / 255


@pytest.mark.parametrize("module", [ClassicalSubtractor(), ThresholdedDifference(TemporalMedian())])
def test_there_is_nothing_to_fit(module: UntrainedModule) -> None:
    assert not module.trainable
    assert BmnBsn.trainable
    for refused in (module.configure_optimizers, lambda: module.losses({})):
        with pytest.raises(UserError, match=rf"{type(module).__name__}: .*`test`"):
            refused()


@pytest.mark.parametrize("threshold", [-0.1, 1.0])
def test_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(UserError, match=r"model.init_args.threshold: .*\[0, 1\)"):
        ThresholdedDifference(TemporalMedian(), threshold)


def test_fit_is_refused(experiment: Callable[..., Path], fails: Callable[[int], str], tmp_path: Path) -> None:
    message = fails(main(["fit", "--config", str(experiment(MEDIAN)), f"--run_dir={tmp_path / 'run'}"]))
    assert "ThresholdedDifference: " in message


def by_hand(dataset: Path, key: str, numbers: list[int], threshold: float) -> list[int]:
    """TP, FP, FN, TN of the difference from the median of five frames, each third one, by numpy, from the files."""
    count = max(numbers)
    paths = [str(dataset / key / f"input/in{number:06d}.jpg") for number in range(1, count + 1)]
    frames = np.stack([cv2.imread(path) for path in paths])
    roi = cv2.imread(str(dataset / key / "ROI.bmp"), cv2.IMREAD_GRAYSCALE) > 0
    found = np.zeros(4, int)
    for number in numbers:
        taken = list(range(0, number, 3))[-5:]
        ordered = np.sort(frames[taken], axis=0)
        background = ordered[(len(taken) - 1) // 2].astype(int)
        said = (np.abs(frames[number - 1] - background).max(-1) / 255 > threshold)[roi]
        truth = cv2.imread(str(dataset / key / f"groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)[roi]
        moving, static = truth == 255, np.isin(truth, (0, 50, 85))
        found += [np.count_nonzero(part) for part in (moving & said, static & said, moving & ~said, static & ~said)]
    return found.tolist()


def test_it_is_tested_at_every_threshold(
    experiment: Callable[..., Path], cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["test", "--config", str(experiment(MEDIAN)), f"--run_dir={run}"]) == 0
    result = TestResult.load(run)
    assert (result.system, result.checkpoint, result.training_frames) == ("ThresholdedDifference", None, 4)
    rows = [line.split(",") for line in (run / "frames.csv").read_text().splitlines()[1:]]
    for key, video in result.videos.items():
        assert np.shape(video.threshold_counts) == (len(THRESHOLDS), 4)
        numbers = [int(number) for name, number, *_, is_test in rows if (name, is_test) == (key, "1")]
        assert len(numbers) == video.frames == 4
        for i in (0, 1, 5, 15, 40, 80, 100):
            assert video.threshold_counts[i] == by_hand(cdnet, key, numbers, i / 100)
        assert video.threshold_counts[15] == video.counts[:4]
        assert video.threshold_counts[0] != video.threshold_counts[15] != video.threshold_counts[80]
    at = result.scores_at_thresholds()
    assert at[15].overall == result.scores().overall
    assert at[15].overall["f_measure"] > 0.8
    assert at[15].overall["mean_dice"] > 0.8
    with (run / "csv/version_0/metrics.csv").open() as file:
        (logged,) = csv.DictReader(file)
    assert float(logged["test/mean_dice"]) == pytest.approx(at[15].overall["mean_dice"], abs=1e-6)
    assert (run / "pictures/test_background.png").is_file()
    assert main(["predict", "--config", str(experiment(MEDIAN)), f"--run_dir={run}", "--backgrounds.every=3"]) == 0
    assert list((run / "backgrounds" / KEYS[0]).glob("*_background.png"))
    capfd.readouterr()


def test_validation_reports_the_best_threshold_of_its_frames(experiment: Callable[..., Path], tmp_path: Path) -> None:
    def validated(name: str, threshold: float) -> dict[str, float]:
        options = [f"--run_dir={tmp_path / name}", f"--model.init_args.threshold={threshold}"]
        assert main(["validate", "--config", str(experiment(MEDIAN)), *options]) == 0
        with (tmp_path / name / "csv/version_0/metrics.csv").open() as file:
            (row,) = csv.DictReader(file)
        return {key: float(value) for key, value in row.items() if value}

    first = validated("first", 0.9)
    best = round(first["val/best_threshold"], 2)
    assert 0 < best < 0.9
    at_best = validated("best", best)
    assert at_best["val/f_measure"] == first["val/best_f_measure"] == at_best["val/best_f_measure"]
    assert first["val/f_measure"] < first["val/best_f_measure"]
    assert validated("below", best - 0.01)["val/f_measure"] < first["val/best_f_measure"]
    assert 0 < at_best["val/mean_dice"] <= 1


@pytest.mark.parametrize("options", [["--data.init_args.eval_batch_size=1"], ["--data.init_args.num_workers=1"]])
@pytest.mark.parametrize("background", [PCA, RPCA], ids=["pca", "rpca"])
def test_scores_do_not_depend_on_batches_or_workers(
    experiment: Callable[..., Path], tmp_path: Path, background: dict[str, Any], options: list[str]
) -> None:
    command = ["test", "--config", str(experiment(background)), "--pictures.scenes=0"]
    assert main([*command, f"--run_dir={tmp_path / 'a'}"]) == 0
    assert main([*command, f"--run_dir={tmp_path / 'b'}", *options]) == 0
    first, second = TestResult.load(tmp_path / "a"), TestResult.load(tmp_path / "b")
    assert first.videos == second.videos
    assert max(at.overall["f_measure"] for at in first.scores_at_thresholds()) > 0.6  # the first frames have objects


def save(path: Path, system: CdnMedal, **changes: Any) -> Path:
    """A checkpoint, as a fit of the system would leave it."""
    content: dict[str, Any] = {
        "state_dict": system.state_dict(),
        "pytorch-lightning_version": lightning.__version__,
    }
    system.on_save_checkpoint(content)
    torch.save(content | changes, path)
    return path


def test_a_source_with_weights_takes_them_from_a_checkpoint_of_any_system(
    experiment: Callable[..., Path], tmp_path: Path, fails: Callable[[int], str]
) -> None:
    torch.manual_seed(3)
    system = CdnMedal()
    system.trained_on = {"CDnet2014": {KEYS[0]: (1, 2)}}  # type: ignore[dict-item]
    module = ThresholdedDifference(DensityBackground())
    stored: dict[str, Any] = {"state_dict": dict(system.state_dict()), "trained_on": system.trained_on}
    module.on_load_checkpoint(stored)
    module.load_state_dict(stored["state_dict"])
    assert module.background.fingerprint() == system.background.fingerprint()
    assert module.trained_on == system.trained_on

    config, run = str(experiment(DENSITY)), f"--run_dir={tmp_path / 'run'}"
    message = "model.init_args.background: DensityBackground has weights, and none were given. Name by --ckpt_path FILE"
    for command in ("validate", "test", "predict"):
        assert message in " ".join(fails(main([command, "--config", config, run])).split())
    system.trained_on = {}
    path = save(tmp_path / "medal.ckpt", system)
    assert main(["test", "--config", config, run, f"--ckpt_path={path}"]) == 0
    assert TestResult.load(tmp_path / "run").checkpoint == str(path)


def test_weights_of_a_system_without_such_a_background_are_refused() -> None:
    module = ThresholdedDifference(DensityBackground())
    other = BmnBsn(references=3, maps=4, channels=4, depth=2)
    with pytest.raises(UserError, match=r"BmnBsn.*ThresholdedDifference"):
        module.on_load_checkpoint({"state_dict": other.state_dict(), "trained_on": {}, "module": "BmnBsn"})
    with pytest.raises(UserError, match="trained_on"):
        module.on_load_checkpoint({"state_dict": module.state_dict()})
