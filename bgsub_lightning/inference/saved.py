"""State of a subtractor in a file, so that a restart needs no warm-up."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.inference.stream import StreamSubtractor
from bgsub_lightning.inference.subtractor import Subtractor
from bgsub_lightning.inference.watching import PictureWatch
from bgsub_lightning.systems.weights import damage, read_plain

_VERSION = 1
_FIX = "Name another, or leave the option out."


def save_state(subtractor: StreamSubtractor, path: Path, watch: PictureWatch | None = None) -> bool:
    """Write what a subtractor has learnt of its stream.

    Args:
        subtractor: One that :func:`require_savable` lets pass.
        path: The file; it is replaced as a whole.
        watch: What looks at the pictures; its view is kept too.

    Returns:
        Whether there was anything: not before the first frame.
    """
    assert isinstance(subtractor, Subtractor)
    footage, context = subtractor.footage, subtractor.context
    if footage is None or context is None:
        return False
    record = {
        "bgsub_lightning_state": _VERSION,
        "system": subtractor.kind,
        "size": list(footage.frame_size),
        "pool": [torch.from_numpy(image.copy()) for image in footage.pool],
        "context": context.state_dict(),
        "view": None if watch is None or watch.view is None else torch.from_numpy(watch.view.copy()),
    }
    with atomic_write(path, "wb") as file:
        torch.save(record, file)
    return True


def require_savable(subtractor: StreamSubtractor) -> None:
    """Check that what a subtractor learns can be saved.

    Raises:
        UserError: If it cannot, as that of OpenCV and bgslibrary.
    """
    if not isinstance(subtractor, Subtractor) or not (
        subtractor.system.needs_pool or subtractor.module.begin_scene({}).state_dict() is not None
    ):
        raise UserError(f"--state: {subtractor.name} cannot save what it has learnt. Leave the option out.")


def load_state(subtractor: StreamSubtractor, path: Path, watch: PictureWatch | None = None) -> None:
    """Continue from what :func:`save_state` wrote; nothing in the file is executed.

    Args:
        subtractor: One that has seen no frame, and that :func:`require_savable` lets pass.
        path: The file.
        watch: What looks at the pictures: a view that has changed since the file was written is noticed.

    Raises:
        UserError: If the file is damaged, is no such file, or is of another system.
    """
    assert isinstance(subtractor, Subtractor)
    record = _read(path)
    if record["system"] != subtractor.kind:
        raise UserError(f"--state: {path}: is of {record['system']}; got {subtractor.kind}. {_FIX}")
    try:
        width, height = map(int, record["size"])
        pool = [image.numpy() for image in record["pool"]]
        if any(image.shape != (height, width, 3) for image in pool):
            raise ValueError("frames of several sizes")
        subtractor.resume((width, height), pool, record["context"], f"--state: {path}")
        trial = copy.deepcopy(subtractor)  # which fails now, rather than at the first frame, where shapes do not fit
        trial.push([np.zeros((height, width, 3), np.uint8)])
        if watch is not None and record["view"] is not None:
            watch.expect(record["view"].numpy())
    except Exception as error:  # whatever wrong values lead to
        raise UserError(f"--state: {path}: is damaged ({error}). {_FIX}") from error


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise UserError(f"--state: {path}: is a folder; a file is needed. {_FIX}")
    if what := damage(path):
        raise UserError(f"--state: {path}: is damaged ({what}). {_FIX}")
    record = read_plain(path, f"--state: {path}", _FIX)
    if not isinstance(record, dict) or record.get("bgsub_lightning_state") != _VERSION or "system" not in record:
        raise UserError(f"--state: {path}: is no state that segment wrote. {_FIX}")
    return record
