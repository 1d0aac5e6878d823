"""Empty backgrounds: a scene without anything that moves, or that will."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data.background import StoredBackground
from bgsub_lightning.data.recent_background import medians_before
from bgsub_lightning.data.truth_background import only, valid_median
from bgsub_lightning.data.video_images import images_of, number_of, require_size
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import FrameStore, SceneFrames, median, read_image
from bgsub_lightning.frames.images import resized
from bgsub_lightning.splits import FrameSet
from bgsub_lightning.splits.draws import generator_of

_VERSION = 1
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp")

Rule = Literal["median", "automatic"]
"""``median``: the median over frames at equal distances of the unlabelled part before the temporal ROI. ``automatic``:
the same over the whole video, tested frames as well; black pixels do not count, as at the border of a frame that was
moved."""


class EmptyBackground(StoredBackground):
    """A background of the scene without foreground, one image for all frames.

    M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net", WACV 2020, where people have chosen it. If the camera moves, each
    frame has the median of the frames before it.

    Args:
        rule: See :data:`Rule`; or a folder of images ``<category>/<video>/*.jpg`` (or ``.png``), one or more for each
            video. A frame has the image whose name ends with its number. If there is none, one is drawn: for each
            sample in training, for each video in an evaluation.
        frames: Number of frames that the median is taken over.
        moving: Categories, or patterns of ``category/video``, whose camera moves.
        history: Frames of the median there.

    Raises:
        UserError: If a number is not positive.
    """

    key = "empty"
    is_long_past = True

    def __init__(
        self, rule: Rule | Path = "median", frames: int = 100, moving: tuple[str, ...] = ("PTZ",), history: int = 200
    ) -> None:
        super().__init__()
        check_range("EmptyBackground.", least=1, most=10_000, frames=frames, history=history)
        self.rule = rule if rule in get_args(Rule) else Path(rule).expanduser()
        self.count, self.moving, self.history = frames, tuple(moving), history

    @property
    def per_frame(self) -> bool:  # type: ignore[override]
        """Whether evaluation loads it for each frame: those that people have chosen may belong to single frames."""
        return self.is_chosen

    @property
    def is_chosen(self) -> bool:
        """Whether people have chosen the images."""
        return isinstance(self.rule, Path)

    @property
    def note(self) -> str:
        """Note in tables of a test with these backgrounds; empty: no note."""
        if self.is_chosen:
            return "The empty backgrounds were chosen by hand."
        if self.rule == "automatic":
            return "The empty backgrounds are built from all frames, the tested ones as well."
        return ""

    def validate(self, scene: Scene) -> None:  # noqa: D102
        if isinstance(self.rule, Path):
            if not self.rule.is_dir():
                raise UserError(
                    f"EmptyBackground.rule: must be one of {', '.join(get_args(Rule))}, or a folder of images; got "
                    f"{self.rule}."
                )
            self._files(scene)
        elif self.rule == "median" and not self.moves(scene) and not scene.references:
            raise UserError(
                f"EmptyBackground.rule: median needs a frame before the labelled part of {scene.dataset} {scene.key}; "
                f"got none. Set rule: automatic, or leave the scene out by data.init_args.scene."
            )

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Compute what the store lacks."""
        if not self.is_chosen:
            rows = FrameSet.of((scene, self._rows(scene, numbers)) for scene, numbers in frames)
            self.fill(pixels, rows, store, self, shared=True)

    def fingerprint(self, pixels: SceneFrames, numbers: Sequence[int]) -> str:  # noqa: D102
        rule = f"before {self.history}" if self.moves(pixels.scene) else f"{self.rule} {self.count}"
        return f"{pixels.source} {rule} {_VERSION}"

    def backgrounds(  # noqa: D102
        self, pixels: SceneFrames, numbers: Sequence[int]
    ) -> Generator[NDArray[np.uint8], None, None]:
        if self.moves(pixels.scene):
            yield from medians_before(pixels, numbers, self.history)
        else:
            yield self._median(pixels)

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        if isinstance(self.rule, Path):
            out[...] = pixels.shown(self._image(pixels, self.chosen_file(pixels.scene, number, seed)))
        else:
            (row,) = self._rows(pixels.scene, [number])
            super().load(pixels, row, seed, out)

    def scene(self, pixels: SceneFrames, seed: int) -> NDArray[np.uint8] | None:
        """Load the background of a scene, ``(1, H, W, 3)``; ``None``: its camera moves."""
        return None if self.is_chosen or self.moves(pixels.scene) else self._median(pixels)[None]

    def of_stream(self) -> EmptyBackground:
        """Return it with a median: of the pool."""
        return EmptyBackground(frames=self.count, history=self.history) if self.is_chosen else self

    def of_pool(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the median of the pool."""
        return median(frames)[None]

    def moves(self, scene: Scene) -> bool:
        """Return whether a scene's camera moves."""
        return scene.matches(self.moving)

    def _rows(self, scene: Scene, numbers: Sequence[int]) -> Sequence[int]:
        """Return the numbers under which the store has the backgrounds of some frames."""
        return numbers if self.moves(scene) else [min(scene.frames)]

    def _median(self, pixels: SceneFrames) -> NDArray[np.uint8]:
        is_automatic = self.rule == "automatic"
        among = list(pixels.scene.frames if is_automatic else pixels.scene.references)
        chosen = np.linspace(0, len(among) - 1, min(self.count, len(among))).round().astype(int)
        images = [pixels.image(among[place]) for place in chosen]
        if not is_automatic:
            return median(images)
        valid = [np.asarray(image.any(-1)) for image in images]
        count = np.add.reduce(valid, dtype=np.intp)
        found = valid_median([only(*pair) for pair in zip(valid, images, strict=True)], count)
        found[count == 0] = 0
        return found

    def _files(self, scene: Scene) -> tuple[Path, ...]:
        files = images_of(Path(self.rule), scene.key, _IMAGES)
        if not files:
            raise UserError(
                f"EmptyBackground.rule: {Path(self.rule) / scene.key}: must hold an image of {scene.key} without "
                f"foreground; got none. Put one there, or leave the scene out by data.init_args.scene."
            )
        return files

    def chosen_file(self, scene: Scene, number: int, seed: int) -> Path:
        """Return the image of a frame, where people have chosen them.

        Args:
            scene: The scene.
            number: The frame.
            seed: Seed of a training sample; 0 in an evaluation.

        Raises:
            UserError: If the scene has none.
        """
        files = self._files(scene)
        drawn = int(generator_of(scene, seed, 7).integers(len(files)))
        return next((path for path in files if number_of(path) == number), files[drawn])

    @staticmethod
    def _image(pixels: SceneFrames, path: Path) -> NDArray[np.uint8]:
        found = read_image(path, levels=pixels.scene.range)
        require_size(path, found.shape, pixels.scene, "Give one of that size.")
        return resized(found, pixels.whole.size)
