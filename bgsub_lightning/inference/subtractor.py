"""Frames in, masks out, as OpenCV's background subtractors have it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch, Hop
from bgsub_lightning.data.dataset import evaluation_inputs, ready
from bgsub_lightning.datasets.scene import Range
from bgsub_lightning.frames.images import resized
from bgsub_lightning.inference.footage import KEY, Footage, keeps
from bgsub_lightning.inference.stream import (
    POOL,
    Precision,
    StreamSubtractor,
    checked_frames,
    checked_options,
    uncopyable,
)
from bgsub_lightning.inference.system import System
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.compiling import compile_in_place

_BACKGROUNDS = ("background", "reconstruction", "base image")
_TYPES = {"bf16": torch.bfloat16, "16": torch.float16}


class Subtractor(StreamSubtractor):
    """A background subtractor for one stream of frames, of any system.

    Systems that compare a frame with references or with a base image take them from a *pool* of frames: those that are
    given, or frames of the stream, one in so many. While the stream has given few, what it has given is used several
    times: the subtractor warms up. The pool goes on with the stream if there is ``refresh``, and what is made of it is
    made anew at that interval, between two frames. Systems that carry state, such as CDN-MEDAL-net and MOG2, follow
    slow changes by themselves; given frames are shown to them ahead.

    Args:
        system: What subtracts. Its module keeps the background, so that a system serves one stream at a time.
        device: Where; ``None``: a GPU if there is one.
        pool: Frames of the scene, best without foreground; see :class:`StreamSubtractor`. Empty: the pool is taken from
            the stream.
        pool_size: Frames of a pool that the stream fills; as many as the system draws references, if that is more.
        every: The stream gives the pool one of so many frames.
        refresh: Frames after which the background is made anew of the pool; ``None``: it stays as it is, once a pool
            that the stream fills is full.
        batch_size: The most frames that :meth:`push` is given at once.
        threshold: Probability above which a pixel is foreground; ``None``: the system's own.
        precision: See :data:`Precision`.
        waits: Whether frames wait while the background is made anew. ``False``: the one before serves them until the
            new one is made, in a thread beside; which frame is the first to see it then depends on time.
        compiled: Whether ``torch.compile`` works on the networks, which takes a minute at the first frames.
        range: See :class:`StreamSubtractor`.

    Raises:
        UserError: If a number makes no sense, the pool holds something else than frames, the device cannot be used, or
            there is no compiler.
    """

    def __init__(
        self,
        system: System,
        device: str | torch.device | None = None,
        pool: Any = (),
        pool_size: int = POOL,
        every: int = 25,
        refresh: int | None = None,
        batch_size: int = 1,
        threshold: float | None = None,
        precision: Precision = "32",
        waits: bool = True,
        compiled: bool = False,
        range: Range | None = None,
    ) -> None:
        frames_of = {"pool_size": pool_size, "every": every, "refresh": refresh, "batch_size": batch_size}
        checked_options({**frames_of, "precision": precision, "waits": waits, "compiled": compiled}, threshold)
        super().__init__(system.name, pool, range)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.system = system
        self.device = _usable(device)
        self.module = system.module.to(self.device).eval().requires_grad_(False)
        if threshold is None:
            self.module.take_threshold(tells=False)
        self.threshold = self.module.threshold if threshold is None else threshold
        self.inputs = tuple(entry.of_footage(KEY) for entry in self.module.inputs)
        self.taus = tuple(tau for entry in self.inputs if isinstance(entry, Hop) for tau in entry.taus)
        if compiled:
            compile_in_place(self.module.compilable, self.device, "compile")
        self.batch_size = batch_size
        self.pool_size = max(pool_size, system.references, len(self._given))
        self.every = every
        self.refresh = refresh
        self.precision = precision
        self.waits = waits or system.streams  # what carries state cannot be made beside
        self._is_fixed = False
        self._beside = ThreadPoolExecutor(1, "renewal")
        self.footage: Footage | None = None
        self.reset()

    @property
    def kind(self) -> str:  # noqa: D102
        return type(self.module).__name__

    @property
    def restarts(self) -> int:  # noqa: D102
        return self.module.restarts

    @property
    def is_warm(self) -> bool:  # noqa: D102
        if not self.system.needs_pool or self._given:
            return True
        return self.footage is not None and len(self.footage.pool) == self.footage.pool.maxlen

    def reset(self) -> None:  # noqa: D102
        super().reset()
        self.footage = None
        self._next = 1
        self._pooled = self._renewed = -math.inf  # numbers of the frames at which that was last done
        self._is_stale = True
        self._renewing: Future[BgsModule] | None = None
        self._opens = True

    def push(  # noqa: D102
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> list[NDArray[np.uint8]]:
        found = self.module.is_foreground(self._answer(images, numbers), self.threshold)
        masks = found.byte().mul_(255)  # before it leaves the device
        return list(masks.cpu().numpy())

    def probability(
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Take the next frames as :meth:`push` does, and return the probability of foreground, ``(B, h, w)``."""
        return self._answer(images, numbers).cpu().numpy()

    def _apply(self, image: NDArray[np.uint8], rate: float, known: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        if rate == 0 and self.system.streams:
            raise UserError(f"learningRate: {self.name} learns of every frame, and cannot leave one out; got 0.")
        if rate == 1:
            self._given = []
            self.reset()
        self._is_fixed = rate == 0
        frame = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB), np.uint8)
        background = None if known is None else self._background()
        if known is not None and background is not None and background.shape == frame.shape:
            frame = np.where(known[..., None], background[..., ::-1], frame)
        try:
            return self.push([frame])[0]
        finally:
            self._is_fixed = False

    def _background(self) -> NDArray[np.uint8] | None:
        if self.footage is None:
            return None
        shown = self.module.background_pictures()
        modelled = [shown[title] for title in _BACKGROUNDS if title in shown]
        if modelled:
            rgb = (modelled[0].float().clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
        elif self.system.needs_pool and self.footage.pool:
            rgb = self.footage.background
        else:
            return None
        return np.asarray(cv2.cvtColor(resized(rgb, self.footage.scene.size), cv2.COLOR_RGB2BGR), np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the thread behind, once it has ended its work.

        Raises:
            UserError: If a subtractor of a library has learnt, which cannot be copied.
        """
        of_libraries = [part for part in self.module.modules() if getattr(part, "_subtractor", None) is not None]
        if of_libraries and not self._opens:
            raise uncopyable(self.name)
        for part in of_libraries:
            part._subtractor = None  # type: ignore[assignment]  # the next frame opens a stream
        if self._renewing is not None:
            self.module, self._renewing = self._renewing.result(), None
        return {name: value for name, value in vars(self).items() if name != "_beside"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._beside = ThreadPoolExecutor(1, "renewal")

    def _answer(self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None) -> Tensor:
        checked_frames(images, self.batch_size, numbers)
        height, width = images[0].shape[:2]
        if self.footage is None or self.footage.scene.size != (width, height):
            self._begin((width, height))
        footage = cast("Footage", self.footage)
        chosen = list(range(self._next, self._next + len(images)) if numbers is None else numbers)
        self._next = chosen[-1] + 1
        for number, image in zip(chosen, images, strict=True):
            footage.add(number, image)
        if not self._is_fixed or self._opens:
            self._gather(chosen, images)
        renews = self._renews(chosen[-1])
        found = self._run(self.module, footage, chosen, renews, scored=True, opens=self._opens)
        self._is_stale &= not renews
        self._opens = False
        return found

    def _begin(self, frame_size: tuple[int, int]) -> None:
        """Begin with a stream of frames of a size."""
        flow = self.system.flow if self.taus else None
        self.reset()
        self.footage = Footage(frame_size, self.system.size, flow, keeps(self.batch_size, self.taus), self.pool_size)
        if self.system.needs_pool:
            self.footage.pool.extend(self._given)
        elif self.system.streams:
            for number, image in enumerate(self._given, -len(self._given)):
                self.footage.add(number, resized(image, frame_size))
                self._run(self.module, self.footage, [number], renews=False, scored=False, opens=self._opens)
                self._opens = False

    def _gather(self, numbers: Sequence[int], images: Sequence[NDArray[np.uint8]]) -> None:
        """Give the pool what it takes of new frames, and note whether the background is to be made anew of it."""
        footage = cast("Footage", self.footage)
        if not self.system.needs_pool:
            return
        size = cast("int", footage.pool.maxlen)
        for number, image in zip(numbers, images, strict=True):
            grows = not self._given and len(footage.pool) < size
            takes = grows or (self.refresh is not None and not self._opens)  # the first is made of what was given alone
            if takes and number - self._pooled >= self.every:
                footage.pool.append(image)
                self._pooled = number
                has = len(footage.pool)
                self._is_stale |= grows and (has & (has - 1) == 0 or has == size)  # at 1, 2, 4, … frames
        if self.refresh is not None and numbers[-1] - self._renewed >= self.refresh:
            self._is_stale = True

    def _renews(self, number: int) -> bool:
        """Tell whether the next frames come with a new background; or see to it that one is made beside.

        Args:
            number: The newest frame.
        """
        if not self.system.needs_pool or (self._is_fixed and not self._opens):
            return False
        if self._renewing is not None and self._renewing.done():
            self.module, self._renewing = self._renewing.result(), None
        if not self._is_stale or self._renewing is not None:
            return False
        self._renewed = number
        footage = cast("Footage", self.footage)
        if self.waits or self._opens:
            footage.offer(self.system.references)
            return True
        self._is_stale = False
        self._renewing = self._beside.submit(self._made_anew, self.module, footage.copy(), number)
        return False

    def _made_anew(self, module: BgsModule, footage: Footage, number: int) -> BgsModule:
        """Return a module with the same networks and a new background."""
        twin = copy.copy(module)  # what it keeps of a scene is its own
        twin._buffers = dict(module._buffers)
        footage.offer(self.system.references)
        self._run(twin, footage, [number], renews=True, scored=False, opens=False)
        return twin

    @torch.inference_mode()
    def _run(
        self, module: BgsModule, footage: Footage, numbers: Sequence[int], renews: bool, scored: bool, opens: bool
    ) -> Tensor:
        batch: dict[str, Any] = dict(evaluation_inputs(self.inputs, footage, numbers, 0, renews))
        batch["roi"] = torch.from_numpy(footage.roi)
        batch["is_scored"] = torch.full((len(numbers),), scored)
        batch["number"] = torch.tensor(numbers)
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        batch |= {"scene": 0, "first_in_scene": opens}
        inputs = ready(batch, self.inputs, cast("torch.dtype", module.dtype))
        kind = _TYPES.get(self.precision)
        with torch.autocast(self.device.type, kind) if kind else nullcontext():
            found = module.predict_step(cast("EvaluationBatch", inputs), 0)
        return found.float()


def _usable(device: str | torch.device) -> torch.device:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # of no such kind, or this PyTorch or machine has none
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"device: {device} cannot be used ({reason}). Name another, such as cpu.") from error
    return torch.device(device)
