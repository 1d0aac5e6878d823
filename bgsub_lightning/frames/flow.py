"""Optical flow: how far each pixel of a frame has moved since some frames before.

The hierarchical optical flow (HOP) of CrossNet (section III-C) shows the magnitude of the flow from frame T to frames
T − τ for several intervals τ, one channel each. The flow is a part to choose, as in table V.

Which frame is T − τ: if there is no frame of that number, the nearest one before it; before the beginning of a video,
its first frame. So the first frame has no motion, and a video shorter than τ shows the motion since its beginning.
"""

from __future__ import annotations

import bisect
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import warn
from bgsub_lightning.core.decoding import read_content, read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.scene import Range, Scene
from bgsub_lightning.frames.file_patterns import placeholders
from bgsub_lightning.frames.images import read_image

VERSION = 2
"""Raised when the meaning of a channel changes; stored ones of other versions are computed again."""
SCALE = 8
"""Grey levels per pixel of motion: from 32 pixels on a channel is white."""

_OPTION = "data.init_args.flow"
_UNKNOWN = 1e9  # pixels: Middlebury's files have it where the flow is not known
_PLACES = {"dataset", "category", "video", "tau", "number", "earlier"}
_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


class FlowMethod(ABC):
    """Gives the optical flow of a scene's frames.

    It must be picklable: processes compute side by side.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name, of which the store's files are called: letters, digits, ``_`` and ``-``."""

    @abstractmethod
    def settings(self) -> str:
        """Return what identifies this method: methods that share it give the same flow."""

    @abstractmethod
    def magnitude(self, scene: Scene, number: int, tau: int) -> NDArray[np.float32]:
        """Return the length of the flow from a frame to the one ``tau`` before it.

        Args:
            scene: The scene.
            number: The frame.
            tau: Frames between the two; see the module for what is not there.

        Returns:
            Pixels of the frames' own size, shape ``(h, w)``, float32.

        Raises:
            UserError: If a file cannot be used.
        """

    def files(self, scene: Scene, tau: int) -> list[Path]:
        """Return the files, in addition to the frames, that a scene's flow comes from.

        Raises:
            UserError: If one is missing.
        """
        return []


