"""``torch.compile``, on request."""

from __future__ import annotations

from typing import Literal, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.compiling import compile_in_place


class Compile(Callback):
    """Compiles the networks in place, so that checkpoints have the names of weights that they always have.

    Args:
        backend: What compiles, such as ``inductor``; ``None``: the networks run as they are.
        mode: What it looks for; see :func:`torch.compile`.
        dynamic: Whether one compilation serves all sizes; ``None``: once a second size is seen.

    Raises:
        UserError: If there is no such backend.
    """

    def __init__(
        self,
        backend: str | None = None,
        mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] | None = None,
        dynamic: bool | None = None,
    ) -> None:
        if backend is not None and backend not in (known := torch.compiler.list_backends(())):
            raise UserError(f"compile.backend: there is no {backend}. Name one of {', '.join(known)}.")
        if mode is not None and backend != "inductor":
            raise UserError(f"compile.mode: {mode} is inductor's. Set --compile.backend=inductor with it.")
        self.backend = backend
        self.mode = mode
        self.dynamic = dynamic

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compile; what the networks compute is traced at their first call.

        Raises:
            UserError: If the backend lacks a compiler.
        """
        if self.backend is None:
            return
        networks = cast("BgsModule", pl_module).compile_targets
        device = trainer.strategy.root_device
        compile_in_place(networks, device, "--compile.backend", self.backend, self.mode, self.dynamic)
