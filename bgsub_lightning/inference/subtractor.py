"""Frames in, masks out, as OpenCV's background subtractors have it."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.steps import together
from bgsub_lightning.data import EvaluationBatch, Hop, SceneInputs
from bgsub_lightning.data.dataset import frame_inputs, ready
from bgsub_lightning.datasets.scene import Range
from bgsub_lightning.frames.images import resized
from bgsub_lightning.inference.checking import checked_frames
from bgsub_lightning.inference.footage import Footage, history_length
from bgsub_lightning.inference.stream import POOL, Precision, StreamSubtractor, checked_options, uncopyable
from bgsub_lightning.inference.system import System
from bgsub_lightning.systems.baselines import ThresholdedDifferenceSystem
from bgsub_lightning.systems.compiling import compile_in_place
from bgsub_lightning.systems.system import Passes

_BACKGROUNDS = ("background", "reconstruction", "base image")
_TYPES = {"bf16": torch.bfloat16, "16": torch.float16}


class Subtractor(StreamSubtractor):
    """A background subtractor for one stream of frames, of any system.

    Systems that compare a frame with references or with a base image take them from a *pool* of frames: those that are
    given, or frames of the stream, one in so many. While the stream has given few, what it has given is used several
    times: the subtractor warms up. With a ``refresh_interval`` the pool follows the stream; the background is rebuilt
    from it at that interval, between two frames. Systems that carry state, such as CDN-MEDAL-net and MOG2, follow
    slow changes by themselves; given frames are shown to them ahead.

    Args:
        system: What subtracts. It serves any number of subtractors at a time: each keeps its stream's context.
        device: Where; ``None``: a GPU if there is one.
        reference_pool: Frames of the scene, best without foreground; see :class:`StreamSubtractor`. Empty: the pool is
            taken from the stream.
        pool_size: Frames of a pool that the stream fills; as many as the system draws references, if that is more.
        stride: The stream gives the pool one of so many frames.
        refresh_interval: Frames after which the background is made again of the pool; ``None``: it stays as it is, once
            a pool that the stream fills is full.
        batch_size: The most frames that :meth:`push` is given at once.
        threshold: Probability above which a pixel is foreground; ``None``: the system's own.
        precision: See :data:`Precision`.
        blocking: Whether frames wait while the background is made again. ``False``: the previous one serves them until
            a thread has made the new one; which frame is the first to see it then depends on time.
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
        reference_pool: Any = (),
        pool_size: int = POOL,
        stride: int = 25,
        refresh_interval: int | None = None,
        batch_size: int = 1,
        threshold: float | None = None,
        precision: Precision = "32",
        blocking: bool = True,
        compiled: bool = False,
        range: Range | None = None,
    ) -> None:
        of_frames = {"pool_size": pool_size, "stride": stride, "refresh_interval": refresh_interval}
        others = {"batch_size": batch_size, "precision": precision, "blocking": blocking, "compiled": compiled}
        checked_options(of_frames | others, threshold)
        super().__init__(system.name, reference_pool, range)
        if of_files := [entry for entry in system.module.inputs if entry.of_files]:
            raise UserError(
                f"{system.name}: is shown {type(of_files[0]).__name__}, which is read from files that a stream does "
                f"not have. Use `predict`, or train it without."
            )
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.system = system
        self.device = _usable(device)
        self.module = system.module.to(self.device).eval().requires_grad_(False)
        if threshold is None:
            self.module.load_threshold()
        self.threshold = self.module.threshold if threshold is None else threshold
        self.taus = tuple(tau for entry in self.module.inputs if isinstance(entry, Hop) for tau in entry.taus)
        if compiled:
            compile_in_place(self.module.compile_targets, self.device, "compile")
        self.batch_size = batch_size
        self.pool_size = max(pool_size, system.references, len(self._given))
        self.stride = stride
        self.refresh_interval = refresh_interval
        self.precision = precision
        self.blocking = blocking or system.streams  # what carries state cannot be made in a thread
        self._is_fixed = False
        self._beside = ThreadPoolExecutor(1, "renewal")
        self.footage: Footage | None = None
        self._resumed: tuple[tuple[int, int], str] | None = None
        self.context: SceneContext | None = None
        self._restarts = 0
        self.reset()

    @property
    def kind(self) -> str:  # noqa: D102
        return self.module.kind

    @property
    def restarts(self) -> int:  # noqa: D102
        return self._restarts + (self.context.restarts if self.context else 0)

    @property
    def is_warm(self) -> bool:  # noqa: D102
        if not self.system.needs_pool or self._given:
            return True
        return self.footage is not None and len(self.footage.pool) == self.footage.pool.maxlen

    @property
    def has_shadows(self) -> bool:  # noqa: D102
        return isinstance(self.module, ThresholdedDifferenceSystem)

    def reset(self) -> None:  # noqa: D102
        super().reset()
        self._restarts = self.restarts
        self.footage = self.context = None
        self._next = 1
        self._pooled = self._renewed = -math.inf  # numbers of the frames at which that was last done
        self._is_stale = True
        self._renewing: Future[SceneContext] | None = None

    def push(  # noqa: D102
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> list[NDArray[np.uint8]]:
        return together([self.push_in_steps(images, numbers)], self.network)[0]

    def push_in_steps(  # noqa: D102
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> Generator[Tensor, Tensor, list[NDArray[np.uint8]]]:
        found = self.module.is_foreground((yield from self._answer(images, numbers)), self.threshold)
        masks = found.byte().mul_(255)  # before it leaves the device
        return list(masks.cpu().numpy())

    def probability(
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Take the next frames as :meth:`push` does, and return the probability of foreground, ``(B, h, w)``."""
        return together([self.probability_in_steps(images, numbers)], self.network)[0]

    def probability_in_steps(  # noqa: D102
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> Generator[Tensor, Tensor, NDArray[np.float32]]:
        found = yield from self._answer(images, numbers)
        return found.cpu().numpy()

    @torch.inference_mode()
    def network(self, shown: Sequence[Tensor]) -> list[Tensor]:  # noqa: D102
        answers: dict[int, Tensor] = {}
        sizes = [each.shape[1:] for each in shown]
        for size in dict.fromkeys(sizes):
            places = [place for place, each in enumerate(sizes) if each == size]
            with self._precise():
                found = self.module.network_pass(torch.cat([shown[place] for place in places]))
            answers |= zip(places, torch.split(found, [len(shown[place]) for place in places]), strict=True)
        return [answers[place] for place in range(len(shown))]

    def masks(self, probability: NDArray[np.float32]) -> NDArray[np.uint8]:  # noqa: D102
        compare = np.greater_equal if self.module.threshold_is_foreground else np.greater
        return np.where(compare(probability, self.threshold), np.uint8(255), np.uint8(0))

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
        if self.footage is None or self.context is None:
            return None
        shown = self.context.pictures()
        modelled = [shown[title] for title in _BACKGROUNDS if title in shown]
        if modelled:
            rgb = (modelled[0].float().clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
        elif self.system.needs_pool and self.footage.pool:
            rgb = self.footage.background()
        else:
            return None
        return np.asarray(cv2.cvtColor(resized(rgb, self.footage.frame_size), cv2.COLOR_RGB2BGR), np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the thread behind, once it has ended its work.

        Raises:
            UserError: If a subtractor of a library has learnt, which cannot be copied.
        """
        if self.context is not None and not self.context.is_copyable:
            raise uncopyable(self.name)
        if self._renewing is not None:
            self.context, self._renewing = self._renewing.result(), None
        return {name: value for name, value in vars(self).items() if name != "_beside"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._beside = ThreadPoolExecutor(1, "renewal")

    def _answer(self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None) -> Passes:
        checked_frames(images, self.batch_size, numbers)
        height, width = images[0].shape[:2]
        resumed, self._resumed = self._resumed, None
        if resumed is not None and resumed[0] != (width, height):
            was = "×".join(map(str, resumed[0]))
            raise UserError(
                f"{resumed[1]}: is of frames of {was} pixels; got {width}×{height}. Name another, or leave the option "
                f"out."
            )
        if self.footage is None or self.footage.frame_size != (width, height):
            self._begin((width, height))
        footage = cast("Footage", self.footage)
        chosen = list(range(self._next, self._next + len(images)) if numbers is None else numbers)
        self._next = chosen[-1] + 1
        for number, image in zip(chosen, images, strict=True):
            footage.add(number, image)
        if not self._is_fixed or self.context is None:
            self._gather(chosen, images)
        if self.system.needs_pool:
            self._renew(chosen[-1])
        return (yield from self._run(chosen))

    def _begin(self, frame_size: tuple[int, int]) -> None:
        """Begin with a stream of frames of a size."""
        self.reset()
        flow, history = self.system.flow if self.taus else None, history_length(self.batch_size, self.taus)
        self.footage = Footage(frame_size, self.system.size, flow, history, self.pool_size)
        if self.system.needs_pool:
            self.footage.pool.extend(self._given)
            return
        self.context = self._begun(self.footage)
        if self.system.streams:
            for number, image in enumerate(self._given, -len(self._given)):
                self.footage.add(number, resized(image, frame_size))
                together([self._run([number], is_scored=False)], self.network)

    def resume(
        self,
        frame_size: tuple[int, int],
        pool: Sequence[NDArray[np.uint8]],
        state: Mapping[str, Any],
        source: str = "state",
    ) -> None:
        """Begin with what another subtractor of this system has learnt, instead of nothing.

        Args:
            frame_size: Width and height of its frames; others are refused from now on.
            pool: Its pool.
            state: Its context's.
            source: What errors about it begin with.

        Raises:
            Exception: If the state does not fit the context.
        """
        given, self._given = self._given, []  # the state is newer
        self._begin(frame_size)
        self._given, self._resumed = given, (frame_size, source)
        footage = cast("Footage", self.footage)
        if self.system.needs_pool:
            footage.pool.clear()
            footage.pool.extend(pool)
            self._is_stale = bool(pool)
            self.context = self._begun(footage) if self.system.streams else None
        if self.context is not None:
            self.context.load_state_dict(_on(self.device, state))

    def _gather(self, numbers: Sequence[int], images: Sequence[NDArray[np.uint8]]) -> None:
        """Give the pool what it takes of new frames, and note whether the background is to be made again of it."""
        footage = cast("Footage", self.footage)
        if not self.system.needs_pool:
            return
        size = cast("int", footage.pool.maxlen)
        for number, image in zip(numbers, images, strict=True):
            grows = not self._given and len(footage.pool) < size
            # the first background is built from the given frames alone
            takes = grows or (self.refresh_interval is not None and self.context is not None)
            if takes and number - self._pooled >= self.stride:
                footage.pool.append(image)
                self._pooled = number
                has = len(footage.pool)
                self._is_stale |= grows and (has & (has - 1) == 0 or has == size)  # at 1, 2, 4, … frames
        if self.refresh_interval is not None and numbers[-1] - self._renewed >= self.refresh_interval:
            self._is_stale = True

    def _renew(self, number: int) -> None:
        """Make the background of the pool, if that is due: now, or in a thread.

        Args:
            number: The newest frame.
        """
        if self._is_fixed and self.context is not None:
            return
        if self._renewing is not None and self._renewing.done():
            self.context, self._renewing = self._renewing.result(), None
        if not self._is_stale or self._renewing is not None:
            return
        self._renewed = number
        footage = cast("Footage", self.footage)
        if self.blocking or self.context is None:
            before, self.context = self.context, self._begun(footage)
            if before is not None:
                self.context.follow(before)
        else:
            self._renewing = self._beside.submit(self._begun, footage.copy())
        self._is_stale = False

    @torch.inference_mode()
    def _begun(self, footage: Footage) -> SceneContext:
        """Return a context of what the pool holds."""
        pool = footage.resized_pool()
        made = {entry.key: entry.of_pool(pool) for entry in self.module.inputs if pool and not entry.per_frame}
        scene = self._ready({key: torch.from_numpy(array) for key, array in made.items() if array is not None})
        with self._precise():
            return self.module.begin_scene(cast("SceneInputs", scene))

    def _run(self, numbers: Sequence[int], is_scored: bool = True) -> Passes:
        """Return the probability of foreground of some of the newest frames, shape ``(B, h, w)``."""
        footage = cast("Footage", self.footage)
        frames = frame_inputs(self.module.inputs, footage, numbers)
        about = {"number": torch.tensor(numbers), "is_scored": torch.full((len(numbers),), is_scored)}
        with torch.inference_mode():
            passes = self.module.passes(self.context, cast("EvaluationBatch", self._ready(frames | about)))
        answer: Any = None
        while True:
            with torch.inference_mode(), self._precise():  # neither holds while the caller is at work
                try:
                    shown = passes.send(answer)
                except StopIteration as end:
                    return self.module.mean_of(end.value, footage.frame_size[::-1]).float()
            answer = yield shown

    def _ready(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        on_device = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        return ready(on_device, self.module.inputs, cast("torch.dtype", self.module.dtype))

    def _precise(self) -> AbstractContextManager[Any]:
        kind = _TYPES.get(self.precision)
        return torch.autocast(self.device.type, kind) if kind else nullcontext()


def _usable(device: str | torch.device) -> torch.device:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # of no such kind, or this PyTorch or machine has none
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"device: {device} cannot be used ({reason}). Name another, such as cpu.") from error
    return torch.device(device)


def _on(device: torch.device, value: Any) -> Any:
    """Bring all tensors of a state to a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _on(device, each) for name, each in value.items()}
    return [_on(device, each) for each in value] if isinstance(value, list) else value
