"""What a run draws of its training samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from tiny_training import quiet, trainer

from bgsub_lightning.data import ScenesDataModule, Stage
from bgsub_lightning.splits import Subset
from bgsub_lightning.systems import BgsModule, BmnBsn, SeqFeedNet, Siamese
from bgsub_lightning.training.callbacks import SamplePictures

pytestmark = quiet
WIDTH, CAPTION = 324, 22  # of a column and of a line of text


def drawn(
    module: BgsModule, folder: Path, make_video: Callable[..., Path], *more: Callback, count: int = 2, **fits: int
) -> set[str]:
    """The pictures of a run, whose names begin with ``samples``."""
    for name in ("highway", "office"):
        make_video(folder / "data", "baseline", name, unlabelled=6, labelled=12)
    plan = {"plan": module.plan} if hasattr(module, "plan") else {}
    data = ScenesDataModule(
        module.inputs, Subset(["*/highway"], ["*/office"]), folder / "data", size=(32, 16), batch_size=3, num_workers=0,
        **plan,
    )  # fmt: skip
    trainer(folder / "run", [SamplePictures(count), *more], **{"max_steps": 1} | fits).fit(module, data)
    return {path.name for path in (folder / "run/pictures").glob("samples*")}


class Seen(Callback):
    """Keeps the first batch."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batch = batch


def test_a_row_is_a_sample_and_a_column_an_image(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    module, seen = BmnBsn(references=2, maps=2, channels=2, depth=2), Seen()
    assert drawn(module, tmp_path, make_video, seen) == {"samples.png"}
    picture = cv2.imread(str(tmp_path / "run/pictures/samples.png"))[..., ::-1]
    assert picture.shape == (CAPTION + 2 * (160 + CAPTION), 4 * WIDTH, 3)  # 2 references, the frame, its mask
    for place in range(2):
        rows, columns = np.arange(16) * 10 + 5 + CAPTION + place * (160 + CAPTION), np.arange(32) * 10 + 5
        found = [picture[rows[:, None], columns + column * WIDTH] for column in range(4)]
        images = [*seen.batch["references"][place], seen.batch["image"][place]]
        mask = seen.batch["mask"][place].numpy()
        expected = [(255 * each).round().byte().movedim(0, -1).numpy() for each in images]
        keys = [entry.key for entry in module.training_inputs()]
        expected = expected if keys == ["references", "image"] else [expected[2], *expected[:2]]
        np.testing.assert_array_equal(found[:3], expected)
        np.testing.assert_array_equal(found[3], np.repeat(mask[..., None], 3, -1))


def test_groups_show_their_frames_and_masks(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    module = SeqFeedNet(width=2, group=3, gap=(1, 1), history=3)
    assert drawn(module, tmp_path, make_video, count=1) == {"samples.png"}
    picture = cv2.imread(str(tmp_path / "run/pictures/samples.png"))
    assert picture.shape[1] == (1 + 1 + 3 + 3) * WIDTH


def test_each_stage_has_its_picture_and_what_is_there_stays(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    stage = Stage(1, 2, 1e-3)
    module = Siamese(width=2, channels=2, depth=2, metric=stage, segment=stage)
    there = tmp_path / "run/pictures/samples_metric.png"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"of the run that goes on")
    assert drawn(module, tmp_path, make_video, max_steps=2) == {"samples_metric.png", "samples_segment.png"}
    assert there.read_bytes() == b"of the run that goes on"


def test_none_are_drawn_where_none_are_wanted(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    assert drawn(BmnBsn(references=1, maps=1, channels=2, depth=1), tmp_path, make_video, count=0) == set()
