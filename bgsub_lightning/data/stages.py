"""Training in stages: what learns when, on what, for how long and at which rate.

The number of optimiser steps already done decides the stage, and nothing else does, so there is no state to save: a run
resumed at any step is in the stage that it was in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, Protocol

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data.inputs import Input
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.splits import FrameSet


@dataclass(frozen=True)
class Stage:
    """Numbers of one stage.

    Args:
        steps: Optimiser steps that it lasts.
        batch_size: Samples per process and step: N processes make N times as many.
        lr: Learning rate of the sub-networks that learn.
        decay: What becomes of the rate: it stays, as in most papers, or falls to zero along a cosine.
        repeat: Consecutive steps that share their frames.
    """

    steps: int
    batch_size: int
    lr: float
    decay: Literal["constant", "cosine"] = "constant"
    repeat: int = 1

    def __post_init__(self) -> None:
        check_range("model.init_args: stage.", least=1, steps=self.steps, repeat=self.repeat)
        check_range("model.init_args: stage.", least=1, most=65_536, batch_size=self.batch_size)
        check_range("model.init_args: stage.", above=0, lr=self.lr)

    def rate(self, step: int) -> float:
        """Return the learning rate after that many steps of the stage."""
        return self.lr if self.decay == "constant" else self.lr * 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True)
class Span:
    """A stage in its place in the run.

    Attributes:
        name: Its name.
        learns: The sub-networks that it trains: names of the module's attributes.
        stage: Its numbers.
        inputs: What its samples hold.
        draws: Draws per process and step; one may stand for a whole batch, as a window of frames does for many pixels.
        running_statistics: Sub-networks whose batch normalisation keeps to its running statistics while they learn.
        goes_on: Whether the optimiser keeps its moments from the stage before; else it begins with fresh ones.
        first: Steps of the run before it.
    """

    name: str
    learns: tuple[str, ...]
    stage: Stage
    inputs: tuple[Input, ...]
    draws: int
    running_statistics: tuple[str, ...] = ()
    goes_on: bool = False
    first: int = 0

    @property
    def end(self) -> int:
        """Steps of the run at its end."""
        return self.first + self.stage.steps


class StagePlan:
    """The stages of a run, laid end to end.

    Args:
        spans: The stages; what they say of their place is not looked at.

    Example:
        >>> draw, both = Stage(4, 4, 1e-3), Stage(2, 1, 1e-4)
        >>> plan = StagePlan(Span("recon", ("recon",), draw, (), 4), Span("joint", ("recon", "seg"), both, (), 1))
        >>> len(plan), plan.at(3).name, plan.at(4).name, plan.networks
        (6, 'recon', 'joint', ('recon', 'seg'))
        >>> plan.rate("seg", 0), plan.rate("seg", 4)
        (0.0, 0.0001)
    """

    def __init__(self, *spans: Span) -> None:
        self.spans: list[Span] = []
        first = 0
        for span in spans:
            self.spans.append(replace(span, first=first))
            first = self.spans[-1].end

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __len__(self) -> int:
        """Steps of the whole run."""
        return self.spans[-1].end

    @property
    def networks(self) -> tuple[str, ...]:
        """The sub-networks, in the order in which they begin to learn."""
        return tuple(dict.fromkeys(network for span in self for network in span.learns))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Inputs that any of the stages needs."""
        return tuple(entry for span in self for entry in span.inputs)

    def beginning(self, name: str) -> StagePlan:
        """Return the plan without the stages before the one of that name."""
        position = [span.name for span in self].index(name)
        return StagePlan(*self.spans[position:])

    def at(self, step: int) -> Span:
        """Return the stage of the step that follows ``step`` steps; the last one beyond the end."""
        return next((span for span in self if step < span.end), self.spans[-1])

    def rate(self, network: str, step: int) -> float:
        """Return the learning rate of a sub-network after ``step`` steps of the run: 0 where it does not learn."""
        span = self.at(step)
        return span.stage.rate(step - span.first) if network in span.learns else 0.0


class StageHook(Protocol):
    """Methods that the datamodule calls of a module that is trained in stages."""

    def begin_stage(self, span: Span, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Compute what a stage's samples need of networks; called before its first batch is loaded."""


class StagedLoader:
    """The batches of all stages, as one epoch.

    The loader of a stage is made when the one before it has been used up: nothing of a stage is loaded ahead, so that
    it may read what the stage before has made.

    Args:
        plan: The stages.
        loader: Makes the loader of a stage; it must yield what is left of it after the given number of its steps.
        reached: Steps that the trainer has done.
    """

    def __init__(
        self, plan: StagePlan, loader: Callable[[Span, int], Iterable[Any]], reached: Callable[[], int]
    ) -> None:
        self.plan = plan
        self.loader = loader
        self.reached = reached

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Any]:
        reached = self.reached()  # now, not at the first next(): Lightning makes the iterator before it begins
        left = [span for span in self.plan if reached < span.end]
        return chain.from_iterable(self.loader(span, max(0, reached - span.first)) for span in left)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: a stage follows from the trainer's step. Lightning asks a loader that resumes for a state."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume where the trainer is."""
