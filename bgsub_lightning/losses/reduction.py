"""Means over what all processes see together.

DDP averages the gradients of its processes. If each process divided its loss by its own count, a pixel would weigh
more where a process has fewer pixels. Divided by the count of all processes, and multiplied by their number, the
average is the gradient of the whole batch, whatever the share of each.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """Return the number of processes that train together; 1 where there is no process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def global_count(count: Tensor) -> Tensor:
    """Sum a count over all processes; in one process it stays as it is.

    Args:
        count: Any shape, of an integer type; the same shape in all processes.
    """
    if processes() == 1:
        return count
    summed = count.clone()
    dist.all_reduce(summed)
    return summed


def global_mean(total: Tensor, count: Tensor | int) -> Tensor:
    """Divide a process's sum by the count of all processes, so that the mean over the processes is the loss.

    Args:
        total: The sum over what this process sees, a scalar.
        count: Over how much: a number, or a scalar of an integer type.

    Returns:
        A scalar; 0, with gradients of 0, where all processes together count nothing.

    Example:
        >>> global_mean(torch.tensor(6.0), 4).item()
        1.5
    """
    counted = global_count(torch.as_tensor(count, device=total.device))
    return total / counted.clamp(min=1) * processes()


def global_sum(part: Tensor) -> Tensor:
    """Sum a differentiable term over all processes.

    The value is that of all; the gradient is that of this process's part, times the number of processes, so that the
    mean over the processes is the gradient of the whole.

    Args:
        part: What this process sees, any shape.
    """
    if processes() == 1:
        return part
    whole = part.detach().clone()
    dist.all_reduce(whole)
    return whole + (part - part.detach()) * processes()
