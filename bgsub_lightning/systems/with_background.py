"""Systems whose background comes from a source, and checkpoints that know which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from bgsub_lightning.backgrounds import BackgroundSource
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.system import BgsSystem
from bgsub_lightning.systems.trainer_types import ScenesDataModule
from bgsub_lightning.systems.weights import load_state_dict, read_checkpoint


class WithBackground(BgsSystem):
    """A system whose :attr:`background` is any source of backgrounds."""

    background: BackgroundSource

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {f"background.{path}": make for path, make in self.background.export_targets.items()}

    @property
    def compile_targets(self) -> list[nn.Module]:  # noqa: D102
        return [*self.background.children()]

    def note(self, data: ScenesDataModule, all_unseen: bool) -> str:  # noqa: D102
        if all_unseen or not self.background.learns_unlabelled:
            return ""
        return "The background was trained on all frames of the scene, the tested ones as well, without their labels."

    def load_background(self, path: Path) -> None:
        """Take the background's weights from a checkpoint of a system that was trained with it, and their record.

        Raises:
            UserError: If the checkpoint holds another background, or does not record what it was trained on.
        """
        weights, checkpoint = load_state_dict(path), read_checkpoint(path.expanduser())
        own, found = self.background.state_dict(), self.background.weights_of(weights)
        here = self.background.settings()
        fits = all(name in found and found[name].shape == value.shape for name, value in own.items())
        if not fits or checkpoint.get("background", here) != here or "trained_on" not in checkpoint:
            raise UserError(
                f"{path}: holds no background of this configuration ({here}) with a record of what it was trained on. "
                f"Name a checkpoint that `fit` has written of a system with this background, and set "
                f"model.init_args.background as in that run."
            )
        self.background.load_state_dict({name: found[name] for name in own})
        self.trained_on = checkpoint["trained_on"]
        console.print(f"The background is that of {path}.", soft_wrap=True)


class RecordedBackground(WithBackground):
    """A system whose checkpoints say which source its background is, and load into the same alone.

    Weights depend on settings of a source that change no shape.
    """

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add which backgrounds the system has learnt with."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["background"] = self.background.settings()

    def require_compatible(self, checkpoint: dict[str, Any]) -> None:
        """Check that they are this configuration's.

        Raises:
            UserError: If they are not.
        """
        super().require_compatible(checkpoint)
        there, here = checkpoint.get("background"), self.background.settings()
        if there != here:
            raise UserError(
                f"model.init_args.background: the checkpoint was trained with {there}, and this configuration has "
                f"{here}. Use the configuration of its run directory."
            )
