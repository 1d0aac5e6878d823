"""The median of the frames before each frame of a stream."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.frames.running_median import RunningMedian


def as_bytes(image: Tensor) -> NDArray[np.uint8]:
    """Return an image, range [0, 1], any shape, in 8 bits: what a :class:`RunningMedian` takes."""
    return np.asarray((image * 255).round().byte().cpu().numpy())


def median_before(median: RunningMedian, frame: NDArray[np.uint8], image: Tensor) -> Tensor:
    """Return the median of the frames before one; of the first, the frame itself.

    Args:
        median: Which has seen those before.
        frame: The frame in 8 bits.
        image: The same; the answer has its shape, range [0, 1], type and device.
    """
    found = median.median
    return (torch.from_numpy(frame if found is None else found.copy()).to(image.device) / 255).to(image.dtype)
