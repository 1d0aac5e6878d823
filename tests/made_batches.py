"""Batches of random frames, for tests of what systems make of them."""

from __future__ import annotations

from typing import Any

import torch

LEVELS = torch.tensor([0, 50, 85, 170, 255], dtype=torch.uint8)
"""The grey levels of CDnet's masks."""


def random_batch(size: int, height: int, width: int, **inputs: tuple[int, ...]) -> Any:
    """Draw a batch, always the same: pictures in [0, 1] with these dimensions before the last two, and masks.

    Args:
        size: Samples.
        height: Of each, in pixels.
        width: Of each, in pixels.
        inputs: Name → dimensions, drawn in this order; a mask's name ends so, and it has none.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(name: str, dimensions: tuple[int, ...]) -> torch.Tensor:
        if name.endswith("mask"):
            return LEVELS[torch.randint(len(LEVELS), (size, height, width), generator=generator)]
        return torch.rand(size, *dimensions, height, width, generator=generator)

    return {name: draw(name, dimensions) for name, dimensions in inputs.items()} | {"number": torch.arange(size)}
