"""How large a network may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bgsub_lightning.core.errors import UserError

P = ParamSpec("P")
N = TypeVar("N", bound=nn.Module)

_MOST = 1_000_000_000
"""Parameters: 4 GB, and 12 GB more in training; the largest network of the papers has some 40 million."""


def sized(network: Callable[P, N], *arguments: P.args, **settings: P.kwargs) -> N:
    """Build a network, unless it would be too large: that is found out before any memory is taken.

    Args:
        network: Its class.
        arguments: Those of the class.
        settings: Those of the class.

    Raises:
        UserError: If it would have more than 10⁹ parameters.
    """
    try:
        with _Undrawn(), torch.device("meta"):
            count = sum(parameter.numel() for parameter in network(*arguments, **settings).parameters())
        has = f"{count:,}"
    except (RuntimeError, TypeError, OverflowError) as error:
        if "overflow" not in str(error).lower():
            raise
        count, has = _MOST + 1, "more than can be counted"
    if count > _MOST:
        name = getattr(network, "__name__", "network")
        raise UserError(
            f"model.init_args: {name} must have at most {_MOST:,} parameters; got {has}. Lower its widths or its depth."
        )
    return network(*arguments, **settings)


class _Undrawn(TorchFunctionMode):
    """Leaves out the draws from N(μ, σ²), for which PyTorch would import its compiler where no memory is taken."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), settings: Any = None) -> Any:
        settings = settings or {}
        if function in (Tensor.normal_, nn.init.normal_):
            return arguments[0] if arguments else settings["tensor"]
        return function(*arguments, **settings)
