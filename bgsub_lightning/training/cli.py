"""fit, validate, test, predict."""

from __future__ import annotations

import errno
import logging
import os
import platform
import pydoc
import shlex
import signal
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from pydantic import ValidationError

os.environ.setdefault("WANDB_SILENT", "true")  # before it is imported: its hints are not about the user's run

from bgsub_lightning import backgrounds, data, datasets, splits, systems  # noqa: F401 (short names of classes in YAML)
from bgsub_lightning.core.compat.lightning import CommandLine, find_unused_parameters, without_anonymous
from bgsub_lightning.core.compat.warnings import quiet
from bgsub_lightning.core.config import expand
from bgsub_lightning.core.console import console, is_first_process
from bgsub_lightning.core.errors import UserError, cause_of
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.run_info import device_name, source_tree, versions_of_run
from bgsub_lightning.core.text import one_line, refuse_passwords
from bgsub_lightning.data import ScenesDataModule
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.weights import read_checkpoint
from bgsub_lightning.training import callbacks
from bgsub_lightning.training.failures import end_all
from bgsub_lightning.training.options import check_devices, check_options, trainer_error
from bgsub_lightning.training.parser import TrainingParser, logger_maker
from bgsub_lightning.training.run_directory import RunDirectory, run_folder
from bgsub_lightning.training.save_config import SaveConfig

for _name in systems.__all__:
    getattr(systems, _name)  # which imports it, for its short name


