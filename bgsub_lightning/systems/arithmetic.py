"""Cost of a system, on any device: its parameters, and the arithmetic of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bgsub_lightning.core.compat.torch import ZerosForCounted
from bgsub_lightning.data import EvaluationBatch, Stream
from bgsub_lightning.systems.base import BgsModule

FRAME = (240, 320)
"""Height and width of the frames whose arithmetic is counted."""

_OF_STREAM = 7  # frames over which a stream is averaged: CDN-GM renews its backgrounds once in as many
_ONE_EACH = {"ground_truth", "is_scored", "also_scored", "number"}


def parameter_count(module: BgsModule) -> int | None:
    """Return the number of parameters, trained or fixed; ``None``: there are none."""
    return sum(parameter.numel() for parameter in module.parameters()) or None


def shapes_of(batch: EvaluationBatch) -> dict[str, Any]:
    """Keep the shapes and types of a batch, without its values."""
    return {key: each.to("meta") if isinstance(each, Tensor) else each for key, each in batch.items()}


def flop_per_frame(module: BgsModule, shapes: Mapping[str, Any], resizes: bool) -> int | None:
    """Count the arithmetic of a system's own evaluation of a frame of 320×240: two for each multiply-add.

    Convolutions and products of matrices count; what works on single values does not. What is computed once per scene,
    as BMN-BSN's maps of the background are, does not count either, nor does what is loaded with a frame, such as
    optical flow. Of systems that carry state it is the mean over the second to the eighth frame of a scene. Where the
    datamodule resizes frames, the network's input has that size whatever the size of the frames.

    The counted operations are not carried out: they give zeros of their shape. So a large network takes as long as its
    other operations, about a second.

    Args:
        module: The system, in evaluation mode.
        shapes: :func:`shapes_of` the first batch of a scene.
        resizes: Whether the datamodule resizes frames.

    Returns:
        Operations; ``None`` where nothing can be counted, as of the subtractors of libraries.
    """
    streams = any(isinstance(entry, Stream) for entry in module.inputs)
    count = _OF_STREAM if streams else 1
    try:
        batch = _frame(module, shapes, resizes)
        skipped = ZerosForCounted()  # type: ignore[no-untyped-call]
        with torch.inference_mode(False), torch.no_grad(), torch.compiler.set_stance("force_eager"), skipped:
            context = module.begin_scene(batch)
            if streams:
                module.probability(context, batch)
            with FlopCounterMode(display=False) as counter:
                for _ in range(count):
                    module.probability(context, batch)
    except Exception:  # whatever a class of the user's raises: a test does not fail for a column of a table
        return None
    return round(counter.get_total_flops() / count) or None


def _frame(module: BgsModule, shapes: Mapping[str, Any], resizes: bool) -> EvaluationBatch:
    """A frame of zeros, with what is loaded once per scene."""
    of_frames = _ONE_EACH | {entry.key for entry in module.inputs if entry.per_frame}
    size = shapes["image"].shape[-2:]
    batch: dict[str, Any] = {}
    for key, each in shapes.items():
        if not isinstance(each, Tensor):
            batch[key] = each
            continue
        shape = [1, *each.shape[1:]] if key in of_frames else [*each.shape]
        if key in ("ground_truth", "roi") or (shape[-2:] == [*size] and not resizes):
            shape[-2:] = FRAME
        batch[key] = torch.zeros(shape, dtype=each.dtype, device=module.device)
    batch["is_scored"] = torch.ones_like(batch["is_scored"])
    return cast(EvaluationBatch, batch)
