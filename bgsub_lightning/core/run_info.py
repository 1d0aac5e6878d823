"""The circumstances of a run: versions, the state of the source tree, the machine, the system's configuration."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy
import torch
import yaml
from pydantic import Field
from typing_extensions import TypedDict

from bgsub_lightning.core.records import fit_record, parse_yaml
from bgsub_lightning.core.version import versions


class SystemRecord(TypedDict):
    """How a system is built, as a checkpoint records it in YAML.

    Attributes:
        model: Class and arguments of the module.
        size: Width and height of its input in pixels; ``None``: the frames' own.
        flow: Class and arguments of what computes its flow; ``None``: the default.
    """

    model: ClassRecord
    size: NotRequired[Annotated[list[Annotated[int, Field(ge=16, le=8192)]], Field(min_length=2, max_length=2)] | None]
    flow: NotRequired[ClassRecord | None]


class ClassRecord(TypedDict):
    """A class with its arguments."""

    class_path: str
    init_args: NotRequired[dict[str, Any] | None]
    dict_kwargs: NotRequired[dict[str, Any] | None]


class _Data(TypedDict):
    init_args: NotRequired[dict[str, Any] | None]


class _Configuration(TypedDict):
    model: dict[str, Any] | str
    data: NotRequired[_Data | None]


INPUT_SIZE = (320, 240)
"""Width and height of a system's input in pixels, where a configuration says nothing of them."""


def versions_of_run() -> dict[str, str]:
    """Return package → version of what decides over the numbers of a run."""
    return versions(torch=torch.__version__, lightning=importlib.metadata.version("lightning"), numpy=numpy.__version__)


def source_tree(folder: Path = Path(__file__).parent) -> dict[str, Any] | None:
    """Return the git commit of a folder's files, and whether tracked ones were changed since.

    Args:
        folder: The folder; by default this package's.

    Returns:
        ``commit`` and ``dirty``; ``None`` where git does not know the folder's files, as in an installed package.
    """
    try:
        if not _git(folder, "ls-files", "."):
            return None
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return None


def read_system(text: str, source: Path) -> SystemRecord:
    """Read what :func:`model_config` has written.

    Raises:
        UserError: If it is no YAML, or does not fit. It names the key and the value.
    """
    fix = "Name another file."
    return fit_record(parse_yaml(text, f"{source}: system"), SystemRecord, f"{source}: system", fix)


def system_of(content: Any, source: Path, fix: str) -> str:
    """Return :func:`model_config` of a configuration that was read from a file.

    Args:
        content: What was read.
        source: The file.
        fix: How the user can mend a file that has no system, as a sentence.

    Raises:
        UserError: If it has none.
    """
    fit_record(content, _Configuration, str(source), fix)
    data = content.get("data") or {}
    arguments = {"size": list(INPUT_SIZE)} | (data.get("init_args", data) or {})
    built = {"size": arguments["size"], "flow": _class_record(arguments.get("flow"))}
    return model_config({"model": _class_record(content["model"]), "data": built})


def _class_record(value: Any) -> Any:
    """Return a class that a configuration names by its path alone as one with arguments."""
    return {"class_path": value} if isinstance(value, str) else value


def model_config(config: dict[str, Any]) -> str:
    """Describe in YAML how a system is built: what a checkpoint keeps, so that the file alone is enough to use it.

    Args:
        config: Configuration of ``fit``, with ``model`` and ``data``.
    """
    data = config["data"].get("init_args", config["data"])
    built = {"model": config["model"], "size": data.get("size"), "flow": data.get("flow")}
    return yaml.safe_dump(built, sort_keys=False)


def device_name(device: torch.device) -> str:
    """Name a device: a card by its model, a processor by its kind and threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]  # a user may be at work in there
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
