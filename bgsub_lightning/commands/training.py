"""fit, validate, test, predict."""

from __future__ import annotations

import json
import logging
import os
import pydoc
import uuid
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

os.environ.setdefault("WANDB_SILENT", "true")  # before it is imported: its hints are not about the user's run

from bgsub_lightning import backgrounds, data, modules, sampling, scenes  # noqa: F401 (short names of classes in YAML)
from bgsub_lightning.callbacks import (
    AtomicCheckpointIO,
    BackgroundWriter,
    BatchNormSync,
    BestCheckpoint,
    Compile,
    FinishedMarker,
    LastCheckpoint,
    MaskWriter,
    Pictures,
    ProgressBar,
    ScoreWriter,
    StageCheckpoints,
)
from bgsub_lightning.commands.includes import expand
from bgsub_lightning.commands.members import scene_folder
from bgsub_lightning.commands.parser import TrainingParser
from bgsub_lightning.commands.processes import end_all
from bgsub_lightning.console import console
from bgsub_lightning.data import ScenesDataModule
from bgsub_lightning.errors import UserError
from bgsub_lightning.files import whole_file
from bgsub_lightning.memory import keep_freed_memory
from bgsub_lightning.modules import BgsModule


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
    """
    keep_freed_memory()
    arguments, name = expand(options)
    for logger in ("lightning.pytorch", "lightning.fabric"):  # hints and the seed; warnings stay
        logging.getLogger(logger).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=rf"\s*{message}")
        return (cli or TrainingCLI)(
            BgsModule,
            ScenesDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            parser_class=TrainingParser,
            parser_kwargs={"prog": "python -m bgsub_lightning"},
            args=[command, *(["--name", name] if name else []), *arguments],
        )


_EXPECTED_WARNINGS = (
    "By default only one JsonargparseDeprecationWarning",  # Lightning's own calls
    ".*was deprecated in v4",  # Lightning's own calls of jsonargparse
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 with torch 2.13
    "LightningCLI's args parameter is intended to run from within Python",  # it is: the dispatcher calls it
    "You're resuming from a checkpoint that ended before the epoch ended",  # our batches are drawn by their number
    ".*does not have many workers which may be a bottleneck",  # the number is the user's choice
    ".*compute.*method of metric (Scene|Threshold)Confusion was called before the.*update",  # a process without a frame
    "There is a wandb run already in progress",
    "Checkpoint directory .* exists and is not empty",  # a run that is continued
    "The dirpath has changed from",  # weights of another run are used
)


class SaveConfig(SaveConfigCallback):
    """Saves the whole configuration in the run directory: ``config.yaml`` of a fit, ``test.yaml`` of a test."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: D102
        command = TrainerFn(stage).value  # Lightning gives the member of the enumeration, whose name Python would print
        path = Path(trainer.default_root_dir) / ("config.yaml" if command == "fit" else f"{command}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        config = self.config.clone()
        config.ckpt_path = None  # where this start began from is no part of the experiment
        self.parser.save(config, str(path), skip_none=False, overwrite=True, multifile=False)


class TrainingCLI(LightningCLI):
    """Lightning's command line, with one run directory per run."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:  # noqa: D102
        parser.add_argument(
            "--run_dir",
            type=Path | None,
            default=None,
            help="Directory of the run: configuration, checkpoints, logs, pictures, scores. Default: runs/NAME, or "
            "runs/NAME/SCENE where data.init_args.scene names scenes.",
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
        for callback, key in (
            (BestCheckpoint, "best"),
            (LastCheckpoint, "last"),  # after the best, whose score it holds
            (StageCheckpoints, "stages"),
            (Pictures, "pictures"),
            (ScoreWriter, "scores"),
            (MaskWriter, "masks"),
            (BackgroundWriter, "backgrounds"),
            (Compile, "compile"),
            (FinishedMarker, "finished"),
        ):
            parser.add_lightning_class_args(callback, key)
        for name in ("inputs", "plan"):
            parser.link_arguments(f"model.{name}", f"data.init_args.{name}", apply_on="instantiate")
        parser.set_defaults({"trainer.use_distributed_sampler": False, "trainer.sync_batchnorm": True})

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it was given.

        Lightning 2.6 lets the hyperparameters of a checkpoint override the command line
        (https://github.com/Lightning-AI/pytorch-lightning/pull/21455).
        """

    @property
    def _given(self) -> Any:
        return self.config[self.subcommand]

    @property
    def run_dir(self) -> Path:
        """The directory of the run."""
        scene = self._given.data.get("init_args.scene")
        return Path(self._given.run_dir or Path("runs") / self._given.name / scene_folder(scene))

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint, before anything takes time.

        Raises:
            UserError: If it is not there, or a run would be overwritten.
        """
        if self.subcommand == "fit":
            self._require_free_or_resumed()
        given = self._given.ckpt_path
        if given is None and self.subcommand != "fit" and self._is_trained:
            given = "last"
        if given in {"last", "best"}:
            path = self.run_dir / "checkpoints" / f"{given}.ckpt"
            if not path.is_file() and self.subcommand == "fit":
                console.print(f"There is no {path} yet: this is the first start.")
                given = None
            elif not path.is_file():
                raise UserError(
                    f"{path}: there is no such checkpoint. Train first (`fit` with the same --config and --run_dir), "
                    f"or name a checkpoint by --ckpt_path FILE."
                )
            else:
                given = str(path)
        if given is not None and not Path(given).is_file():
            raise UserError(f"--ckpt_path: {given}: no such file. Name a file, or `last` or `best` of the run.")
        if given is not None and not _is_torch_file(Path(given)):
            raise UserError(f"{given}: is no checkpoint, or one that was cut off. Name another by --ckpt_path FILE.")
        self._given.ckpt_path = given
        if self.subcommand == "test":
            self._given.verbose = False  # the table is ours
        if self.subcommand == "predict":
            self._given.return_predictions = False  # they are written as they come, and do not fit into memory

    def instantiate_classes(self) -> None:
        """Make the module and the datamodule.

        Raises:
            UserError: If one of them does not take its arguments.
        """
        try:
            super().instantiate_classes()
            self.model.require(self.datamodule)
        except ValueError as error:  # jsonargparse wraps what a class has raised
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, UserError):
                cause = cause.__cause__ or cause.__context__
            if cause is None:
                raise
            raise cause from None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with the run directory and the loggers of ours where the configuration names none."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        if self._given.trainer.logger is None:
            kwargs["logger"] = False if self._given.trainer.fast_dev_run else self._loggers()
        if self._given.trainer.plugins is None:
            kwargs["plugins"] = [
                AtomicCheckpointIO(),
                *([BatchNormSync()] if self._given.trainer.sync_batchnorm else []),
            ]
        trainer = super().instantiate_trainer(default_root_dir=str(self.run_dir), **kwargs)
        if self.model.plan and self._given.trainer.strategy == "auto" and isinstance(trainer.strategy, DDPStrategy):
            trainer.strategy._ddp_kwargs["find_unused_parameters"] = True  # what `auto` is for a system of stages
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except Exception as error:
            end_all(self.trainer, error)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        if config["enable_progress_bar"] is not False:
            callbacks = [ProgressBar(), *callbacks]  # the first, so that it has ended when others print
        return super()._instantiate_trainer(config, callbacks)

    def before_fit(self) -> None:
        """Say what is about to be trained, and note in the logs what validation looks at."""
        split = self.datamodule.split
        for logger in self.trainer.loggers:
            logger.log_hyperparams({"validation": split.validation_kind})
        if self.trainer.is_global_zero:
            parameters = sum(parameter.numel() for parameter in self.model.parameters())
            console.print(
                f"{type(self.model).__name__}, {parameters:,} parameters, on {self.trainer.strategy.root_device}: "
                f"{len(split.train):,} frames of {len(split.train.scenes)} scenes to train on, "
                f"{self._samples}; validation looks at {len(split.validation)} frames "
                f"({split.validation_kind}). Run directory: {self.run_dir}",
                soft_wrap=True,
            )

    @property
    def _samples(self) -> str:
        """What a step sees, of all processes; a batch size of the configuration is one process's."""
        times = self.trainer.world_size * self.trainer.accumulate_grad_batches
        if self.model.plan is None:
            return f"{self.datamodule.batch_size * times} at each step"
        stages = [
            f"{span.name} {span.stage.steps:,} steps of {span.stage.batch_size * times:,}" for span in self.model.plan
        ]
        return f"in stages: {', then '.join(stages)}"

    @property
    def _is_trained(self) -> bool:
        """Whether the system is one that is fitted; it is not built to tell."""
        return bool(getattr(pydoc.locate(self._given.model.class_path), "trained", True))

    def _loggers(self) -> list[Logger]:
        loggers: list[Logger] = [CSVLogger(self.run_dir, name="csv")]
        if self._given.wandb != "disabled" and self.subcommand == "fit":
            loggers.append(
                WandbLogger(
                    name=self.run_dir.name,
                    project="bgsub_lightning",
                    save_dir=self.run_dir,
                    id=self._run_id(),
                    resume="allow",
                    offline=self._given.wandb == "offline",
                )
            )
        return loggers

    def _run_id(self) -> str:
        """Return the run's id at W&B, the same each time the run is continued."""
        if getattr(rank_zero_only, "rank", 0):
            return ""  # of a logger that writes nothing
        path = self.run_dir / "run.json"
        if not path.is_file():
            with whole_file(path) as partial:
                partial.write_text(json.dumps({"wandb_id": uuid.uuid4().hex[:8]}) + "\n")
        return str(json.loads(path.read_text())["wandb_id"])

    def _require_free_or_resumed(self) -> None:
        """Never train over a run that is there, and do nothing for one that is finished."""
        finished, last = self.run_dir / "finished.json", self.run_dir / "checkpoints" / "last.ckpt"
        if not finished.is_file() and not last.is_file():
            return
        given = self._given.ckpt_path
        if given in {"last", "best"} or (given and Path(given).resolve().parent == last.parent.resolve()):
            if not finished.is_file():
                return
            done = json.loads(finished.read_text())
            if self._goes_beyond(done["steps"], done["epochs"]):
                finished.unlink(missing_ok=True)  # another process may have been faster
                return
            console.print(f"{self.run_dir}: this run is finished; there is nothing to do.")
            raise SystemExit(0)
        what = "a finished run" if finished.is_file() else "a run that was begun; continue it with --ckpt_path last"
        raise UserError(
            f"{self.run_dir}: holds {what}. For another run name another directory by --run_dir, or delete this one."
        )

    def _goes_beyond(self, steps: int, epochs: int) -> bool:
        """Whether the configuration asks for a longer run than one that has ended."""
        trainer = self._given.trainer
        if trainer.max_steps > 0:
            return bool(trainer.max_steps > steps)
        return bool(trainer.max_epochs is not None and trainer.max_epochs > epochs)


def _is_torch_file(path: Path) -> bool:
    """Whether a file is one of torch.save's, and whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