def run_trainer(command: str, options: Sequence[str], cli: type[TrainingCLI] | None = None) -> TrainingCLI:
    """Run one of Lightning's commands.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: Its options.
        cli: The class that runs it; ``None``: :class:`TrainingCLI`.

    Returns:
        What was run, with its trainer, model and datamodule.

    Raises:
        UserError: If something in the configuration or the data is wrong.
        SystemExit: With 128 + the number of the signal that has stopped it.
    """
    keep_freed_memory()
    TrainingParser.is_help_whole = "--help_all" in options
    arguments, name = expand(["--help" if option == "--help_all" else option for option in options])
    for logger in ("lightning.pytorch", "lightning.fabric"):  # hints and the seed; warnings stay
        logging.getLogger(logger).setLevel(logging.WARNING)
    with quiet():
        try:
            return (cli or TrainingCLI)(
                BgsModule,
                ScenesDataModule,
                command=(command, *options),
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                seed_everything_default=True,  # which marks that none was given
                save_config_callback=SaveConfig,
                save_config_kwargs={"save_to_log_dir": False},
                parser_class=TrainingParser,
                parser_kwargs={"prog": PROGRAM},
                args=[command, *(["--name", name] if name else []), *arguments],
            )
        except MisconfigurationException as error:  # of whatever part of Lightning
            raise trainer_error(error) from error
        except SIGTERMException:  # with which Lightning ends an evaluation, with status 0
            raise SystemExit(128 + signal.SIGTERM) from None


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class TrainingCLI(CommandLine):
    """Lightning's command line, with one run directory per run.

    Args:
        command: The command and its options as they were given.
        arguments: Lightning's.
        settings: Lightning's.
    """

    def __init__(self, *arguments: Any, command: Sequence[str], **settings: Any) -> None:
        self.command = command
        with ExitStack() as self._held:
            try:
                super().__init__(*arguments, **settings)
            except BaseException as error:
                if hasattr(self, "trainer") and isinstance(error, Exception):
                    self._end(error)
                raise

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:  # noqa: D102
        parser.add_argument(
            "--run_dir",
            type=Path | None,
            default=None,
            help="Directory of the run: configuration, checkpoints, logs, pictures, scores. Default: runs/NAME, or "
            "runs/NAME/SCENE where data.init_args.scene names scenes; of a run that a W&B agent starts runs/SWEEP/RUN, "
            "by their ids.",
        )
        parser.add_argument(
            "--name", type=str, default="unnamed", help="Name of the run. Default: the names of --config."
        )
        parser.add_argument(
            "--wandb",
            type=Literal["offline", "online", "disabled"],
            default="offline",
            help="Weights & Biases: offline needs no account and no network; a CSV log is always written as well.",
        )
        parser.add_argument(
            "--checkpoint",
            type=Literal["last", "best"],
            default="last",
            help="Checkpoint of the run that validate, test and predict take where --ckpt_path names none: the last, "
            "or the one that validation found best.",
        )
        parser.add_argument(
            "--initial_weights",
            type=Literal["shipped"] | Path | None,
            default=None,
            help="Checkpoint of the same network whose weights a fit begins with, as after a pretraining on other "
            "scenes, in place of those that the model's arguments name; shipped: those of the package. What they were "
            "trained on counts as seen. Other commands ignore it.",
        )
        for callback, key in (
            (callbacks.BestCheckpoint, "best"),
            (callbacks.EarlyStopping, "early_stopping"),
            (callbacks.LastCheckpoint, "last"),  # after those two, whose scores it holds
            (callbacks.StageCheckpoints, "stages"),
            (callbacks.Pictures, "pictures"),
            (callbacks.SamplePictures, "samples"),
            (callbacks.ScoreWriter, "scores"),
            (callbacks.Gallery, "gallery"),
            (callbacks.MaskWriter, "masks"),
            (callbacks.BackgroundWriter, "backgrounds"),
            (callbacks.Compile, "compile"),
            (callbacks.FinishedMarker, "finished"),
        ):
            parser.add_lightning_class_args(callback, key)
        for name in ("inputs", "plan"):
            parser.link_arguments(f"model.{name}", f"data.init_args.{name}", apply_on="instantiate")
        for name in ("monitor", "mode"):
            parser.link_arguments(f"best.{name}", f"early_stopping.{name}")
        parser.set_defaults({"trainer.use_distributed_sampler": False, "trainer.sync_batchnorm": True})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse them.

        Raises:
            UserError: If an address has a password, which the run would keep.
        """
        self.config = parser.parse_args(args)  # not Lightning's method, which warns of arguments that are passed to it
        for key, value in vars(self._given.as_flat()).items():
            refuse_passwords(str(value), key, "config.yaml, run.json and the checkpoints")
        refuse_passwords(shlex.join(self.command), "command", "run.json")

    def before_seeding(self) -> None:
        """Check the options; of the two options of seeds, the one that is given is taken for both.

        Raises:
            UserError: If a value makes no sense.
        """
        check_options(self._given)
        seed, chosen = self._given.seed_everything, self._given.data
        if seed is True:
            self._given.seed_everything = seed = chosen.get("init_args.seed") or 0
        if "init_args.seed" in chosen and chosen.init_args.seed is None:
            chosen.init_args.seed = int(seed)

    @property
    def _given(self) -> Any:
        return self.config[self.config.subcommand]

    @property
    def run_dir(self) -> Path:
        """The directory of the run."""
        return run_folder(self._given.run_dir, self._given.name, self._given.data.get("init_args.scene"))

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint, before anything takes time.

        Raises:
            UserError: If it is not there, or a run would be overwritten.
        """
        self.directory = RunDirectory(self.run_dir)
        if is_first_process():  # of those of a run
            self.directory.lock(self._held)
        is_fit, given = self.subcommand == "fit", self._given.ckpt_path
        if is_fit:
            self.directory.require_free_or_resumed(given, self._goes_beyond)
        elif given is None and getattr(self._system, "trainable", True):
            given = self._given.checkpoint
        shipped = self._shipped if self._given.ckpt_path is None else lambda: None
        path = given and self.directory.checkpoint(given, is_fit, shipped, self._has_weights)
        self._given.ckpt_path = path and str(path)
        self.directory.record()  # a damaged one is refused now
        if self.subcommand == "test":
            self._given.verbose = False  # the table is ours
        if self.subcommand == "predict":
            self._given.return_predictions = False  # each is written at once; together they do not fit into memory

    def instantiate_classes(self) -> None:
        """Make the module and the datamodule.

        Raises:
            UserError: If one of them does not take its arguments.
        """
        self.parser.add_instantiator(logger_maker(self.run_dir), Logger)
        try:
            super().instantiate_classes()
            self.model.has_checkpoint = self._given.ckpt_path is not None
            if self.subcommand == "fit":
                self.model.initial_weights = self._initial_weights
                if not self.model.has_checkpoint and self.model.initial_weights is None:
                    self.model.require_initial_weights()
            self.model.validate(self.datamodule)
        except ValueError as error:  # jsonargparse wraps what a class has raised
            cause = cause_of(error, UserError, ValidationError)
            if cause is None:
                raise
            if isinstance(cause, ValidationError):  # of albumentations
                raise UserError(f"data.init_args.augment: {one_line(str(cause))}") from error
            raise cause from None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with the run directory, and the loggers of ours before those that are named."""
        made = self.config_init[self.subcommand].trainer
        named, given = made.logger, made.plugins
        if named is not False:  # which is: no log at all
            kwargs["logger"] = False if self._given.trainer.fast_dev_run else self._loggers(named)
        self.save_config_kwargs = {**self.save_config_kwargs, "on_start": self._begin}
        plugins = given if isinstance(given, list) else [] if given is None else [given]
        if not any(isinstance(each, CheckpointIO) for each in plugins):
            plugins = [*plugins, callbacks.AtomicCheckpointIO()]
        if given is None:
            synchronised = [callbacks.BatchNormSync()] if self._given.trainer.sync_batchnorm else []
            plugins = [*plugins, *self._environment(), *synchronised]
        kwargs["plugins"] = plugins
        # the bar is the first, so that it has ended when others print
        kwargs["callbacks"] = [
            *([callbacks.ProgressBar()] if made.enable_progress_bar is not False else []),
            *(made.callbacks if isinstance(made.callbacks, list) else [made.callbacks] if made.callbacks else []),
            *([callbacks.ConfiguredOptimisers()] if self.subcommand == "fit" else []),
        ]
        try:
            trainer = super().instantiate_trainer(default_root_dir=str(self.run_dir), **kwargs)
        except (ValueError, TypeError, ImportError) as error:
            raise trainer_error(error) from error
        check_devices(trainer)
        if self.model.plan and self._given.trainer.strategy == "auto" and isinstance(trainer.strategy, DDPStrategy):
            find_unused_parameters(trainer.strategy)  # what `auto` is for a system of stages
        return trainer

    def _end(self, error: Exception) -> NoReturn:
        """End all processes of the run for an error of this one."""
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            file = error.filename or self.run_dir
            error = UserError(f"{file}: cannot be written ({error.strerror}). Make room, or name another.")
        elif isinstance(error, ValueError) and "`val_check_interval`" in str(error):
            error = trainer_error(error)  # Lightning looks at this option only when it knows the number of batches
        end_all(self.trainer, error)

    def _environment(self) -> list[LightningEnvironment]:
        """Return who starts the processes, where Lightning's guess would be wrong.

        In a job of SLURM, but outside of ``srun``, it would wait for processes that nobody starts.

        Raises:
            UserError: If other nodes would have to be reached from there.
        """
        if "SLURM_JOB_ID" not in os.environ or "SLURM_STEP_ID" in os.environ:
            return []
        if self._given.trainer.num_nodes > 1:
            raise UserError(
                f"trainer.num_nodes: {self._given.trainer.num_nodes} nodes of this job of SLURM are reached by srun "
                f"alone: put `srun` before the command, or use `submit`."
            )
        return [LightningEnvironment()]

    def before_fit(self) -> None:
        """Say what is about to be trained, and note in the logs what validation looks at.

        Raises:
            UserError: If the checkpoint is of another network: before the loggers begin, who write to the run.
        """
        split = self.datamodule.split
        if self._given.ckpt_path:
            self.model.on_load_checkpoint(read_checkpoint(Path(self._given.ckpt_path)))
        elif self.model.initial_weights is not None:
            self.model.load_initial_weights(self.model.initial_weights, split)
        kind = self.model.validation_kind(split)
        for logger in self.trainer.loggers:
            logger.log_hyperparams({"validation": kind})
            if isinstance(logger, WandbLogger):  # its summary keeps the best validation, and of all else the last
                best = {"step_metric": "trainer/global_step", "step_sync": True, "summary": "max"}
                logger.experiment.define_metric("val/f_measure", **best)
        if self.trainer.is_global_zero:
            parameters = sum(parameter.numel() for parameter in self.model.parameters())
            plan = self.model.plan
            train = plan.spans[-1].inputs[0].drawn_from(split) if plan else split.train
            given = None if self._given.ckpt_path else self._given.initial_weights
            begins = f"It starts from the weights of {given}. " if given else ""
            validation = f"validation looks at {some(len(split.validation), 'frame')} ({kind})"
            console.print(
                f"{type(self.model).__name__}, {parameters:,} parameters, on {self.trainer.strategy.root_device}: "
                f"{some(len(train), 'frame')} of {some(len(train.scenes), 'scene')} to train on, {self._samples}; "
                f"{validation if self.trainer.limit_val_batches else 'no validation'}. {begins}"
                f"Run directory: {self.run_dir}",
                soft_wrap=True,
            )

    @property
    def _initial_weights(self) -> Path | None:
        given = self._given.initial_weights
        if given != "shipped":
            return given and Path(given).expanduser()
        if (path := self._shipped()) is None:
            raise UserError(
                f"initial_weights: {self._system.__name__} has no weights in the package; got 'shipped'. "
                f"Name a checkpoint of `fit`."
            )
        return path

    @property
    def _samples(self) -> str:
        """Samples of a step, over all processes; a batch size of the configuration is one process's."""
        times = self.trainer.world_size * self.trainer.accumulate_grad_batches
        if self.model.plan is None:
            return f"{self.datamodule.batch_size * times} at each step"
        stages = [
            f"{span.name} {span.stage.steps:,} steps of {span.stage.batch_size * times:,}" for span in self.model.plan
        ]
        return f"in stages: {', then '.join(stages)}"

    @property
    def _system(self) -> Any:
        """The class of the system; it is not built for that."""
        return pydoc.locate(self._given.model.class_path)

    @property
    def _has_weights(self) -> bool:
        """Whether the configuration names weights that a test can work with."""
        return getattr(self._system, "tests_weights", False) and bool(self._given.get("model.init_args.weights"))

    def _shipped(self) -> Path | None:
        """Return the weights of the system that ship with the package."""
        is_ours = isinstance(self._system, type) and issubclass(self._system, BgsModule)
        return self._system.shipped() if is_ours else None

    def _loggers(self, named: Logger | Iterable[Logger] | bool | None) -> list[Logger]:
        others: list[Logger] = []
        if isinstance(named, Logger):
            others = [named]
        elif isinstance(named, Iterable):
            others = list(named)
        loggers: list[Logger] = [callbacks.RunLog(self.run_dir, name="csv")]
        has_wandb = any(isinstance(each, WandbLogger) for each in others)
        if self._given.wandb != "disabled" and self.subcommand == "fit" and not has_wandb:
            wandb = WandbLogger(
                name=self.run_dir.name,
                project="bgsub_lightning",
                save_dir=self.run_dir,
                id=self.directory.id_at_wandb(),
                resume="allow",
                offline=self._given.wandb == "offline",
            )
            loggers.append(without_anonymous(wandb))
            self._held.push(self._finish_wandb)
        return loggers + others

    def _finish_wandb(self, error: type[BaseException] | None, *_: object) -> None:
        """End the run at W&B with this command, or the next fit of this process would write to it."""
        import wandb  # slow

        if wandb.run is not None and wandb.run.id == self.directory.wandb_id:
            wandb.finish(exit_code=int(error is not None))

    def _begin(self) -> None:
        """Add to ``run.json`` what this start of the run was made with, when it has come to its first batch."""
        self.directory.has_begun = True
        if not self.trainer.is_global_zero:
            return
        start = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["python", "-m", "bgsub_lightning", *self.command]),
            "folder": str(Path.cwd()),
            "from": self._given.ckpt_path,
            "seed": self._given.seed_everything,
            "host": platform.node(),
            "device": device_name(self.trainer.strategy.root_device),
            "processes": self.trainer.world_size,
            "versions": versions_of_run(),
            "source": source_tree(),
        }
        self.directory.begin(start, is_fit=self.subcommand == "fit")

    def _goes_beyond(self, done: callbacks.Finished) -> bool:
        """Whether the configuration asks for a longer run than one that has ended."""
        if done.patience is not None:
            asked = self._given.early_stopping.patience
            return asked is None or bool(asked > done.patience)
        trainer = self._given.trainer
        if trainer.max_steps > 0:
            return bool(trainer.max_steps > done.steps)
        return bool(trainer.max_epochs is not None and trainer.max_epochs > done.epochs)
