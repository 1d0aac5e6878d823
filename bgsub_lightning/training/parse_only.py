"""The command line of Lightning without a run: whoever starts many runs checks their options first."""

from __future__ import annotations

from bgsub_lightning.training.cli import TrainingCLI


class ParseOnly(TrainingCLI):
    """Parses the options of a command, and does nothing else."""

    parses_only = True

    def before_instantiate_classes(self) -> None:  # noqa: D102
        pass

    def instantiate_classes(self) -> None:  # noqa: D102
        pass
