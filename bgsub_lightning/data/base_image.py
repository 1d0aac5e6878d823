"""Pairs of frames: the frame to segment, and a base image of its scene to compare it with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_json
from bgsub_lightning.data.inputs import Input
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import FrameStore, SceneFrames, median, read_image
from bgsub_lightning.splits import FrameSet
from bgsub_lightning.splits.draws import generator_of

_OPTION = "model.init_args.base"
_SHARE = 0.1  # of the tested frames with foreground, by its area: 'many foreground pixels'


@dataclass(frozen=True)
class BaseImage(Input):
    """Another frame of the target's scene.

    In training it is drawn for each sample, from the scene's training frames and no others. An evaluation has one for
    each scene, which is not scored: the one that is ``given``; or, as the siamese paper has it (section 2.1), one with
    many foreground pixels, which is drawn by seed from the tenth of the tested frames with foreground that have most of
    it; for validation from training frames likewise. Where no frame has foreground, or no frame is labelled, as in
    prediction, it is the first; where the frame that is drawn is the only one, it is the scene's first other frame.

    Objects that a protocol pastes (see :mod:`bgsub_lightning.data.pasting`) come into the target and never into its
    base: in scenes whose training frames have no foreground except pasted objects, no pair shows foreground in both.

    Args:
        given: Number of a frame, labelled or not, of every scene that is evaluated; or an image file of the scene, of
            the size of its frames, if there is but one. Or a scene's key → one of these; keys of scenes that are not
            evaluated are passed over. Or the ``scores.json`` of a test, or its run directory: the bases of that test.
            Of scenes that are not named, and with ``None`` of all: by the rule above.
        partners: Key of a scene → its training frames; :meth:`prepare` notes them.
        of_scene: Key of a scene → its base in an evaluation; :meth:`chosen` notes them.
    """

    key = "base_image"
    is_past = True
    given: int | Path | Mapping[str, int | Path] | None = field(default=None, hash=False)
    partners: dict[str, tuple[int, ...]] = field(default_factory=dict, compare=False, repr=False)
    of_scene: Mapping[str, int | Path] = field(default_factory=dict, compare=False, repr=False)

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Note the frames of training.

        Raises:
            UserError: If a scene has no pair of them.
        """
        self.require_training(frames)
        self.partners.update((scene.key, numbers) for scene, numbers in frames)

    def require_training(self, frames: FrameSet) -> None:
        """Check that each scene has a pair.

        Raises:
            UserError: If one has none.
        """
        for scene, numbers in frames:
            if len(numbers) < 2:
                raise UserError(
                    f"{scene.dataset} {scene.key}: must have 2 training frames or more, because pairs are drawn; got "
                    f"{len(numbers)}. Train on more of its frames by data.init_args.protocol, or leave the scene "
                    f"out by data.init_args.scene."
                )

    def require_evaluation(self, frames: FrameSet) -> None:
        """Check the bases that are given, and name scenes that have one and are not evaluated.

        Raises:
            UserError: If one of them cannot be used, or a scene has nothing but its base to evaluate.
        """
        self._require_given(frames)
        if isinstance(self.given, Mapping):
            evaluated = {scene.key for scene in frames.scenes}
            if others := [key for key in self.given if key not in evaluated]:
                console.print(
                    f"{_OPTION}: {', '.join(others)}: not evaluated here, so that the base given for it is not used.",
                    soft_wrap=True,
                )

    def frames(self, scene: Scene, number: int, seed: int) -> list[int]:  # noqa: D102
        if scene.key not in self.partners:
            raise RuntimeError(f"the training frames of {scene.key} are not known: prepare() notes them")
        others = [other for other in self.partners[scene.key] if other != number]
        return [others[np.random.default_rng((seed, 3)).integers(len(others))]]

    def chosen(self, pixels: Sequence[SceneFrames], frames: FrameSet, seed: int) -> BaseImage:
        """Return this input with a base for each scene.

        Raises:
            UserError: If the given one cannot be used, or a scene has nothing but its base to test.
        """
        self._require_given(frames)
        numbers_of = dict(zip((scene.key for scene in frames.scenes), frames.numbers, strict=True))
        return replace(
            self, of_scene={each.scene.key: self._base(each, numbers_of[each.scene.key], seed) for each in pixels}
        )

    def bases(self) -> Mapping[str, int | Path]:  # noqa: D102
        return self.of_scene

    def scene(self, pixels: SceneFrames, seed: int) -> NDArray[np.uint8]:  # noqa: D102
        base = self.of_scene[pixels.scene.key]
        return (
            pixels.image(base)
            if isinstance(base, int)
            else read_image(base.expanduser(), pixels.size, pixels.scene.range)
        )[None]

    def of_pool(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the median of the pool, which holds less foreground than any frame of it."""
        return median(frames)[None]

    @cached_property
    def _bases(self) -> int | Path | Mapping[str, int | Path] | None:
        """The given bases; read from a test's record if its scores.json is named."""
        if isinstance(self.given, Path) and (self.given.suffix == ".json" or self.given.expanduser().is_dir()):
            return _recorded(self.given.expanduser())
        return self.given

    def _given_for(self, scene: Scene) -> int | Path | None:
        return self._bases.get(scene.key) if isinstance(self._bases, Mapping) else self._bases

    def _require_given(self, frames: FrameSet) -> None:
        if isinstance(self._bases, Path) and len(frames.scenes) > 1:
            raise UserError(
                f"{_OPTION}: {self._bases} is the base image of one scene, and {len(frames.scenes)} are evaluated. "
                f"Name its scene: --{_OPTION}='{{{frames.scenes[0].key}: {self._bases}}}'."
            )
        for scene, numbers in frames:
            base = self._given_for(scene)
            if isinstance(base, Path):
                self._require_file(base, scene)
            elif base is not None:
                self._require_frame(base, scene, numbers)

    def _base(self, pixels: SceneFrames, numbers: Sequence[int], seed: int) -> int | Path:
        """Choose a scene's base for the test of some frames."""
        scene = pixels.scene
        given = self._given_for(scene)
        if given is not None:
            return given
        base = self._by_foreground(pixels, numbers, seed)
        if tuple(numbers) != (base,):
            return base
        others = [number for number in scene.frames if number != base]
        if not others:
            self._refuse_alone(scene, base)
        return others[0]

    @classmethod
    def _require_frame(cls, base: int, scene: Scene, numbers: Sequence[int]) -> None:
        if base not in scene.frames:
            raise UserError(
                f"{_OPTION}: {scene.dataset} {scene.key} has no frame {base}; its frames are "
                f"{min(scene.frames)} to {max(scene.frames)}."
            )
        if tuple(numbers) == (base,):
            cls._refuse_alone(scene, base)

    @staticmethod
    def _refuse_alone(scene: Scene, base: int) -> NoReturn:
        raise UserError(
            f"{scene.dataset} {scene.key}: frame {base}, the only one to evaluate, would be its own base image. "
            f"Name another frame by --{_OPTION}=NUMBER, or an image by --{_OPTION}=FILE."
        )

    @staticmethod
    def _by_foreground(pixels: SceneFrames, numbers: Sequence[int], seed: int) -> int:
        labelled = [number for number in numbers if number in pixels.scene.masks]
        areas = pixels.foreground_pixels(labelled)
        with_foreground = int(np.count_nonzero(areas))
        if not with_foreground:
            why = "have foreground" if labelled else "are labelled"
            console.print(
                f"{pixels.scene.key}: none of the {len(numbers):,} frames {why}; the first, {numbers[0]}, is the base "
                f"image that the others are compared with. --{_OPTION} names another.",
                soft_wrap=True,
            )
            return numbers[0]
        largest = np.argsort(-areas, kind="stable")[: math.ceil(_SHARE * with_foreground)]
        return labelled[int(generator_of(pixels.scene, seed, 4).choice(largest))]

    @staticmethod
    def _require_file(file: Path, scene: Scene) -> None:
        if not file.expanduser().is_file():
            raise UserError(f"{file}: there is no such base image. --{_OPTION} names a frame number or an image file.")
        height, width = read_image(file.expanduser(), levels=scene.range).shape[:2]
        if (width, height) != scene.size:
            raise UserError(
                f"{file}: the base image is {width}×{height}, and the frames of {scene.key} are "
                f"{scene.size[0]}×{scene.size[1]}. Give one of that size by --{_OPTION}: pixels are compared "
                f"place by place."
            )


@dataclass(frozen=True)
class _TestedVideo:
    base: int | str | None = None


@dataclass(frozen=True)
class _Test:
    """The part of a ``scores.json`` that is read."""

    videos: dict[str, _TestedVideo]


def _recorded(path: Path) -> dict[str, int | Path]:
    """Read the bases that a test has written into its ``scores.json``."""
    file = path / "scores.json" if path.is_dir() else path
    try:
        test = read_json(file, _Test, "Run the test again.", extra="ignore")
    except FileNotFoundError:
        raise UserError(f"{_OPTION}: {file}: there is no such file. Name the scores.json of a test.") from None
    bases = {
        key: video.base if isinstance(video.base, int) else Path(video.base)
        for key, video in test.videos.items()
        if video.base is not None
    }
    if not bases:
        raise UserError(
            f"{_OPTION}: {file}: has no base image: the tested system compares with none. Name another file."
        )
    return bases


@dataclass(frozen=True)
class BaseMask(Input):
    """The mask of the base image of a training sample.

    Args:
        of: The base image.
    """

    key = "base_mask"
    colour = False
    is_mask = True
    of: BaseImage

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return size[::-1]

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        (base,) = self.of.frames(pixels.scene, number, seed)
        pixels.mask(base, out)
