"""Pictures of a few frames of a test, chosen by rule when all are known."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray

from bgsub_lightning.core.console import console
from bgsub_lightning.data import EvaluationBatch
from bgsub_lightning.datasets import Scene
from bgsub_lightning.evaluation.gallery import GalleryFrame, chosen, clear_gallery, write_index, write_pictures
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.training.callbacks.frames import FrameCallback
from bgsub_lightning.training.processes import gathered


class Gallery(FrameCallback):
    """Keeps the best, the median and the worst frame of each category, and the one with the most foreground.

    Which these are is known at the end alone. Until then the masks of all tested frames lie compressed in a temporary
    file of the run directory, a kilobyte or two each. The pictures are
    ``gallery/<category>/<video>/<frame>_{frame,truth,prediction,confusion}``, with a list in ``gallery/gallery.csv``.

    Args:
        keep: Whether to.
    """

    stages = ("test",)

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep
        self.places: dict[GalleryFrame, tuple[int, int]] = {}
        self.masks: IO[bytes] | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the frames of an earlier test."""
        self.places = {}
        if self.keep:
            self.masks = tempfile.TemporaryFile(dir=trainer.default_root_dir)  # noqa: SIM115 (closed at the end)

    def on_frames(self, module: BgsModule, scene: Scene, outputs: Any, batch: EvaluationBatch, stage: str) -> None:  # noqa: D102
        if self.masks is None:
            return
        masks = module.is_foreground(outputs["probability"]).cpu().numpy()
        numbers, counts = batch["number"][batch["is_scored"]].tolist(), outputs["counts"].tolist()
        for mask, number, row, is_test in zip(masks, numbers, counts, outputs["is_test"].tolist(), strict=True):
            frame = GalleryFrame(scene.key, number, tuple(row))
            if is_test and frame.foreground:
                packed = zlib.compress(np.packbits(mask).tobytes(), 1)
                self.places[frame] = self.masks.tell(), len(packed)
                self.masks.write(packed)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose, and write the pictures; each process writes those of its frames."""
        if self.masks is None:
            return
        folder = Path(trainer.default_root_dir) / "gallery"
        if trainer.is_global_zero:
            clear_gallery(folder)
        kept = chosen(frame for part in gathered(trainer, list(self.places)) for frame in part)
        scenes = cast("BgsModule", pl_module).datamodule.frames_of("test").scenes
        pixels = {scene.key: SceneFrames(scene, None) for scene in scenes}

        def prediction(frame: GalleryFrame) -> NDArray[np.bool_]:
            place, length = self.places[frame]
            assert self.masks is not None
            self.masks.seek(place)
            bits = np.frombuffer(zlib.decompress(self.masks.read(length)), np.uint8)
            width, height = pixels[frame.video].size
            return np.unpackbits(bits, count=width * height).reshape(height, width).astype(np.bool_)

        write_pictures(folder, [frame for _, frame in kept if frame in self.places], pixels, prediction)
        self._close()
        if trainer.is_global_zero and kept:
            write_index(folder, kept)
            count = len({frame for _, frame in kept})
            console.print(f"{folder} has pictures of {count} frames: best, median, worst, most foreground by category.")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: D102
        self._close()

    def _close(self) -> None:
        if self.masks is not None:
            self.masks.close()
            self.masks = None