class FrameFlow(FlowMethod):
    """A method that computes the flow from the pixels of the two frames."""

    colour: ClassVar[bool] = False
    """Whether it sees RGB frames, shape ``(h, w, 3)``, uint8, or grey ones, ``(h, w)``."""

    def settings(self) -> str:  # noqa: D102
        return repr(self)

    def magnitude(self, scene: Scene, number: int, tau: int) -> NDArray[np.float32]:  # noqa: D102
        before = earlier(tuple(scene.frames), number, tau)
        if before == number:
            return np.zeros(scene.size[::-1], np.float32)
        return self.length(*(_frame(scene.frames[n], scene.size, self.colour, scene.range) for n in (number, before)))

    def length(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the length of :meth:`field` in pixels, shape ``(h, w)``, float32."""
        return _length(self.field(frame, before))

    @abstractmethod
    def field(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return where each pixel of ``frame`` was in ``before``: its displacement (x, y), shape ``(h, w, 2)``."""


@dataclass(frozen=True)
class DisFlow(FrameFlow):
    """Dense inverse search, OpenCV's.

    T. Kroeger, R. Timofte, D. Dai, L. Van Gool, "Fast optical flow using dense inverse search", ECCV 2016.

    Args:
        preset: OpenCV's presets; each is some three times as slow as the one before, and better.

    Raises:
        UserError: If there is no such preset.
    """

    preset: Literal["ultrafast", "fast", "medium"] = "medium"

    def __post_init__(self) -> None:
        if self.preset not in _PRESETS:
            raise UserError(f"{_OPTION}: DisFlow knows the presets {', '.join(_PRESETS)}, not {self.preset!r}.")

    @property
    def name(self) -> str:  # noqa: D102
        return f"dis_{self.preset}"

    def field(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102
        height, width = frame.shape
        if min(height, width) < 16 or max(height, width) > 16 * min(height, width):  # OpenCV crashes on some of them
            raise UserError(
                f"{_OPTION}: DisFlow needs frames of 16 pixels or more each way, of which one is at most 16 times the "
                f"other; these are {width}×{height}. Choose bgsub_lightning.frames.FarnebackFlow."
            )
        # a new one for each frame, which costs nothing: one that is kept must not be used by two threads
        return _array(cv2.DISOpticalFlow.create(_PRESETS[self.preset]).calc(frame, before, None))  # type: ignore[call-overload]


@dataclass(frozen=True)
class FarnebackFlow(FrameFlow):
    """Flow from polynomial expansion, OpenCV's.

    G. Farnebäck, "Two-frame motion estimation based on polynomial expansion", SCIA 2003.

    Args:
        pyr_scale: Size of a level of the pyramid to the one below it, in (0, 1).
        levels: Levels of the pyramid.
        winsize: Pixels of the averaging window.
        iterations: Iterations at each level.
        poly_n: Pixels of the neighbourhood that a polynomial is fitted to.
        poly_sigma: Standard deviation of the Gaussian that weighs it.

    Raises:
        UserError: If a number makes no sense.
    """

    pyr_scale: float = 0.5
    levels: int = 5
    winsize: int = 15
    iterations: int = 3
    poly_n: int = 5
    poly_sigma: float = 1.1

    def __post_init__(self) -> None:
        section = f"{_OPTION}.init_args."
        check_range(section, least=1, most=1000, levels=self.levels, winsize=self.winsize, iterations=self.iterations)
        check_range(section, least=1, most=100, poly_n=self.poly_n)
        check_range(section, above=0, poly_sigma=self.poly_sigma)
        check_range(section, above=0, below=1, pyr_scale=self.pyr_scale)

    @property
    def name(self) -> str:  # noqa: D102
        return "farneback"

    def field(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102
        settings = (self.pyr_scale, self.levels, self.winsize, self.iterations, self.poly_n, self.poly_sigma)
        return _array(cv2.calcOpticalFlowFarneback(frame, before, None, *settings, 0))  # type: ignore[call-overload]


@dataclass(frozen=True)
class LucasKanadeFlow(FrameFlow):
    """Pyramidal Lucas-Kanade, OpenCV's, made dense.

    B. D. Lucas, T. Kanade, IJCAI 1981; J.-Y. Bouguet, "Pyramidal implementation of the Lucas Kanade feature tracker",
    2000. The points of a regular grid are tracked, and the flow between them is interpolated bilinearly. A point that
    is lost, or lies where there is no texture to track, is taken not to move.

    Args:
        spacing: Pixels between two points of the grid; 1 tracks every pixel, which takes seconds for a frame.
        winsize: Pixels of the window around a point.
        levels: Levels of the pyramid above the frame itself.

    Raises:
        UserError: If a number makes no sense.
    """

    spacing: int = 4
    winsize: int = 21
    levels: int = 3

    def __post_init__(self) -> None:
        section = f"{_OPTION}.init_args."
        check_range(section, least=1, most=1000, spacing=self.spacing)
        check_range(section, least=3, most=1000, winsize=self.winsize)
        check_range(section, least=0, most=100, levels=self.levels)

    @property
    def name(self) -> str:  # noqa: D102
        return "lucas_kanade"

    def field(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102
        height, width = frame.shape
        # each point stands for a cell of spacing × spacing pixels, in whose middle it lies
        rows, columns = -(-height // self.spacing), -(-width // self.spacing)
        y, x = (np.arange(count, dtype=np.float32) * self.spacing + (self.spacing - 1) / 2 for count in (rows, columns))
        points = np.stack(np.meshgrid(x.clip(max=width - 1), y.clip(max=height - 1)), -1).reshape(-1, 1, 2)
        window = (self.winsize, self.winsize)
        found, status, _ = cv2.calcOpticalFlowPyrLK(frame, before, points, None, None, None, window, self.levels)  # type: ignore[call-overload]
        moved = np.where(status.reshape(-1, 1, 1) == 1, found - points, np.float32(0)).reshape(rows, columns, 2)
        whole = cv2.resize(moved, (columns * self.spacing, rows * self.spacing), interpolation=cv2.INTER_LINEAR)
        return _array(whole[:height, :width])


@dataclass(frozen=True)
class FlowFiles(FlowMethod):
    """Flow that any other method has written to files.

    A file holds the flow **from** a frame **to** the earlier one, in pixels of the frames' own size: Middlebury's
    ``.flo``, or KITTI's ``.png`` of 16 bits. Where the flow is not known (KITTI's valid bit is 0, or a number of
    Middlebury's is above 1e9) there is taken to be no motion. The first frame needs no file. Nor do those frames whose
    T − τ lies before the first frame; their files are used if they are there, else they have no motion.

    S. Baker et al., "A database and evaluation methodology for optical flow", IJCV 2011; M. Menze, A. Geiger, "Object
    scene flow for autonomous vehicles", CVPR 2015.

    Args:
        folder: The folder. Its last part names the method in the store: keep the flow of each method in its own folder,
            such as ``gmflow``.
        pattern: Where a file lies below it. It may use ``{dataset}``, ``{category}``, ``{video}``, ``{tau}``,
            ``{number}`` (the frame) and ``{earlier}`` (the frame it is compared with), numbers with a width such as
            ``{number:06d}``; it must use ``{number}``, and ``{tau}`` or ``{earlier}``. It ends with ``.flo`` or
            ``.png``.

    Raises:
        UserError: If there is no such folder, or the pattern is not like that.
    """

    folder: Path
    pattern: str = "{category}/{video}/tau{tau}/{number:06d}.flo"

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder).expanduser())
        if not self.folder.is_dir():
            raise UserError(
                f"{self.folder}: there is no such folder of flow files. Name one by {_OPTION}.init_args.folder "
                f"(--files of the command `flow`)."
            )
        try:
            used = placeholders(self.pattern, _PLACES)
            if "number" not in used or not used & {"tau", "earlier"}:
                raise ValueError("a placeholder is missing")
        except ValueError as error:
            raise UserError(
                f"{_OPTION}.init_args.pattern: {self.pattern!r} cannot be used ({error}). It may hold "
                f"{', '.join(f'{{{name}}}' for name in sorted(_PLACES))}, such as {{number:06d}}; it must hold "
                f"{{number}}, and {{tau}} or {{earlier}}."
            ) from None
        if not self.pattern.endswith((".flo", ".png")):
            raise UserError(
                f"{_OPTION}.init_args.pattern: {self.pattern!r} must end with .flo (Middlebury) or .png (KITTI)."
            )

    @property
    def name(self) -> str:  # noqa: D102
        return "files_" + re.sub(r"[^\w-]+", "-", self.folder.resolve().name)

    def settings(self) -> str:
        """The pattern; the folder may be moved, as the files are known by themselves."""
        return f"FlowFiles({self.pattern})"

    def files(self, scene: Scene, tau: int) -> list[Path]:  # noqa: D102
        numbers = tuple(scene.frames)
        return [path for number in numbers if (path := self._file(scene, numbers, number, tau)) is not None]

    def magnitude(self, scene: Scene, number: int, tau: int) -> NDArray[np.float32]:  # noqa: D102
        path = self._file(scene, tuple(scene.frames), number, tau)
        if path is None:
            return np.zeros(scene.size[::-1], np.float32)
        return _length(read_flow(path, scene.size))

    def _file(self, scene: Scene, numbers: Sequence[int], number: int, tau: int) -> Path | None:
        """Return the file of a frame; ``None``: it has no motion."""
        before = earlier(numbers, number, tau)
        if before == number:
            return None
        path = self.folder / self.pattern.format(
            dataset=scene.dataset, category=scene.category, video=scene.name, tau=tau, number=number, earlier=before
        )
        if path.is_file():
            return path
        if number - tau < numbers[0]:
            return None
        raise UserError(
            f"{path}: there is no such flow file, of frame {number} of {scene.key} and the one {tau} before it. "
            f"Compute it, or correct {_OPTION}.init_args.pattern ({self.pattern}; --pattern of the command `flow`)."
        )


def earlier(numbers: Sequence[int], number: int, tau: int) -> int:
    """Return the frame ``tau`` before another; if it is missing the nearest one before it, or else the first.

    Args:
        numbers: The frames that there are, ascending.
        number: One of them.
        tau: How many frames.

    Example:
        >>> [earlier([3, 4, 5, 9, 10], number, 2) for number in (3, 4, 5, 9, 10)]
        [3, 3, 3, 5, 5]
    """
    return numbers[max(0, bisect.bisect_right(numbers, number - tau) - 1)]


def channel(magnitude: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Make of the length of a flow, in pixels, a channel of HOP: 8 grey levels each, rounded, at most 255."""
    return _bytes(cv2.convertScaleAbs(magnitude, alpha=SCALE))


def require_motion(scene: Scene, taus: Sequence[int]) -> None:
    """Check that a scene has flow to show; warn once if its video is shorter than an interval.

    Raises:
        UserError: If it has one frame only, or none.
    """
    numbers = tuple(scene.frames)
    if len(numbers) < 2:
        raise UserError(
            f"{scene.dataset} {scene.key}: optical flow needs two frames at least, and there are {len(numbers)}. Leave "
            f"the scene out by data.init_args.scene (--scene)."
        )
    if numbers[-1] - numbers[0] < max(taus):
        _warn_once(
            f"{scene.dataset} {scene.key}: its frames {numbers[0]} to {numbers[-1]} are fewer than "
            f"τ = {max(taus)}; all flow of that interval is to the first frame."
        )


def read_flow(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Read a flow file, ``.flo`` or ``.png``; see :class:`FlowFiles`.

    Args:
        path: The file.
        size: Width and height that it must have.

    Returns:
        Displacement (x, y) in pixels, shape ``(h, w, 2)``, float32; 0 where it is not known.

    Raises:
        UserError: If it is no whole file of that kind, of another size, or holds numbers that are none.
    """
    try:
        field = _read_flo(path) if path.suffix == ".flo" else _read_kitti(path)
    except OSError as error:
        raise UserError(f"{path}: the flow file cannot be read ({error.strerror}).") from error
    height, width = field.shape[:2]
    if (width, height) != size:
        raise UserError(
            f"{path}: the flow is {width}×{height}, its frame {size[0]}×{size[1]}. Compute it from the frames at their "
            f"own size; it is resized afterwards."
        )
    if not np.isfinite(field).all():
        raise UserError(
            f"{path}: the flow has {np.count_nonzero(~np.isfinite(field)):,} numbers that are not finite (NaN or "
            f"infinite). Compute the file again, or write 1e10 for what is not known."
        )
    return np.where((np.abs(field) > _UNKNOWN).any(-1, keepdims=True), np.float32(0), field)


def _read_flo(path: Path) -> NDArray[np.float32]:
    content = read_content(path)
    if content[:4] != b"PIEH":  # 202021.25 as a little-endian float
        raise UserError(f"{path}: is no Middlebury flow file: it begins with {content[:4]!r} instead of b'PIEH'.")
    width, height = np.frombuffer(content[4:12].ljust(8, b"\0"), "<i4").tolist()
    expected = 12 + 8 * width * height
    if min(width, height) < 1 or len(content) != expected:
        raise UserError(
            f"{path}: the flow file has {len(content):,} bytes, but {width}×{height} pixels, as its header says, "
            f"take {expected:,}. It is truncated or damaged: compute it again."
        )
    return np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2).astype(np.float32)


def _read_kitti(path: Path) -> NDArray[np.float32]:
    image = read_pixels(path, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UserError(f"{path}: cannot be decoded as an image. Compute the flow file again.")
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(
            f"{path}: is no KITTI flow file: expected three channels of 16 bits (x, y, valid), got "
            f"{image.dtype}{image.shape}. A picture of the flow does not hold its values."
        )
    valid, y, x = cv2.split(image)  # OpenCV has the channels the other way round
    field = (np.stack([x, y], -1).astype(np.float32) - 2**15) / 64
    return np.where(valid[..., None] != 0, field, np.float32(0))


def seen(image: NDArray[np.uint8], colour: bool) -> NDArray[np.uint8]:
    """Show an RGB frame to a method: as it is, or grey.

    Grey is computed from the colours. The grey channel of a JPEG may differ from it by a level; so a lossless video has
    the same flow as its images.
    """
    return image if colour else _bytes(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _frame(path: Path, size: tuple[int, int], colour: bool, levels: Range | None) -> NDArray[np.uint8]:
    status = path.stat() if path.exists() else None
    return _decoded(path, size, colour, levels, status and (status.st_mtime_ns, status.st_size))


# From frame to frame the same ones are needed again: those of the 2 × 10 numbers before, for intervals up to 10.
@lru_cache(maxsize=32)
def _decoded(
    path: Path, size: tuple[int, int], colour: bool, levels: Range | None, version: tuple[int, int] | None
) -> NDArray[np.uint8]:
    image = read_image(path, levels=levels)
    if image.shape[1::-1] != size:
        raise UserError(
            f"{path}: the frame is {image.shape[1]}×{image.shape[0]}, others of its video {size[0]}×{size[1]}, and "
            f"there is no flow between frames of two sizes. Fetch the file again, or delete it."
        )
    shown = seen(image, colour)
    shown.setflags(write=False)
    return shown


@cache
def _warn_once(message: str) -> None:
    warn(message)


def _length(field: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = field[..., 0], field[..., 1]
    return _array(np.sqrt(x * x + y * y))  # cv2.magnitude's last bit depends on where the memory lies


def _array(array: object) -> NDArray[np.float32]:
    return np.asarray(array, np.float32)


def _bytes(array: object) -> NDArray[np.uint8]:
    return np.asarray(array, np.uint8)
