"""Objects of PASCAL VOC 2012, pasted into frames of scenes that have no foreground to learn from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from bgsub_lightning.core.decoding import read_content
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_text
from bgsub_lightning.datasets.labels import MOVING, UNKNOWN
from bgsub_lightning.frames import SceneFrames, read_image

VOC_HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
_OPTION = "data.init_args.paste"
_VOID = 255
_SMALLEST = 256  # pixels of an object: a smaller one would be pasted as a few blocks of colour
_LOWEST = 8  # pixels of height that it is pasted with at least


class VocObjects:
    """The objects of a folder in the layout of PASCAL VOC 2012, cut out to be pasted.

    M. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, A. Zisserman, "The PASCAL Visual Object Classes Challenge
    2012", http://host.robots.ox.ac.uk/pascal/VOC/voc2012/.

    Args:
        root: The folder. It holds ``JPEGImages/*.jpg`` and ``SegmentationObject/*.png``, whose palette indices number
            the objects of an image: 0 is none, 255 the border of one. If it holds
            ``ImageSets/Segmentation/train.txt`` too, only the images that are named there are used.

    Raises:
        UserError: If the folder is not like that.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).expanduser()
        self._images, self._masks = self.root / "JPEGImages", self.root / "SegmentationObject"
        chosen = self.root / "ImageSets" / "Segmentation" / "train.txt"
        if missing := [folder for folder in (self._images, self._masks) if not folder.is_dir()]:
            raise UserError(
                f"{missing[0]}: there is no such folder. --{_OPTION} must name one in the layout of PASCAL VOC 2012 "
                f"(JPEGImages/*.jpg, SegmentationObject/*.png): in the published archive it is VOCdevkit/VOC2012. Get "
                f"it from {VOC_HOMEPAGE}."
            )
        listed = chosen.is_file()
        names = read_text(chosen).split() if listed else sorted(path.stem for path in self._masks.glob("*.png"))
        self.names = tuple(names)
        if not names:
            raise UserError(
                f"{chosen if listed else self._masks}: {'names no image' if listed else 'holds no .png'}, so there is "
                f"no object to paste. Fetch the folder again, or name another by --{_OPTION}."
            )
        for path in (path for name in self.names for path in self._files(name)):
            if not path.is_file():
                raise UserError(
                    f"{path}: there is no such file, and {f'{chosen} names it' if listed else 'there is its mask'}. "
                    f"Fetch the folder again, or take out {'the name' if listed else 'the mask'}."
                )

    def paste(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], seed: int) -> None:
        """Paste one or two objects into a frame, in place.

        Each is drawn at random, mirrored or not, scaled to 10 to 50 % of the frame's height (8 pixels at least; less if
        it were wider than the frame otherwise) and put at a random place inside the frame.

        Args:
            image: RGB frame, shape ``(H, W, 3)``, uint8.
            mask: Its grey levels, shape ``(H, W)``, uint8: becomes 255 where an object lies, and 170 on the object's
                outermost pixels.
            seed: Seed of what is random.

        Raises:
            UserError: If a file cannot be used, or no object of the folder can.
        """
        generator = np.random.default_rng((seed, 2))
        height, width = mask.shape
        for _ in range(generator.integers(1, 3)):
            patch, shape = self._draw(generator)
            if generator.random() < 0.5:
                patch, shape = patch[:, ::-1], shape[:, ::-1]
            wanted = max(_LOWEST, generator.uniform(0.1, 0.5) * height)
            scale = min(wanted / shape.shape[0], width / shape.shape[1])
            patch, shape = _scaled(patch, scale), _scaled(shape, scale)
            solid = shape >= 128
            inner = cv2.erode(solid.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
            top = generator.integers(height - solid.shape[0] + 1)
            left = generator.integers(width - solid.shape[1] + 1)
            place = np.s_[top : top + solid.shape[0], left : left + solid.shape[1]]
            image[place][solid] = patch[solid]
            mask[place][solid] = np.where(inner, MOVING, UNKNOWN)[solid]

    def _draw(self, generator: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Draw an object: its box out of the image, ``(h, w, 3)``, and its shape, 255 or 0, ``(h, w)``."""
        for position in generator.permutation(len(self.names)):
            image_file, mask_file = self._files(self.names[position])
            numbered = _read_numbers(mask_file)
            areas = np.bincount(numbered.ravel(), minlength=256)
            areas[[0, _VOID]] = 0
            usable = np.flatnonzero(areas >= _SMALLEST)
            if not len(usable):
                continue
            image = read_image(image_file)
            if image.shape[:2] != numbered.shape:
                (h, w), (height, width) = numbered.shape, image.shape[:2]
                raise UserError(
                    f"{mask_file}: the object mask is {w}×{h}, its image {width}×{height}. Fetch both again: "
                    f"an image and its mask must have one size."
                )
            shape = numbered == generator.choice(usable)
            rows, columns = (np.flatnonzero(shape.any(axis)) for axis in (1, 0))
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            return image[box], np.where(shape[box], np.uint8(255), np.uint8(0))
        raise UserError(
            f"{self._masks}: none of the {len(self.names)} masks holds an object of {_SMALLEST} pixels or more, so "
            f"that there is none to paste. Fetch the folder again, or name another by --{_OPTION}."
        )

    def _files(self, name: str) -> tuple[Path, Path]:
        return self._images / f"{name}.jpg", self._masks / f"{name}.png"


def has_foreground(pixels: SceneFrames, numbers: Sequence[int]) -> bool:
    """Whether a scene's labelled frames have any foreground, at the input size.

    Masks are read in threads, because OpenCV decodes outside Python's lock, until the first that has some.
    """
    with ThreadPoolExecutor() as pool:  # when any() lets go of them, those that have not begun are cancelled
        return any(pool.map(lambda number: bool((pixels.mask(number) == MOVING).any()), numbers))


def _read_numbers(path: Path) -> NDArray[np.uint8]:
    """Decode the palette indices of a mask, shape ``(H, W)``, uint8, which OpenCV would turn into colours."""
    try:
        with PilImage.open(io.BytesIO(read_content(path))) as file:
            mode, numbers = file.mode, np.asarray(file)
    except (OSError, PilImage.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be decoded as an image. Fetch the object mask again.") from error
    if mode not in {"P", "L"}:
        raise UserError(
            f"{path}: a PNG with a palette was expected, whose indices number the objects, and this one holds colours "
            f"({mode}). Fetch the original object mask; a converted one does not separate objects."
        )
    return numbers.astype(np.uint8, copy=False)


def _scaled(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize an image, ``(h, w)`` or ``(h, w, 3)``, by a factor; to one pixel each way at least."""
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=how).astype(np.uint8, copy=False)
