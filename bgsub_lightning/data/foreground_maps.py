"""Maps of what could be foreground, such as the probability of people and vehicles by a semantic segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data.empty_background import EmptyBackground
from bgsub_lightning.data.inputs import Input
from bgsub_lightning.data.video_images import images_of, numbered, require_size
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.frames.images import resized
from bgsub_lightning.splits import FrameSet

_IMAGES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class ForegroundMaps:
    """Folders of grey images of the size of the frames, ``<category>/<video>/*NUMBER.jpg`` or ``.png``: 255 is certain.

    M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net", WACV 2020: the sum of the probabilities of what can move.

    Args:
        frame: Those of the frames, by their numbers.
        recent: Those of the recent background of each frame.
        empty: Those of the empty background: one for each video, or for each frame. Where people have chosen the
            images, each map has the name of its image.
    """

    frame: Path
    recent: Path
    empty: Path

    def __post_init__(self) -> None:
        for name in ("frame", "recent", "empty"):
            object.__setattr__(self, name, Path(getattr(self, name)).expanduser())

    def inputs(self, empty: EmptyBackground) -> tuple[ForegroundMap, ...]:
        """Return the inputs that show them; one shows that of an empty background."""
        return EmptyMap(self.empty, empty), RecentMap(self.recent), FrameMap(self.frame)


@dataclass(frozen=True)
class ForegroundMap(Input):
    """The map of one of a sample's images, ``(H, W, 1)``.

    Frames before the temporal ROI, which only pass, need none: theirs is 0.

    Args:
        folder: See :class:`ForegroundMaps`.
    """

    colour = False
    per_frame = True
    of_files = True
    folder: Path

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return (size[1], size[0], 1)

    def require_training(self, frames: FrameSet) -> None:  # noqa: D102
        self.require_evaluation(frames)

    def require_evaluation(self, frames: FrameSet) -> None:
        """Check that each frame has a map, and that the first of a video has its size.

        Raises:
            UserError: If one is missing, or is of another size.
        """
        for scene, numbers in frames:
            for number in numbers:
                self._file(scene, number)
            self._map(scene, numbers[0], 0)

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        scene = pixels.scene
        passes = number not in scene.masks and not scene.is_evaluated(number)
        if passes and number not in numbered(self._files(scene)):
            out[...] = 0
        else:
            out[..., 0] = pixels.shown(resized(self._map(scene, number, seed), pixels.whole.size))

    def _files(self, scene: Scene) -> tuple[Path, ...]:
        return images_of(self.folder, scene.key, _IMAGES)

    def _map(self, scene: Scene, number: int, seed: int) -> NDArray[np.uint8]:
        path = self._file(scene, number, seed)
        found = read_pixels(path, cv2.IMREAD_GRAYSCALE)
        if found is None or found.dtype != np.uint8:
            raise UserError(f"{path}: cannot be decoded as a grey image of 8 bits. Write the map again.")
        require_size(path, found.shape, scene, "Write the map at that size.")
        return found

    def _file(self, scene: Scene, number: int, seed: int = 0) -> Path:
        files = numbered(self._files(scene))
        if (path := files.get(number)) is None:
            raise UserError(
                f"{self.folder / scene.key}: must hold a map of frame {number}, *{number:06d}.jpg or .png; got "
                f"{len(files)} others. Write one, or leave the scene out by data.init_args.scene."
            )
        return path


class FrameMap(ForegroundMap):
    """The map of the target frame."""

    key = "map"


class RecentMap(ForegroundMap):
    """The map of the recent background of the target frame."""

    key = "recent_map"
    is_past = True


@dataclass(frozen=True)
class EmptyMap(ForegroundMap):
    """The map of the empty background.

    Args:
        folder: See :class:`ForegroundMaps`.
        of: The empty background.
    """

    key = "empty_map"
    is_past = is_long_past = True
    of: EmptyBackground

    def _file(self, scene: Scene, number: int, seed: int = 0) -> Path:
        files = self._files(scene)
        if not files:
            raise UserError(
                f"{self.folder / scene.key}: must hold a map of the empty background of {scene.key}; got none. Write "
                f"one, or leave the scene out by data.init_args.scene."
            )
        if not self.of.is_chosen:
            return numbered(files).get(number, files[0])
        image = self.of.chosen_file(scene, number, seed)
        named = [path for path in files if path.stem == image.stem]
        if not named:
            raise UserError(
                f"{self.folder / scene.key}: must hold the map of the empty background {image.name}, {image.stem}.png "
                f"or .jpg; got {len(files)} others. Write it."
            )
        return named[0]
