"""Base of every subtractor of a stream: OpenCV's interface, without PyTorch."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_choice, check_range, check_whole
from bgsub_lightning.datasets.depth import Depth, checked_range
from bgsub_lightning.datasets.scene import Range
from bgsub_lightning.frames.images import resized
from bgsub_lightning.frames.opencv import CONTRIB, opencv_subtractor, require_opencv
from bgsub_lightning.inference.checking import checked_frame, checked_frames, got, require_number
from bgsub_lightning.inference.sources import Images, is_image

Bytes = NDArray[np.uint8]

Precision = Literal["32", "bf16", "16"]
"""Of the networks' arithmetic: as they are, or by automatic mixed precision."""

POOL = 25
"""Frames of the pool by default."""


class StreamSubtractor(ABC):
    """Takes frames one by one and returns their masks, as ``cv2.BackgroundSubtractor`` does.

    It can be copied and pickled with all that it has learnt, where the system can be.

    Args:
        name: Its system's name.
        reference_pool: Frames of the scene, RGB ``(h, w, 3)`` or grey ``(h, w)``, uint8 or uint16, all of one size; a
            single one; or the path of an image, or of a folder of some.
        range: Grey levels of frames of 16 bits that become 0 and 255; ``None``: by the pool (see
            :func:`bgsub_lightning.datasets.depth.range_of`) or else the first frame that is not uniform.

    Raises:
        UserError: If the pool holds something else.

    Attributes:
        batch_size: The most frames that :meth:`push` is given at once.
        threshold: Probability above which a pixel is foreground.
    """

    batch_size: int
    threshold: float = 0.5

    def __init__(self, name: str, reference_pool: Any = (), range: Range | None = None) -> None:
        self.name = name
        self._depth = Depth(None if range is None else checked_range(range, "range"), "range")
        self._has_reported_range = False
        self._given = self._pool_of(reference_pool)
        self._shape: tuple[int, int] | None = None
        self._is_grey = False
        self._has_warned = False

    @property
    @abstractmethod
    def kind(self) -> str:
        """Name of the class that subtracts."""

    @property
    def range(self) -> Range | None:
        """Grey levels of frames of 16 bits that become 0 and 255; ``None``: not known yet, or the frames have 8."""
        return self._depth.range

    @property
    def is_warm(self) -> bool:
        """Whether the pool has as many frames as are wanted; ``True`` for systems that need none."""
        return True

    @property
    def restarts(self) -> int:
        """How often the background restarted by itself, as when the camera was moved."""
        return 0

    @property
    def has_shadows(self) -> bool:
        """Whether its masks hold the shadows of objects, as those of colours that are compared do."""
        return False

    def reset(self) -> None:
        """Forget the stream; a pool that was given is taken again."""
        self._shape = None

    @abstractmethod
    def push(self, images: Sequence[Bytes], numbers: Sequence[int] | None = None) -> list[Bytes]:
        """Take the next frames of the stream.

        Args:
            images: At most ``batch_size`` frames, RGB, shape ``(h, w, 3)``, uint8, all of one size. If it is another
                size than before, another stream begins.
            numbers: Their numbers, ascending and after those before; ``None``: they follow each other. Frames of a
                video that are missing leave a gap, which optical flow is measured over.

        The frames are kept for as long as they are needed: whoever reuses their memory hands over copies.

        Returns:
            A mask for each, shape ``(h, w)``, uint8: 255 is foreground, 0 background.

        Raises:
            UserError: If they are no such images, or the system's optical flow cannot be computed of a stream.
        """

    def probability(self, images: Sequence[Bytes], numbers: Sequence[int] | None = None) -> NDArray[np.float32] | None:
        """Take the next frames as :meth:`push` does, and return the probability of foreground.

        Returns:
            Shape ``(B, h, w)``, float32; ``None``, without having taken them, from OpenCV's, which have none.
        """
        return None

    def push_in_steps(
        self, images: Sequence[Bytes], numbers: Sequence[int] | None = None
    ) -> Generator[Any, Any, list[Bytes]]:
        """Take the next frames as :meth:`push` does, but leave passes of a network to the caller.

        It yields what :meth:`network` is to be shown, and is sent the answer; subtractors of one system can share the
        passes, by :func:`bgsub_lightning.core.steps.together`.
        """
        yield from ()
        return self.push(images, numbers)

    def probability_in_steps(
        self, images: Sequence[Bytes], numbers: Sequence[int] | None = None
    ) -> Generator[Any, Any, NDArray[np.float32] | None]:
        """Take the next frames as :meth:`probability` does, but leave passes of a network to the caller."""
        yield from ()
        return self.probability(images, numbers)

    def network(self, shown: Sequence[Any]) -> list[Any]:
        """Show the system's network what subtractors of it have yielded, those of one size in one pass."""
        raise NotImplementedError

    def masks(self, probability: NDArray[np.float32]) -> Bytes:
        """Return what is foreground at probabilities of any shape: uint8, 255 or 0."""
        return np.where(probability > self.threshold, np.uint8(255), np.uint8(0))

    @abstractmethod
    def _apply(self, image: Bytes, rate: float, known: NDArray[np.bool_] | None) -> Bytes:
        """Return the mask of the next frame, BGR or grey."""

    @abstractmethod
    def _background(self) -> Bytes | None:
        """Return the background, BGR or grey, at the frames' own size."""

    def apply(
        self,
        image: NDArray[Any],
        fgmask: Bytes | None = None,
        learningRate: float = -1,  # noqa: N803
        *,
        knownForegroundMask: NDArray[Any] | None = None,  # noqa: N803
    ) -> Bytes:
        """Take the next frame and return its mask, as ``cv2.BackgroundSubtractor.apply`` does.

        Args:
            image: BGR, shape ``(h, w, 3)``, or grey, ``(h, w)``; uint8, or uint16 as thermal cameras have it, and
                then all of them. Another size than before restarts the background, with a warning the first time.
            fgmask: Where the mask is written as well, ``(h, w)``, uint8, if that is given.
            learningRate: As in OpenCV, 0 leaves the background as it is, 1 rebuilds it from this frame, and a
                negative one is the system's own. What lies between means something to MOG2 and KNN alone.
            knownForegroundMask: What is known to be foreground, ``(h, w)``, where it is not 0: it is foreground in the
                mask, and the background does not learn of it. Other systems than MOG2 and KNN see their own background
                there.

        Returns:
            Shape ``(h, w)``, uint8: 255 is foreground, 0 background.

        Raises:
            UserError: If it is no such image, the rate is none, or the system learns of every frame and cannot leave
                its background.
        """
        frame = self._bytes(checked_frame(image, "frame"), "frame")
        if self._depth.warning and not self._has_reported_range:
            self._has_reported_range = True
            warnings.warn(f"{self._depth.warning} Reported once.", stacklevel=2)
        require_number("learningRate", learningRate)
        check_range("", most=1, learningRate=learningRate)
        size = frame.shape[:2]
        known = None
        for name, mask in (("fgmask", fgmask), ("knownForegroundMask", knownForegroundMask)):
            if mask is not None and (not isinstance(mask, np.ndarray) or mask.shape != size):
                raise UserError(f"{name}: must have the frame's shape {size}; got {got(mask)}.")
        if fgmask is not None and (fgmask.dtype != np.uint8 or not fgmask.flags.writeable):
            how = "" if fgmask.flags.writeable else " that is read-only"
            raise UserError(f"fgmask: must be uint8, and writeable; got {got(fgmask)}{how}.")
        if knownForegroundMask is not None:
            if knownForegroundMask.dtype.kind not in "buif":
                raise UserError(f"knownForegroundMask: must be of numbers; got {got(knownForegroundMask)}.")
            known = knownForegroundMask != 0
        if self._shape not in (None, size) and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"frame: must have the size of those before, {self._shape[1]}×{self._shape[0]}; got "
                f"{size[1]}×{size[0]}. The background restarts. Reported once.",
                stacklevel=2,
            )
        mask = self._apply(frame, learningRate, known)
        self._shape, self._is_grey = size, frame.ndim == 2
        if known is not None:
            mask = np.where(known, np.uint8(255), mask)
        if fgmask is not None:
            fgmask[...] = mask
        return mask

    def getBackgroundImage(self) -> Bytes | None:  # noqa: N802
        """Return the background at the frames' own size, as ``cv2.BackgroundSubtractor`` does.

        It is what the system models, where that is an image, or else the median of the pool.

        Returns:
            BGR, shape ``(h, w, 3)``, or ``(h, w)`` if the newest frame was grey, uint8; ``None`` where there is no such
            image, as in systems that see the frame and its flow alone, or before the first frame.
        """
        image = self._background()
        if image is None or image.ndim == 2 or not self._is_grey:
            return image
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)

    def _bytes(self, image: NDArray[Any], name: str) -> Bytes:
        """Bring a frame to 8 bits."""
        shown = self._depth.shown(image, name)
        return shown[..., 0] if shown.ndim == 3 and shown.shape[2] == 1 else shown

    def _pool_of(self, pool: Any) -> list[Bytes]:
        """Return RGB frames."""
        if isinstance(pool, (str, Path)):
            path = Path(pool).expanduser()
            files = [file for file in path.iterdir() if is_image(file)] if path.is_dir() else [path]
            refusal = UserError(f"reference_pool: must be an image or a folder of some; got {pool}.")
            if not files or not path.exists():
                raise refusal
            source = Images(files, str(pool))
            source.depth = self._depth
            if not (found := source.first(len(files))):
                raise refusal
            return found
        if isinstance(pool, np.ndarray) and (pool.ndim == 2 or (pool.ndim == 3 and pool.shape[2] in {1, 3})):
            pool = [pool]
        if not isinstance(pool, (Sequence, np.ndarray)):
            raise UserError(f"reference_pool: must be a sequence of frames, or the path of some; got {got(pool)}.")
        given = [checked_frame(image, f"reference_pool[{place}]") for place, image in enumerate(pool)]
        self._depth.look(given)
        images = [self._bytes(image, f"reference_pool[{place}]") for place, image in enumerate(given)]
        if len({image.shape[:2] for image in images}) > 1:
            sizes = " and ".join(sorted({f"{image.shape[1]}×{image.shape[0]}" for image in images}))
            raise UserError(f"reference_pool: must hold frames of one size; got {sizes}.")
        return [image if image.ndim == 3 else np.repeat(image[..., None], 3, 2) for image in images]


