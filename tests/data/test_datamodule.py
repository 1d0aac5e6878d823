"""The datamodule's choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Image, IntermittentObjects, References, SampleTransform, ScenesDataModule, Stream
from bgsub_lightning.data.shared_memory import SharedMemoryLoader
from bgsub_lightning.data.stages import StagedLoader
from bgsub_lightning.splits import SceneWise, Subset


def module(root: Path, protocol: Any = None, **settings: Any) -> ScenesDataModule:
    settings = {"size": (32, 24), "num_workers": 0, **settings}
    inputs = settings.pop("inputs", (Image(), References(3)))
    return ScenesDataModule(inputs, protocol or SceneWise(), root=root, **settings)


def test_frames_of_each_stage(cdnet: Path) -> None:
    data = module(cdnet, eval_batch_size=4)
    assert {scene.key for scene in data.frames_of("test").scenes} == {"baseline/highway", "shadow/bungalows"}
    assert data.frames_of("test").numbers == (tuple(range(21, 27)),) * 2
    assert data.frames_of("fit").isdisjoint(data.frames_of("test"))
    assert len(data.frames_of("fit")) == 18


@pytest.mark.parametrize(
    ("train", "test", "stage", "purpose"),
    [
        (["baseline"], ["thermal/unlabelled"], "test", "labelled frame to test"),
        (["thermal/unlabelled"], ["baseline"], "fit", "labelled frame to train on"),
        ([], ["baseline"], "fit", "labelled frame to train on"),
        ([], ["baseline"], "validate", "labelled frame to validate"),
        (["baseline"], [], "predict", "no frame to predict"),
    ],
)
def test_stage_without_frames_says_so(
    cdnet: Path, make_video: Callable[..., Path], train: list[str], test: list[str], stage: str, purpose: str
) -> None:
    make_video(cdnet, "thermal", "unlabelled", labelled=0, withheld=3)
    with pytest.raises(UserError, match=rf"data\.init_args\.protocol: there is .*{purpose}"):
        module(cdnet, Subset(train, test)).frames_of(stage)


def test_footage_without_masks_can_be_predicted(cdnet: Path, make_video: Callable[..., Path]) -> None:
    video = make_video(cdnet, "thermal", "unlabelled", labelled=0, withheld=3)
    for mask in (video / "groundtruth").iterdir():
        mask.unlink()
    data = module(cdnet, Subset(test=["thermal/unlabelled"]))
    assert data.frames_of("predict").numbers == ((21, 22, 23),)
    batch = next(iter(data.predict_dataloader()))
    assert batch["number"].tolist() == [21, 22, 23]
    assert "ground_truth" not in batch


@pytest.mark.parametrize("num_workers", [0, 1])
def test_own_size_must_be_one_for_all_of_a_batch(
    tmp_path: Path, make_video: Callable[..., Path], num_workers: int
) -> None:
    for name, size in (("a", (64, 48)), ("b", (32, 24)), ("c", (64, 48))):
        make_video(tmp_path, "baseline", name, size=size)

    def loader(
        train: list[str], batch_size: int, transforms: Sequence[SampleTransform] = ()
    ) -> SharedMemoryLoader | StagedLoader:
        return ScenesDataModule(
            (Image(),),
            Subset(train=train, test=["baseline/c"]),
            root=tmp_path,
            size=None,
            batch_size=batch_size,
            transforms=transforms,
            num_workers=num_workers,
        ).train_dataloader()

    assert next(iter(loader(["baseline/a"], 2)))["image"].shape == (2, 48, 64, 3)
    shown = {(batch["image"].shape, batch["mask"].shape) for batch in loader(["baseline/a", "baseline/b"], 1)}
    assert shown == {((1, 48, 64, 3), (1, 48, 64)), ((1, 24, 32, 3), (1, 24, 32))}
    for batch_size, transforms, what in (
        (2, [], "a batch"),
        (1, [IntermittentObjects(of=("baseline",))], "IntermittentObjects"),
    ):
        with pytest.raises(UserError, match=rf"data.init_args.size: .* several sizes \(32×24, 64×48\).* {what}"):
            loader(["baseline/a", "baseline/b"], batch_size, transforms)


def test_stream_begins_at_the_first_frame_and_scores_the_labelled(cdnet: Path) -> None:
    batches = list(module(cdnet, inputs=(Stream(),), eval_batch_size=7).test_dataloader())
    first = [batch for batch in batches if batch["scene"] == 0]
    assert [number for batch in first for number in batch["number"].tolist()] == list(range(1, 27))
    scored = [number for batch in first for number in batch["number"][batch["is_scored"]].tolist()]
    assert scored == list(range(21, 27))
    assert [batch["first_in_scene"] for batch in first] == [True, False, False, False]


def test_evaluation_hands_over_references_once_per_scene(cdnet: Path) -> None:
    batches = list(module(cdnet, inputs=(Image(), References(3, 2)), eval_batch_size=4).test_dataloader())
    assert ["references" in batch for batch in batches] == [True, False, True, False]
    assert batches[0]["references"].shape == (2, 3, 24, 32, 3)
    assert batches[0]["ground_truth"].shape == (4, 48, 64)
    assert batches[0]["roi"].shape == (48, 64)


def test_scenes_can_be_chosen(cdnet: Path) -> None:
    data = module(cdnet, scene=["baseline"], fold=2)
    assert {scene.key for scene in data.frames_of("fit").scenes} == {"baseline/highway", "baseline/PETS2006"}


@pytest.mark.parametrize("scene", [None, "baseline/office", ["baseline"], ["shadow"]])
@pytest.mark.parametrize("named", ["baseline/highway", "baseline/hihgway"])
def test_a_scene_that_is_not_there(cdnet: Path, scene: Any, named: str) -> None:
    data = module(cdnet, Subset(test=[named]), scene=scene)
    if named == "baseline/highway" and scene in (None, ["baseline"]):
        assert data.frames_of("test").scenes[0].key == named
        return
    with pytest.raises(UserError) as raised:
        data.frames_of("test")
    message = str(raised.value)
    assert message.startswith(f"data.init_args.protocol.init_args.test: {named!r} ")
    assert ("data.init_args.scene" in message) == (scene is not None)
    assert ("Did you mean baseline/highway" in message) == (scene in (None, ["baseline"]))
