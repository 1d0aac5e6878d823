"""Batches drawn by their number, so that a run may begin at any batch and on any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.splits.frameset import FrameSet


class Draw(NamedTuple):
    """One frame to load.

    Attributes:
        scene: Position of its scene.
        number: Frame number.
        seed: Seed of all that is random inside the sample (references, crops, flips), so that samples are the same
            whatever the number of workers, and after a resume.
        first_in_scene: Whether the batch is the first of its scene, which carries what is loaded once per scene.
        last_in_scene: Whether the batch is the last of its scene.
        progress: How much of the training is done, [0, 1]; see :meth:`Input.at`.
    """

    scene: int
    number: int
    seed: int
    first_in_scene: bool = False
    last_in_scene: bool = False
    progress: float = 1.0


class TrainingBatches(Sampler[list[Draw]]):
    """Every frame once per epoch, in an order that depends on ``(seed, epoch)`` only.

    A pass begins at the batch that the trainer has reached. That is what makes a resumed run see the frames that it
    would have seen.

    Args:
        frames: Frames to draw from.
        batch_size: Samples per process and batch.
        reached: Batches that the trainer has done, in all and in its current epoch.
        seed: Seed of the order.
        rank: This process.
        world_size: All processes. A last batch that would leave one of them without a sample is left out.
        steps: Batches in all, over as many epochs as they take; ``None``: a pass is one epoch.
        repeat: Consecutive batches of the same frames; each has its own seeds.

    Attributes:
        length: Batches of the whole run; ``None``: no end is set.

    Raises:
        UserError: If there are fewer frames than processes.
    """

    length: int | None = None

    def __init__(
        self,
        frames: FrameSet,
        batch_size: int,
        reached: Callable[[], tuple[int, int]] = lambda: (0, 0),
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        steps: int | None = None,
        repeat: int = 1,
    ) -> None:
        if len(frames) < world_size:
            raise UserError(f"{len(frames)} frames to train on are too few for {world_size} processes.")
        self.frames = frames
        self.batch_size = batch_size
        self.reached = reached
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.steps = steps
        self.repeat = repeat
        self._drawn: tuple[int, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        """Batches of a pass."""
        return self.steps or self._epoch

    def __iter__(self) -> Iterator[list[Draw]]:
        total, current = self.reached()  # now, not at the first next(): Lightning makes the iterator before it begins
        return (self.batch(total + i) for i in range(len(self) - current % len(self)))

    def batch(self, step: int) -> list[Draw]:
        """Return batch number ``step`` of the run."""
        epoch, position = divmod(step // self.repeat, self._epoch)
        if self._drawn is None or self._drawn[0] != epoch:
            generator = np.random.default_rng((self.seed, epoch))
            order = generator.permutation(len(self.frames))
            self._drawn = epoch, order, generator.integers(2**63, size=len(order))
        _, order, seeds = self._drawn
        size = self.batch_size * self.world_size
        chosen = order[position * size : (position + 1) * size][self.rank :: self.world_size]
        again = step % self.repeat
        done = 1.0 if self.length is None else min(step / max(self.length - 1, 1), 1.0)
        return [Draw(*self.frames[int(index)], seed=int(seeds[index]) + again, progress=done) for index in chosen]

    @property
    def _epoch(self) -> int:
        """Batches in which every frame comes once."""
        full, rest = divmod(len(self.frames), self.batch_size * self.world_size)
        return full + (rest >= self.world_size)


class EvaluationBatches(Sampler[list[Draw]]):
    """Every frame exactly once over all processes, in order; a batch holds frames of one scene.

    Args:
        frames: The frames.
        batch_size: Frames per batch at most.
        rank: This process.
        world_size: All processes.
        whole_scenes: Give each scene to one process, from its first frame on: for systems that carry state from frame
            to frame. Otherwise each process has a run of frames of equal length.

    Raises:
        UserError: If a process would be left without a frame.
    """

    def __init__(
        self, frames: FrameSet, batch_size: int, rank: int = 0, world_size: int = 1, whole_scenes: bool = False
    ) -> None:
        if world_size > 1 and len(frames) < world_size:
            raise UserError(f"{len(frames)} frames to evaluate are too few for {world_size} processes.")
        if world_size > 1 and whole_scenes and len(frames.scenes) < world_size:
            raise UserError(
                f"trainer.devices: must be at most {len(frames.scenes)}, the number of scenes, because a system with "
                f"state evaluates each scene in one process; got {world_size}. Set it to {len(frames.scenes)} or fewer."
            )
        self.batches: list[list[Draw]] = []
        begin, end = (len(frames) * part // world_size for part in (rank, rank + 1))
        position = 0
        for scene, numbers in enumerate(frames.numbers):
            if whole_scenes:
                mine: Sequence[int] = numbers if scene % world_size == rank else ()
            else:
                mine = numbers[max(0, begin - position) : max(0, end - position)]
            position += len(numbers)
            for i in range(0, len(mine), batch_size):
                first, last = i == 0, i + batch_size >= len(mine)
                self.batches.append([Draw(scene, number, 0, first, last) for number in mine[i : i + batch_size]])

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        return iter(self.batches)
