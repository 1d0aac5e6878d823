"""``torch.compile`` of networks, in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

import torch
from torch import nn

from bgsub_lightning.core.errors import UserError


def compile_in_place(
    networks: Iterable[nn.Module],
    device: torch.device,
    option: str,
    backend: str = "inductor",
    mode: str | None = None,
    dynamic: bool | None = None,
) -> None:
    """Compile networks at their next call; their weights keep the names that they have.

    Args:
        networks: What is compiled, each by itself.
        device: Where they are.
        option: The user's option that asks for it, for messages.
        backend: What compiles.
        mode: What it looks for; see :func:`torch.compile`.
        dynamic: Whether one compilation serves all sizes; ``None``: once a second size is seen.

    Raises:
        UserError: If the backend lacks a compiler.
    """
    compilers = [os.environ.get("CXX", "g++"), "clang++"]
    if backend == "inductor" and device.type == "cpu" and not any(map(shutil.which, compilers)):
        raise UserError(
            f"{option}: on a CPU inductor needs a C++ compiler, and there is no {compilers[0]}. Install one, name it "
            f"by the environment variable CXX, or leave the option out."
        )
    for network in networks:
        network.compile(backend=backend, mode=mode, dynamic=dynamic)