_OPTIONS = frozenset({"pool_size", "stride", "refresh_interval", "precision", "blocking", "compiled"})


class OpenCvSubtractor(StreamSubtractor):
    """A subtractor of OpenCV, whose masks are its own without its shadows.

    Args:
        name: One of :data:`bgsub_lightning.frames.opencv.OPENCV`.
        reference_pool: See :class:`StreamSubtractor`; these frames are shown ahead.
        range: See :class:`StreamSubtractor`.
        batch_size: The most frames that :meth:`push` is given at once.
        threshold: Has no effect but must be a probability, as those of all systems.
        device: ``None`` or ``cpu``.
        others: Options of other systems, which mean nothing to these: they keep no pool.

    Raises:
        UserError: If the pool holds something else than frames, the threshold is no probability, the device is
            another, or the installed OpenCV does not have the subtractor.
    """

    def __init__(
        self,
        name: str,
        reference_pool: Any = (),
        range: Range | None = None,
        batch_size: int = 1,
        threshold: float | None = None,
        device: object = None,
        **others: Any,
    ) -> None:
        require_opencv(name)
        super().__init__(name, reference_pool, range)
        if unknown := sorted(others.keys() - _OPTIONS):
            raise UserError(f"{unknown[0]}: there is no such option; there are {', '.join(sorted(_OPTIONS))}.")
        checked_options({"batch_size": batch_size, **others}, threshold)
        if str(device) not in {"None", "cpu"}:
            raise UserError(f"device: {name} computes on the CPU; got {device}. Leave the option out.")
        self.batch_size = batch_size
        self._model: Any = None
        self._seen: tuple[int, ...] = ()

    @property
    def kind(self) -> str:  # noqa: D102
        return "OpenCV"

    def reset(self) -> None:  # noqa: D102
        super().reset()
        self._model = None

    def push(self, images: Sequence[Bytes], numbers: Sequence[int] | None = None) -> list[Bytes]:  # noqa: D102
        checked_frames(images, self.batch_size, numbers)
        return [self._apply(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8), -1, None) for image in images]

    def _apply(self, image: Bytes, rate: float, known: NDArray[np.bool_] | None) -> Bytes:
        if self.name in CONTRIB:
            return self._apply_contrib(image, rate, known)
        self._begin(image)
        if known is None:
            mask = self._model.apply(image, learningRate=rate)
        else:
            mask = self._model.apply(image, knownForegroundMask=known.astype(np.uint8), learningRate=rate)
        return np.asarray(cv2.threshold(mask, 254, 255, cv2.THRESH_BINARY)[1], np.uint8)

    def _apply_contrib(self, image: Bytes, rate: float, known: NDArray[np.bool_] | None) -> Bytes:
        """Do what is asked for where OpenCV would pass over it: these have neither a rate nor known foreground."""
        if rate == 0:
            raise UserError(f"learningRate: {self.name} learns of every frame, and cannot leave one out; got 0.")
        if rate == 1:
            self._given, self._model = [], None
        background = None if known is None else self._background()
        if known is not None and background is not None and background.shape == image.shape:
            image = np.where(known if image.ndim == 2 else known[..., None], background, image)
        self._begin(image)
        return np.asarray(self._model.apply(image), np.uint8)

    def _begin(self, image: Bytes) -> None:
        """Make a model for frames of this size if there is none."""
        if self._model is None or image.shape != self._seen:
            self._seen = image.shape
            self._model = opencv_subtractor(self.name)
            for each in self._given:
                code = cv2.COLOR_RGB2GRAY if image.ndim == 2 else cv2.COLOR_RGB2BGR
                self._model.apply(cv2.cvtColor(resized(each, (image.shape[1], image.shape[0])), code))

    def _background(self) -> Bytes | None:
        image = None if self._model is None else self._model.getBackgroundImage()
        if image is None or not image.size:
            return None
        if image.ndim < len(self._seen):  # CNT compares grey levels
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        elif image.ndim > len(self._seen):  # GSOC and LSBP compare colours
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return np.asarray(image, np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to lose what OpenCV has learnt.

        Raises:
            UserError: If it has seen a frame.
        """
        if self._model is not None:
            raise uncopyable(self.name)
        return dict(vars(self))


def uncopyable(name: str) -> UserError:
    """Return the error of copying what a library has learnt."""
    return UserError(
        f"{name}: must be copied or pickled before its first frame; got one that has learnt, which its library cannot "
        f"copy. Call reset() first, or load another."
    )


def checked_options(options: dict[str, Any], threshold: float | None) -> None:
    """Check what is common to all subtractors.

    Raises:
        UserError: If a number lies outside of its range.
    """
    for most, names in ((100_000, ("pool_size", "batch_size")), (10**12, ("stride", "refresh_interval"))):
        for name in (name for name in names if name in options):
            if options[name] is not None or name != "refresh_interval":
                require_number(name, options[name])
            check_whole("", least=1, most=most, **{name: options[name]})
    if threshold is not None:
        require_number("threshold", threshold)
    check_range("", least=0, below=1, threshold=threshold)
    check_choice("", Precision, precision=options.get("precision", "32"))
    for name in ("blocking", "compiled"):
        if not isinstance(options.get(name, True), bool):
            raise UserError(f"{name}: must be True or False; got {got(options[name])}.")
