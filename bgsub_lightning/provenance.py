"""What a run was made with: versions, the state of the source tree, the machine, the system's configuration."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import lightning
import numpy
import torch
import yaml

import bgsub_lightning


def versions() -> dict[str, str]:
    """Package → version, of what decides over numbers."""
    return {
        "bgsub_lightning": bgsub_lightning.__version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def source_tree(folder: Path = Path(bgsub_lightning.__file__).parent) -> dict[str, Any] | None:
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


def describe_system(config: dict[str, Any]) -> str:
    """Tell in YAML how a system is built: what a checkpoint keeps, so that the file alone is enough to use it.

    Args:
        config: Configuration of ``fit``, with ``model`` and ``data``.
    """
    data = config["data"].get("init_args", config["data"])
    told = {"model": config["model"], "size": data.get("size"), "flow": data.get("flow")}
    return yaml.safe_dump(told, sort_keys=False)


def device_name(device: torch.device) -> str:
    """Name a device: a card by its model, a processor by its kind and threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]  # a user may be at work in there
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
