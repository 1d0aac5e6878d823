"""Lightning; written for 2.6."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, cast

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch import Trainer, callbacks
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import WandbLogger, csv_logs
from lightning.pytorch.strategies import DDPStrategy


class CommandLine(LightningCLI):
    """Lightning's command line, which can parse without a run, and leaves the configuration as it was given.

    Lightning 2.6 lets the hyperparameters of a checkpoint override the command line, and has no option against it
    (https://github.com/Lightning-AI/pytorch-lightning/pull/21455).
    """

    parses_only: ClassVar[bool] = False
    """Whether the command ends when its options are parsed, with nothing seeded or made."""

    def before_seeding(self) -> None:
        """Run some code between the parser and the seeds."""

    def _parse_ckpt_path(self) -> None:
        pass

    def _set_seed(self) -> None:
        if not self.parses_only:
            self.before_seeding()
            super()._set_seed()

    def _run_subcommand(self, subcommand: str) -> None:
        if not self.parses_only:
            super()._run_subcommand(subcommand)


class EpochProgressBar(callbacks.RichProgressBar):
    """Lightning's progress bar, whose text before the bar of a training epoch can be chosen."""

    @abstractmethod
    def describe_epoch(self, epoch: int) -> str:
        """Return that text; the first epoch is 0."""

    def _get_train_description(self, current_epoch: int) -> str:
        return self.describe_epoch(current_epoch)


class CsvWriter(csv_logs.ExperimentWriter):
    """Lightning's writer of ``metrics.csv``, whose rewrite for new columns can be replaced: its own may leave half."""

    @abstractmethod
    def rewrite(self, columns: list[str]) -> None:
        """Write the file again with other columns."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self.rewrite(fieldnames)


class CsvLog(csv_logs.CSVLogger):
    """Lightning's logger, whose writer can be replaced."""

    def set_writer(self, writer: CsvWriter) -> CsvWriter:
        """Set and return the writer."""
        self._experiment = writer
        return writer

    @property
    def writer(self) -> CsvWriter | None:
        """The writer that was set."""
        return cast("CsvWriter | None", self._experiment)


def is_within_step(trainer: Trainer) -> bool:
    """Whether an optimiser step still lacks batches, whose gradients no checkpoint holds."""
    return bool(trainer.fit_loop.epoch_loop._should_accumulate())


def validates_next(trainer: Trainer) -> bool:
    """Whether a validation follows the training batch that has just ended."""
    return bool(trainer.fit_loop.epoch_loop._should_check_val_fx(cast("Any", trainer.fit_loop._data_fetcher)))


def clear_logged(trainer: Trainer) -> None:
    """Drop the values logged by earlier training steps, which Lightning logs again at each step of the epoch."""
    trainer.fit_loop.epoch_loop._results.clear()


def loss_scale(trainer: Trainer) -> float | None:
    """Return what losses are multiplied by before their backward pass, in precision 16-mixed; else ``None``."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return float(scaler.get_scale()) if scaler is not None else None


def finds_unused_parameters(strategy: DDPStrategy) -> bool:
    """Whether DDP takes parameters without a gradient."""
    return bool(strategy._ddp_kwargs.get("find_unused_parameters"))


def find_unused_parameters(strategy: DDPStrategy) -> None:
    """Let DDP take parameters without a gradient; to be called before the fit."""
    strategy._ddp_kwargs["find_unused_parameters"] = True


def cluster_environment(trainer: Trainer) -> ClusterEnvironment:
    """Return who starts the processes of the run; only strategies of several processes have it as an attribute."""
    return trainer._accelerator_connector.cluster_environment


def without_anonymous(logger: WandbLogger) -> WandbLogger:
    """Return a logger that does not pass ``anonymous`` to W&B, which warns of it whatever its value (wandb 0.24)."""
    logger._wandb_init.pop("anonymous", None)
    return logger
