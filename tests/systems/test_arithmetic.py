"""Cost of a system: by hand, as if it were computed, and of systems of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.backgrounds.classical import TemporalMedian
from bgsub_lightning.data import EvaluationBatch, Image, SceneInputs
from bgsub_lightning.systems import (
    AnyScene,
    BmnBsn,
    CdnMedal,
    ClassicalSubtractor,
    CrossNet,
    ReconMcfcn,
    SeqFeedNet,
    Siamese,
    ThresholdedDifference,
)
from bgsub_lightning.systems.arithmetic import flop_per_frame, parameter_count, shapes_of
from bgsub_lightning.systems.base import BgsModule


class OneLayer(BgsModule):
    """A convolution of each frame, and ten of each scene."""

    inputs = (Image(),)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3, padding=1)
        self.frames: list[Tensor] = []

    def losses(self, batch: Any) -> dict[str, Tensor]:
        raise NotImplementedError

    def begin_scene(self, scene: SceneInputs) -> SceneContext:
        for _ in range(10):
            self.layer(scene["image"])  # type: ignore[typeddict-item]
        return SceneContext()

    def probability(self, context: SceneContext, batch: EvaluationBatch) -> Tensor:
        self.frames.append(batch["image"])
        return self.layer(batch["image"]).softmax(1)[None, :, 1]  # type: ignore[no-any-return]


class Failing(OneLayer):
    def probability(self, context: SceneContext, batch: EvaluationBatch) -> Tensor:
        raise RuntimeError("of a class of the user's")


def first_batch(height: int, width: int, of_bytes: bool = False, **inputs: tuple[int, ...]) -> EvaluationBatch:
    """The first four frames of a scene, and its inputs with these dimensions before the last two."""
    image = torch.zeros(4, 3, height, width)
    return {
        "image": image.byte() if of_bytes else image,
        "ground_truth": torch.zeros(4, 70, 90, dtype=torch.uint8),
        "roi": torch.ones(70, 90, dtype=torch.bool),
        "is_scored": torch.zeros(4, dtype=torch.bool),
        "scene": 0,
        "number": torch.arange(4),
        "first_in_scene": True,
        "last_in_scene": False,
        **{name: torch.zeros(*dimensions, height, width) for name, dimensions in inputs.items()},
    }  # type: ignore[return-value]


@pytest.mark.parametrize(("resizes", "height", "width"), [(False, 240, 320), (True, 60, 80)])
def test_by_hand(resizes: bool, height: int, width: int) -> None:
    module = OneLayer().eval()
    found = flop_per_frame(module, shapes_of(first_batch(60, 80)), resizes)
    assert found == 2 * height * width * 3 * 9 * 2  # a multiply-add for each weight and place; the bias is none
    assert parameter_count(module) == 3 * 9 * 2 + 2
    (image,) = module.frames
    assert image.shape == (1, 3, height, width)


def test_a_system_that_fails_has_none() -> None:
    assert flop_per_frame(Failing().eval(), shapes_of(first_batch(60, 80)), False) is None
    assert flop_per_frame(OneLayer().eval(), {}, False) is None


@pytest.mark.parametrize("make", [ClassicalSubtractor, lambda: ThresholdedDifference(TemporalMedian(5, 1))])
def test_subtractors_without_a_network_have_none(make: Callable[[], BgsModule]) -> None:
    module = make().eval()
    assert flop_per_frame(module, shapes_of(first_batch(60, 80)), False) is None
    assert parameter_count(module) is None


def test_it_is_what_an_evaluation_computes() -> None:
    """Of one frame, without its scene's background, and without a trace in the generator or the weights."""
    torch.manual_seed(0)
    module = BmnBsn(references=2, maps=2, channels=2, depth=2).eval()
    batch = first_batch(48, 64, references=(1, 2, 3))
    state, weights = torch.get_rng_state(), {name: each.clone() for name, each in module.state_dict().items()}
    found = flop_per_frame(module, shapes_of(batch), resizes=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, weights[name]) for name, each in module.state_dict().items())
    with torch.no_grad():
        context = module.begin_scene(batch)
        with FlopCounterMode(display=False) as counter:
            module.probability(context, batch)
    assert found == counter.get_total_flops() / 4
    each_time = BmnBsn(references=2, maps=2, channels=2, depth=2, model_each_frame=True).eval()
    assert flop_per_frame(each_time, shapes_of(batch), resizes=True) > found  # type: ignore[operator]


def test_compiled_networks_are_counted_alike() -> None:
    module, shapes = OneLayer().eval(), shapes_of(first_batch(60, 80))
    expected = flop_per_frame(module, shapes, resizes=True)
    module.layer.compile(backend="eager")
    assert flop_per_frame(module, shapes, resizes=True) == expected


@pytest.mark.parametrize(
    ("make", "batch", "resizes", "gflop", "parameters"),
    [
        (AnyScene, first_batch(72, 96, of_bytes=True), False, 0.761856, 194_660),
        (lambda: BmnBsn(channels=2), first_batch(72, 96, references=(1, 16, 3)), False, None, None),
        (lambda: CrossNet(width=2), first_batch(256, 256, hop=(4, 3)), True, None, None),
        (lambda: Siamese(width=2, channels=2), first_batch(72, 96, base_image=(1, 3)), False, None, None),
        (SeqFeedNet, first_batch(72, 96, empty=(1, 3), recent=(1, 3)), False, 302.5895424, 60_740_186),
        (lambda: ReconMcfcn(bottleneck=4, width=2, mcfcn_width=2, size=49), first_batch(72, 96), False, None, None),
        (lambda: CdnMedal(TemporalMedian(5, 1)), first_batch(72, 96), False, 0.220416, 2_806),
    ],
    ids=["AnyScene", "BmnBsn", "CrossNet", "Siamese", "SeqFeedNet", "ReconMcfcn", "CdnMedal"],
)
def test_each_system_is_counted(
    make: Callable[[], BgsModule], batch: EvaluationBatch, resizes: bool, gflop: float | None, parameters: int | None
) -> None:
    module = make().eval()
    found = flop_per_frame(module, shapes_of(batch), resizes)
    assert found
    if gflop:
        assert (found, parameter_count(module)) == (round(gflop * 1e9), parameters)


def test_a_streams_updates_are_averaged_over_their_period() -> None:
    """CDN-GM renews its backgrounds once in seven frames."""
    module, batch = CdnMedal().eval(), first_batch(24, 32)
    found = flop_per_frame(module, shapes_of(batch), resizes=True)
    batch["is_scored"][:] = True
    context = module.begin_scene(batch)
    frames: EvaluationBatch = {**batch, "image": batch["image"][:1], "is_scored": batch["is_scored"][:1]}
    of_frames = []
    with torch.no_grad():
        for _ in range(15):
            with FlopCounterMode(display=False) as counter:
                module.probability(context, frames)
            of_frames.append(counter.get_total_flops())
    assert found == round(sum(of_frames[1:8]) / 7)
    assert of_frames[6] == of_frames[13] > of_frames[7]
    assert len({*of_frames[1:6], *of_frames[7:13]}) == 1
