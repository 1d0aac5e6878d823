"""The directory of a run: its name, who works in it, what it was made with, and what it can be continued from."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

from lightning.pytorch.utilities import rank_zero_only
from pydantic import StringConstraints
from typing_extensions import TypedDict

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, claimed, refuse_links, remove_partials
from bgsub_lightning.core.records import read_json
from bgsub_lightning.core.text import safe_name
from bgsub_lightning.systems.weights import damage
from bgsub_lightning.training.callbacks import Finished, checkpoints_of, newest_checkpoint


class RunRecord(TypedDict, total=False):
    """``run.json``: what a run was made with.

    Attributes:
        wandb_id: Its id at W&B.
        starts: Of each start the command, the machine, the versions.
    """

    wandb_id: Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]
    starts: list[dict[str, Any]]


def run_folder(given: Path | None, name: str, scene: str | Sequence[str] | None) -> Path:
    """Return the directory of a run.

    An agent's runs share their configuration's name, and each has its own id.

    Args:
        given: What the user names; ``None``: the default.
        name: Name of the run.
        scene: Its scenes; ``None``: all.

    Raises:
        UserError: If an id of the agent is no id.
    """
    sweep, run = os.environ.get("WANDB_SWEEP_ID"), os.environ.get("WANDB_RUN_ID")
    if given is None and sweep and run:
        for variable, value in (("WANDB_SWEEP_ID", sweep), ("WANDB_RUN_ID", run)):
            if not re.fullmatch(r"[\w-]+", value):
                raise UserError(f"{variable}: must be letters, digits, - and _; got {value!r}. Unset it.")
        return Path("runs") / sweep / run
    return Path(given or Path("runs") / name / scene_folder(scene))


def scene_folder(scene: str | Sequence[str] | None) -> str:
    """Return the part of a run's default directory that names its scenes; empty if it has all.

    Example:
        >>> scene_folder("baseline/highway"), scene_folder(["baseline/*", "shadow"]), scene_folder(None)
        ('baseline_highway', 'baseline_shadow', '')
    """
    return safe_name(scene if isinstance(scene, str) else "_".join(scene or ()))


class RunDirectory:
    """The directory of a run.

    Args:
        path: The directory.

    Attributes:
        has_begun: Whether this start has come to its first batch.
        wandb_id: The id of its run at W&B, if there is one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.has_begun = False
        self.wandb_id = ""

    def lock(self, held: ExitStack) -> None:
        """Make and lock the directory; what a start that comes to nothing has made is removed.

        Args:
            held: Unlocks it at its end.

        Raises:
            UserError: If another process works in it, or it cannot be written to.
        """
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]  # it first
        try:
            held.enter_context(claimed(self.path))
        except UserError as error:
            raise UserError(f"--run_dir: {error}") from error
        held.push(lambda error, *_: self._remove(made) if error and not self.has_begun else None)
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise UserError(f"--run_dir: {self.path}: cannot be written to. Name another folder.")
        for entry in self.path.iterdir():
            if entry.is_dir():
                refuse_links(entry, self.path)
        remove_partials(self.path)

    @staticmethod
    def _remove(made: Sequence[Path]) -> None:
        """Remove folders, unless W&B is at work in there."""
        if made and not (made[0] / "wandb").exists():
            shutil.rmtree(made[0], ignore_errors=True)
        with suppress(OSError):  # another run is in it
            for folder in made[1:]:
                folder.rmdir()

    def record(self) -> RunRecord:
        """Return what ``run.json`` says; empty if there is none.

        Raises:
            UserError: If it is damaged.
        """
        try:
            fix = "Delete it: the run then continues under a new id at W&B."
            return read_json(self.path / "run.json", RunRecord, fix)
        except FileNotFoundError:
            return {}

    def id_at_wandb(self) -> str:
        """Choose and return :attr:`wandb_id`, the same each time the run is continued; an agent names its runs' ids."""
        if getattr(rank_zero_only, "rank", 0):
            return ""  # of a logger that writes nothing
        self.wandb_id = self.record().get("wandb_id") or os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:8]
        return self.wandb_id

    def begin(self, start: dict[str, Any], is_fit: bool) -> None:
        """Add to ``run.json`` what a start was made with."""
        if is_fit:
            (self.path / "finished.json").unlink(missing_ok=True)
        record: RunRecord = self.record()
        ours: RunRecord = {"wandb_id": self.wandb_id} if self.wandb_id else {}
        content = {**ours, **record, "starts": [*record.get("starts", []), start]}
        with atomic_write(self.path / "run.json") as file:
            file.write(json.dumps(content, indent=1) + "\n")

    def checkpoint(
        self, given: str, is_fit: bool, shipped: Callable[[], Path | None], has_weights: bool = False
    ) -> Path | None:
        """Find what to begin from; a damaged one gives way to the one before only where a run is continued.

        Args:
            given: A file, or ``last`` or ``best`` of the run.
            is_fit: Whether a fit begins, which needs none at its first start.
            shipped: Returns weights that are used where the run has no checkpoint, and was never begun.
            has_weights: Whether the configuration names weights that are used there.

        Raises:
            UserError: If there is none, or it is damaged.
        """
        path = Path(given)
        if given in {"last", "best"}:
            path = self.path / "checkpoints" / f"{given}.ckpt"
            newest = newest_checkpoint(self.path) if is_fit and given == "last" else None
            if newest is not None:
                return newest
            if not path.is_file() and is_fit:
                console.print(f"There is no {path} yet: this is the first start.")
                return None
            is_begun = (self.path / "config.yaml").is_file()  # by a fit, which has ended before its first checkpoint
            if not path.is_file() and not is_begun and has_weights:
                console.print(f"No checkpoint in {self.path}: the weights that the configuration names are used.")
                return None
            if not path.is_file() and not is_begun and (weights := shipped()):
                console.print(f"No checkpoint in {self.path}: the weights that ship with the package are used.")
                return weights
            if not path.is_file():
                fix = f"{_how_to_get(path)}, or name a checkpoint by --ckpt_path FILE."
                raise UserError(f"{path}: there is no such checkpoint. {fix}")
        if not path.is_file():
            raise UserError(f"--ckpt_path: {path}: no such file. Name a file, or `last` or `best` of the run.")
        if what := damage(path):
            raise UserError(f"{path}: is no checkpoint, or a damaged one ({what}). Name another by --ckpt_path FILE.")
        return path

    def require_free_or_resumed(self, given: str | None, asks_more: Callable[[Finished], bool]) -> None:
        """Refuse to overwrite a run, and end the command where it is finished.

        Args:
            given: ``--ckpt_path``.
            asks_more: Whether the configuration asks for a longer run than one that has ended.

        Raises:
            UserError: If a run would be overwritten.
            SystemExit: If the run is finished.
        """
        finished, folder = self.path / "finished.json", self.path / "checkpoints"
        if not finished.is_file() and not checkpoints_of(self.path):
            return
        if given in {"last", "best"} or (given and Path(given).resolve().parent == folder.resolve()):
            if not finished.is_file() or asks_more(Finished.load(finished)):
                return
            console.print(f"{self.path}: this run is finished; there is nothing to do.")
            raise SystemExit(0)
        what = "a finished run" if finished.is_file() else "a run that was begun; continue it with --ckpt_path last"
        raise UserError(
            f"{self.path}: holds {what}. For another run name another directory by --run_dir, or delete this one."
        )


def _how_to_get(path: Path) -> str:
    last = path.with_name("last.ckpt")
    if last.is_file():
        return f"No validation has been made in the final stage yet: train on, or take {last} by --ckpt_path last"
    return "Train first (`fit` with the same --config and --run_dir)"
