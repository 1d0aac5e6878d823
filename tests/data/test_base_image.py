"""Pairs of training frames, and the base image of an evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import BaseImage, BaseMask, Image, ScenesDataModule, Span, Stage, StagePlan
from bgsub_lightning.data.augment import A, ClipAugmentation
from bgsub_lightning.data.batches import Draw, TrainingBatches
from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import FrameStore, SceneFrames, read_image
from bgsub_lightning.splits import FrameSet, HoldOut, LabelBudget, Protocol, Subset


@pytest.fixture
def root(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Two scenes of 14 labelled frames of 32×24, numbered from 5."""
    for name in ("highway", "office"):
        make_video(tmp_path / "data", "baseline", name, size=(32, 24), unlabelled=4, labelled=14)
    return tmp_path / "data"


@pytest.fixture
def frames(root: Path) -> FrameSet:
    """Every other labelled frame: those that are trained on."""
    return FrameSet.of((scene, list(scene.masks)[::2]) for scene in CDnet2014().scenes(root))


def pixels_of(frames: FrameSet) -> list[SceneFrames]:
    return [SceneFrames(scene, None) for scene in frames.scenes]


def prepared(frames: FrameSet, tmp_path: Path) -> BaseImage:
    base = BaseImage()
    base.prepare(pixels_of(frames), frames, FrameStore(tmp_path / "store"))
    return base


def datamodule(root: Path, protocol: Protocol | None = None, base: BaseImage | None = None, **more: Any) -> Any:
    settings = {"size": None, "num_workers": 0, "eval_batch_size": 3, **more}
    chosen = protocol or LabelBudget(0.4, "random", validation=HoldOut(fraction=0.4, frames=0))
    return ScenesDataModule((Image(), base or BaseImage()), chosen, root, **settings)


def paint(scene: Scene, number: int, pixels: int) -> None:
    """Give a labelled frame that many foreground pixels."""
    mask = np.zeros(scene.size[::-1], np.uint8)
    mask.flat[:pixels] = 255
    cv2.imwrite(str(scene.masks[number]), mask)


# --- training --------------------------------------------------------------------------------------------------------


def test_partners_are_other_training_frames_of_the_scene(frames: FrameSet, tmp_path: Path) -> None:
    base = prepared(frames, tmp_path)
    for scene, numbers in frames:
        for number in numbers:
            partners = {base.frames(scene, number, seed)[0] for seed in range(200)}
            assert partners == {*numbers} - {number}


def test_partners_depend_on_the_samples_seed_alone(frames: FrameSet, tmp_path: Path) -> None:
    one, other = prepared(frames, tmp_path), prepared(frames, tmp_path)
    scene, numbers = next(iter(frames))
    drawn = [one.frames(scene, numbers[0], seed) for seed in range(50)]
    np.random.seed(3)
    assert [other.frames(scene, numbers[0], seed) for seed in reversed(range(50))][::-1] == drawn


