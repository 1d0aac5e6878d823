"""The input `hop`, from the loaders to the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Hop, Image, References, ScenesDataModule, Stream
from bgsub_lightning.data.augment import A, ClipAugmentation
from bgsub_lightning.data.batches import Draw
from bgsub_lightning.data.dataset import EvaluationDataset, TrainingDataset
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import DisFlow, FarnebackFlow, FrameStore, SceneFrames
from bgsub_lightning.splits import FrameSet, SceneWise, Subset


@pytest.fixture
def pixels(tmp_path: Path, make_video: Callable[..., Path]) -> SceneFrames:
    make_video(tmp_path / "data", "baseline", "highway", unlabelled=12, labelled=5)
    return SceneFrames(CDnet2014().scenes(tmp_path / "data")[0], (32, 24), flow=FarnebackFlow())


def module(root: Path, taus: tuple[int, ...] = (1, 5), **settings: Any) -> ScenesDataModule:
    settings = {"size": (32, 24), "num_workers": 0, "flow": FarnebackFlow(), "inputs": (Image(), Hop(taus)), **settings}
    protocol = settings.pop("protocol", SceneWise())
    return ScenesDataModule(settings.pop("inputs"), protocol, root=root, **settings)


def test_intervals_are_a_set_of_positive_numbers(make_scene: Callable[..., Scene]) -> None:
    assert Hop().taus == (1, 5, 10)
    assert Hop((10, 1, 5)) == Hop()
    assert Hop((2,)).shape((64, 48)) == (48, 64, 1)
    for taus in ((), (0, 1), (1, 1)):
        with pytest.raises(UserError, match=r"model\.init_args\.taus: .*got \["):
            Hop(taus)
    Hop().validate(make_scene("a/x"))
    with pytest.raises(UserError, match=r"CDnet2014 a/one: .*flow"):
        Hop().validate(make_scene("a/one", labelled=1, references=0))


@pytest.mark.parametrize("taus", [(1,), (1, 5), (1, 5, 10), (1, 2, 3, 4, 5)])
def test_training_and_evaluation_see_the_same_flow(pixels: SceneFrames, taus: tuple[int, ...]) -> None:
    frames = FrameSet.labelled([pixels.scene])
    inputs = (Image(), Hop(taus))
    draws = [Draw(0, number, 7) for number in (14, 13, 17)]
    training = TrainingDataset([pixels], inputs, None, 0)[draws]
    evaluation = EvaluationDataset([pixels], inputs, frames, 0)[draws]
    assert training["hop"].shape == (3, 24, 32, len(taus))
    assert training["hop"].dtype == torch.uint8
    for row, draw in enumerate(draws):
        np.testing.assert_array_equal(training["hop"][row], pixels.hop(draw.number, taus))
    assert training["hop"].any()
    for key in ("image", "hop"):
        assert torch.equal(training[key], evaluation[key])


def test_every_evaluation_batch_carries_it(cdnet: Path) -> None:
    data = module(cdnet, inputs=(Stream(), Hop((2,)), References(3)), eval_batch_size=8)
    batches = list(data.test_dataloader())
    assert len(batches) == 8  # all frames of two scenes
    assert ["references" in batch for batch in batches].count(True) == 2
    for batch in batches:
        assert batch["hop"].shape == (len(batch["number"]), 24, 32, 1)
    hop = data.on_after_batch_transfer(batches[1], 0)["hop"]
    scene = data.frames_of("test").scenes[0]
    expected = SceneFrames(scene, (32, 24), flow=FarnebackFlow()).hop(batches[1]["number"].tolist()[3], (2,))
    assert torch.equal(hop[3, 0], torch.from_numpy(expected[..., 0]).float() / 255)


def test_on_the_device_it_has_its_channels_first_and_is_mirrored_with_the_frame(cdnet: Path) -> None:
    data = module(cdnet, batch_size=8, flip=0.5)
    batch = next(iter(data.train_dataloader()))
    flip = batch["flip"]
    assert 0 < flip.sum() < 8
    ready = data.on_after_batch_transfer(batch, 0)
    assert ready["hop"].shape == (8, 2, 24, 32)
    assert ready["hop"].dtype == torch.float32
    scenes = data.frames_of("fit").scenes
    for row in range(8):
        pixels = SceneFrames(scenes[int(batch["scene"][row])], (32, 24), flow=FarnebackFlow())
        number = int(batch["number"][row])
        for key, whole in (("hop", pixels.hop(number, (1, 5))), ("image", pixels.image(number))):
            expected = np.moveaxis(whole[:, ::-1] if flip[row] else whole, -1, 0).astype(np.float32) / 255
            np.testing.assert_allclose(ready[key][row], expected, atol=1e-7)
    assert ready["hop"].max() > 0.1


@pytest.mark.parametrize("planes", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_augmentation_moves_it_with_the_mask_and_leaves_its_values(planes: int, seed: int) -> None:
    generator = np.random.default_rng(0)
    levels = generator.choice(np.array([0, 50, 85, 170, 255], np.uint8), (24, 32))
    image, mask = np.stack([levels] * 3, -1), levels.copy()
    hop = np.stack([levels // (place + 1) for place in range(planes)], -1)
    compose = A.Compose(
        [
            A.RandomBrightnessContrast((0.2, 0.4), (0.2, 0.4), p=1),
            A.HorizontalFlip(p=0.5),
            A.Affine(rotate=(-30, 30), scale=(0.8, 1.2), p=1),
            A.GaussNoise(p=1),
        ]
    )
    before = image.copy()
    ClipAugmentation(compose, 1, planes)([image], mask, seed, list(np.moveaxis(hop, -1, 0)))
    assert not np.array_equal(mask, levels)
    assert not np.array_equal(image, before)
    for place in range(planes):
        np.testing.assert_array_equal(hop[..., place], mask // (place + 1))


def test_the_datamodule_augments_it(cdnet: Path) -> None:
    plain = next(iter(module(cdnet, taus=(1, 2, 5, 7), batch_size=4).train_dataloader()))
    augment = A.Compose([A.VerticalFlip(p=1), A.RandomBrightnessContrast((0.2, 0.2), p=1)])
    turned = next(iter(module(cdnet, taus=(1, 2, 5, 7), batch_size=4, augment=augment).train_dataloader()))
    assert torch.equal(turned["hop"], plain["hop"].flip(1))
    assert torch.equal(turned["mask"], plain["mask"].flip(1))
    assert not torch.equal(turned["image"], plain["image"].flip(1))


def prepared(data: ScenesDataModule, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    data.prepare_data()
    data.trainer = None
    return capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 1])
def test_the_store_gets_the_flow_that_inputs_need_and_nothing_else(
    cdnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    def names() -> set[str]:
        return {path.stem for path in (tmp_path / "store").rglob("flow_*.npy")}

    settings: dict[str, Any] = {"store": tmp_path / "store", "scene": ["baseline"], "fold": 2}
    assert "optical flow" not in prepared(module(cdnet, inputs=(Image(),), **settings), capsys)
    assert names() == set()
    assert "Computed optical flow" in prepared(module(cdnet, (5,), num_workers=workers, **settings), capsys)
    assert names() == {"flow_farneback_tau5_32x24"}
    data = module(cdnet, (1, 5), **settings)
    assert "Computed optical flow" in prepared(data, capsys)
    assert names() == {"flow_farneback_tau1_32x24", "flow_farneback_tau5_32x24"}
    assert "optical flow" not in prepared(module(cdnet, (1, 5), **settings), capsys)
    decoded = next(iter(module(cdnet, (1, 5), scene=["baseline"], fold=2, batch_size=4).train_dataloader()))
    stored = next(iter(module(cdnet, (1, 5), batch_size=4, **settings).train_dataloader()))
    for scene in data.frames_of("fit").scenes:
        assert (
            SceneFrames(scene, (32, 24), FrameStore(tmp_path / "store"), FarnebackFlow()).missing_motion((1, 5)) == []
        )
    assert torch.equal(decoded["hop"], stored["hop"])
    assert torch.equal(decoded["number"], stored["number"])


def test_workers_give_the_same(cdnet: Path) -> None:
    alone, shared = (list(module(cdnet, batch_size=4, num_workers=n).train_dataloader()) for n in (0, 1))
    for a, b in zip(alone, shared, strict=True):
        assert torch.equal(a["hop"], b["hop"])


def test_a_video_of_one_frame_is_refused(cdnet: Path, make_video: Callable[..., Path]) -> None:
    make_video(cdnet, "thermal", "one", unlabelled=0, labelled=1)
    data = module(cdnet, protocol=Subset(train=["thermal/one"], test=["thermal/park"]))
    with pytest.raises(UserError, match=r"thermal/one: .*\b1\b"):
        data.prepare_data()


def test_the_default_is_dense_inverse_search(cdnet: Path) -> None:
    data = ScenesDataModule((Image(), Hop((1,))), SceneWise(), root=cdnet, size=(32, 24), num_workers=0)
    batch = next(iter(data.test_dataloader()))
    scene = data.frames_of("test").scenes[0]
    grey = [cv2.cvtColor(cv2.imread(str(scene.frames[n])), cv2.COLOR_BGR2GRAY) for n in (21, 20)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)  # type: ignore[call-overload]
    expected = cv2.resize(np.rint(np.hypot(*cv2.split(flow)) * 8).clip(0, 255), (32, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(batch["hop"][0, ..., 0].numpy() - expected).max() <= 1
    assert data.flow == DisFlow()