def test_both_masks_are_those_of_the_pair(frames: FrameSet, tmp_path: Path) -> None:
    base = prepared(frames, tmp_path)
    inputs = (Image(), base, BaseMask(base))
    pixels = pixels_of(frames)
    batches = TrainingBatches(frames, 4, seed=1)
    dataset = TrainingDataset(pixels, inputs, None, 0.0)
    for step in range(len(batches)):
        draws = batches.batch(step)
        batch = dataset[draws]
        assert batch["base_image"].shape == (len(draws), 24, 32, 3)
        assert batch["base_mask"].shape == (len(draws), 24, 32)
        for row, draw in enumerate(draws):
            scene = pixels[draw.scene]
            (partner,) = base.frames(scene.scene, draw.number, draw.seed)
            assert partner in frames.numbers[draw.scene]
            for key, expected in (
                ("image", scene.image(draw.number)),
                ("base_image", scene.image(partner)),
                ("mask", scene.mask(draw.number)),
                ("base_mask", scene.mask(partner)),
            ):
                np.testing.assert_array_equal(batch[key][row], expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_pipeline_moves_the_pair_alike(seed: int) -> None:
    generator = np.random.default_rng(0)
    mask = np.repeat(np.repeat(generator.choice([0, 50, 85, 170, 255], (6, 8)), 4, 0), 4, 1).astype(np.uint8)
    other = mask[::-1].copy()
    images = [np.stack([mask] * 3, -1), np.stack([other] * 3, -1)]
    before = mask.copy()
    compose = A.Compose(
        [A.Affine(rotate=(-30, 30), scale=(0.8, 1.2), interpolation=cv2.INTER_NEAREST, p=1), A.VerticalFlip(p=0.5)]
    )
    ClipAugmentation(compose, 2, 1)(images, mask, seed, [other])
    assert not np.array_equal(mask, before)
    for image, levels in zip(images, (mask, other), strict=True):
        np.testing.assert_array_equal(image, np.stack([levels] * 3, -1))


def test_light_touches_no_mask(frames: FrameSet, tmp_path: Path) -> None:
    base = prepared(frames, tmp_path)
    inputs = (Image(), base, BaseMask(base))
    compose = A.Compose([A.RandomBrightnessContrast((0.2, 0.4), (0.2, 0.4), p=1)])
    draws = [Draw(0, frames.numbers[0][0], 7)]
    plain = TrainingDataset(pixels_of(frames), inputs, None, 0)[draws]
    bright = TrainingDataset(pixels_of(frames), inputs, ClipAugmentation(compose, 2, 1), 0)[draws]
    for key in ("mask", "base_mask"):
        assert torch.equal(plain[key], bright[key])
    for key in ("image", "base_image"):
        assert (bright[key] > plain[key]).any()


def batches(data: ScenesDataModule, frames: FrameSet, workers: int) -> list[dict[str, Any]]:
    """Batches of the loader of a stage, on the device."""
    data.num_workers = workers
    span = data.plan.spans[0]  # type: ignore[union-attr]
    loader = data._training(span.inputs, TrainingBatches(frames, 2, steps=9, seed=3))
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


def test_masks_arrive_as_they_are_and_mirrored_with_their_images(root: Path, tmp_path: Path) -> None:
    base = BaseImage()
    plan = StagePlan(Span("metric", (), Stage(9, 2, 1.0), (Image(), base, BaseMask(base)), 2))
    plain = datamodule(root, plan=plan)
    frames = plain.split.train
    base.prepare(pixels_of(frames), frames, FrameStore(tmp_path / "store"))
    mirrored = datamodule(root, plan=plan, flip=1.0)
    mixed = datamodule(root, plan=plan, flip=0.5)
    one, other, some, again = (
        batches(data, frames, workers) for data, workers in ((plain, 0), (mirrored, 0), (mixed, 0), (mixed, 2))
    )
    assert len(one) == 9
    for a, b in zip(one, other, strict=True):
        assert a["base_mask"].dtype == torch.uint8
        assert a["base_mask"].shape == (2, 24, 32)
        assert a["base_image"].shape == (2, 3, 24, 32)
        assert 0 <= a["base_image"].min() < a["base_image"].max() <= 1
        for key in ("image", "base_image", "mask", "base_mask"):
            assert torch.equal(a[key].flip(-1), b[key])
    for a, b in zip(some, again, strict=True):  # the same whatever the number of workers
        for key in ("image", "base_image", "mask", "base_mask", "number"):
            assert torch.equal(a[key], b[key])


def test_a_scene_with_one_training_frame_has_no_pair(frames: FrameSet, tmp_path: Path) -> None:
    one = FrameSet.of((scene, numbers[:1]) for scene, numbers in frames)
    message = r"CDnet2014 baseline/highway: must have 2 training frames .* got 1\. .*data\.init_args\.protocol"
    with pytest.raises(UserError, match=message):
        prepared(one, tmp_path)


# --- the base of an evaluation ---------------------------------------------------------------------------------------


def test_the_base_is_of_the_tenth_with_most_foreground(root: Path) -> None:
    scenes = CDnet2014().scenes(root)
    for scene in scenes:
        for number in scene.masks:
            paint(scene, number, 10 * number)
    tested = FrameSet.of((scene, list(scene.masks)[:11]) for scene in scenes)  # of 11 with foreground: ⌈1.1⌉ = 2
    found = [BaseImage().chosen(pixels_of(tested), tested, seed).bases() for seed in range(40)]
    for scene in scenes:
        largest = set(list(scene.masks)[9:11])
        assert {bases[scene.key] for bases in found} == largest
    assert len({tuple(bases.values()) for bases in found}) == 4  # each scene has its own draws
    assert BaseImage().chosen(pixels_of(tested), tested, 5).bases() == found[5]


def test_frames_without_foreground_are_not_counted_in_the_tenth(root: Path) -> None:
    scene = CDnet2014().scenes(root)[0]
    for number in scene.masks:
        paint(scene, number, 7 if number == 9 else 0)
    tested = FrameSet.labelled([scene])
    for seed in range(10):
        assert BaseImage().chosen(pixels_of(tested), tested, seed).bases() == {scene.key: 9}


def test_no_foreground_takes_the_first_and_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = CDnet2014().scenes(root)[0]
    for number in scene.masks:
        paint(scene, number, 0)
    tested = FrameSet.of([(scene, list(scene.masks)[3:])])
    assert BaseImage().chosen(pixels_of(tested), tested, 0).bases() == {scene.key: 8}
    output = " ".join(capsys.readouterr().out.split())
    assert re.search(r"baseline/highway: .*11 frames .*foreground.*\b8\b", output)
    assert "--model.init_args.base names another" in output


def test_a_batch_brings_the_base_with_the_scenes_first(root: Path) -> None:
    data = datamodule(root)
    bases, seen = data.bases_of("test"), set()
    scored: dict[int, list[int]] = {0: [], 1: []}
    for raw in data.test_dataloader():
        batch = data.on_after_batch_transfer(raw, 0)
        scene = data.frames_of("test").scenes[batch["scene"]]
        assert ("base_image" in batch) == batch["first_in_scene"]
        if batch["first_in_scene"]:
            seen.add(scene.key)
            expected = torch.from_numpy(SceneFrames(scene, None).image(bases[scene.key])).movedim(-1, 0)[None] / 255
            torch.testing.assert_close(batch["base_image"], expected)
        scored[batch["scene"]] += batch["number"][batch["is_scored"]].tolist()
        assert not batch["is_scored"][batch["number"] == bases[scene.key]].any()
    assert seen == set(bases)
    tested = {scene.key: set(numbers) for scene, numbers in data.frames_of("test")}
    also_scored = {scene.key: set(numbers) for scene, numbers in data.split.train_frames_scored}
    for position, scene in enumerate(data.frames_of("test").scenes):
        assert bases[scene.key] in tested[scene.key]  # never of the training part
        expected_ = (tested[scene.key] - {bases[scene.key]}) | also_scored[scene.key]
        assert sorted(scored[position]) == sorted(expected_)


def test_validation_has_its_bases_from_training_and_scores_all_its_frames(root: Path) -> None:
    data = datamodule(root)
    bases = data.bases_of("validate")
    for scene, numbers in data.split.train:
        assert bases[scene.key] in numbers
    held_out = {(scene.key, n) for scene, numbers in data.split.validation for n in numbers}
    scored = [n for batch in data.val_dataloader() for n in batch["number"][batch["is_scored"]].tolist()]
    assert len(scored) == len(held_out - {*bases.items()})
    data.bases_of("test")
    assert data.bases_of("validate") == bases


def test_prediction_has_the_tests_base_and_predicts_it_too(root: Path) -> None:
    data = datamodule(root)
    assert data.bases_of("predict") == data.bases_of("test")
    for batch in data.predict_dataloader():
        assert batch["is_scored"].all()


def test_prediction_without_masks_takes_the_first_frame(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in root.rglob("gt*.png"):
        path.unlink()
    data = datamodule(root, Subset(test=["baseline/office"]))
    assert data.bases_of("predict") == {"baseline/office": 5}
    assert "none of the 14 frames are labelled; the first, 5, is the base image" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_given_frame(root: Path) -> None:
    """Any of the scene, labelled or not; it leaves out of the scores only itself."""
    for number, left in ((2, 0), (11, 1)):
        data = datamodule(root, Subset(test=["baseline"]), BaseImage(number))
        assert set(data.bases_of("test").values()) == {number}
        scored = sum(int(batch["is_scored"].sum()) for batch in data.test_dataloader())
        assert scored == 28 - 2 * left
    assert datamodule(root, base=BaseImage(2)).bases_of("validate") == dict.fromkeys(data.bases_of("test"), 2)


def test_a_given_image(root: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "base.png"), picture)
    for size in (None, (16, 16)):
        data = datamodule(root, Subset(test=["*/office"]), BaseImage(tmp_path / "base.png"), size=size)
        assert data.bases_of("test") == {"baseline/office": tmp_path / "base.png"}
        loaded = list(data.test_dataloader())
        np.testing.assert_array_equal(loaded[0]["base_image"][0], read_image(tmp_path / "base.png", size))
        assert sum(int(batch["is_scored"].sum()) for batch in loaded) == 14


def test_bases_of_scenes(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are named have what is named, the others what the rule gives them."""
    cv2.imwrite(str(tmp_path / "base.png"), np.zeros((24, 32, 3), np.uint8))
    both = Subset(test=["baseline"])
    ruled = datamodule(root, both).bases_of("test")
    given: dict[str, int | Path] = {"baseline/office": tmp_path / "base.png", "baseline/elsewhere": 99}
    found = datamodule(root, both, BaseImage(given)).bases_of("test")
    assert found == {"baseline/highway": ruled["baseline/highway"], "baseline/office": tmp_path / "base.png"}
    BaseImage(given).require_evaluation(datamodule(root, both).frames_of("test"))
    assert "baseline/elsewhere: not evaluated here" in " ".join(capsys.readouterr().out.split())
    assert BaseImage(given) == BaseImage(dict(given)) != BaseImage({"baseline/office": 7})
    assert isinstance(hash(BaseImage(given)), int)


@pytest.mark.parametrize("name", ["scores.json", "other.json"])
def test_bases_of_a_former_test(root: Path, tmp_path: Path, name: str) -> None:
    image = tmp_path / "base.png"
    cv2.imwrite(str(image), np.zeros((24, 32, 3), np.uint8))
    videos = {"baseline/highway": {"base": 7}, "baseline/office": {"base": str(image)}, "shadow/x": {"base": 99}}
    (tmp_path / name).write_text(json.dumps({"videos": videos}))
    data = datamodule(root, Subset(test=["baseline"]), BaseImage(tmp_path / name))
    assert data.bases_of("test") == {"baseline/highway": 7, "baseline/office": image}
    if name == "scores.json":
        assert datamodule(root, Subset(test=["baseline"]), BaseImage(tmp_path)).bases_of("test") == data.bases_of(
            "test"
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", r"a\.json: "),
        ('{"videos": {"a/b": 3}}', r"a\.json: "),
        ("no JSON", r"a\.json: "),
        ('{"videos": {"a/b": {"base": null}}}', r"a\.json: .*base image"),
        (None, r"a\.json: there is no such file"),
    ],
)
def test_files_without_bases(root: Path, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=message):
        datamodule(root, base=BaseImage(tmp_path / "a.json")).bases_of("test")


def test_bases_that_cannot_be_used(root: Path, tmp_path: Path) -> None:
    def fails(message: str, base: int | Path | dict[str, int | Path], protocol: Protocol) -> None:
        with pytest.raises(UserError, match=message):
            datamodule(root, protocol, BaseImage(base)).bases_of("test")

    both, one = Subset(test=["baseline"]), Subset(test=["*/office"])
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((30, 32, 3), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    fails(r"model\.init_args\.base: CDnet2014 baseline/highway has no frame 99; its frames are 1 to 18\.", 99, both)
    fails(r"none\.png: there is no such base image\. --model\.init_args\.base names", tmp_path / "none.png", one)
    fails(r"base: .*large\.png is the base image of one scene, and 2 are evaluated", tmp_path / "large.png", both)
    fails(
        r"large\.png: the base image is 32×30, and the frames of baseline/office are 32×24", tmp_path / "large.png", one
    )
    fails(r"text\.png: cannot be decoded as an image", tmp_path / "text.png", one)
    fails(r"office has no frame 99; its frames", {"baseline/office": 99}, both)
    fails(r"large\.png: the base image is 32×30", {"baseline/office": tmp_path / "large.png"}, both)


def test_a_scene_with_one_frame_to_evaluate(root: Path) -> None:
    """As in Wallflower, or where a few validation frames are spread over many scenes."""
    scene = CDnet2014().scenes(root)[0]
    tested = FrameSet.of([(scene, [9])])
    assert BaseImage().chosen(pixels_of(tested), tested, 0).bases() == {scene.key: min(scene.frames)}
    message = (
        r"baseline/highway: frame 9, the only one to evaluate, would be its own base .* --model\.init_args\.base=N"
    )
    with pytest.raises(UserError, match=message):
        BaseImage(9).chosen(pixels_of(tested), tested, 0)
    alone = FrameSet.of([(replace(scene, frames={9: scene.frames[9]}), [9])])
    with pytest.raises(UserError, match=message):
        BaseImage().chosen(pixels_of(alone), alone, 0)
    assert BaseImage(2).chosen(pixels_of(tested), tested, 0).bases() == {scene.key: 2}


def test_inputs_are_values() -> None:
    assert BaseImage() == BaseImage()
    assert BaseImage(3) != BaseImage(4)
    assert BaseMask(BaseImage()) == BaseMask(BaseImage())
    assert replace(BaseImage(), of_scene={"a/x": 1}) == BaseImage()
