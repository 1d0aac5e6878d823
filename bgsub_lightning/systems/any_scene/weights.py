"""The weights that ship with the package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from bgsub_lightning.core.errors import UserError

PATH = Path(__file__).with_name("weights.ckpt")
CARD = Path(__file__).with_name("weights.json")


def card() -> dict[str, Any]:
    """Return what is known of the weights: data, seed, command, commit, licence, results, limits and digest.

    Raises:
        UserError: If the card is not there or is damaged.
    """
    try:
        return dict(json.loads(CARD.read_text()))
    except (OSError, ValueError) as error:
        raise UserError(f"{CARD}: cannot be read ({error}). Install bgsub_lightning again.") from error


def shipped() -> Path:
    """Return the file of the weights, when its digest is the card's.

    Raises:
        UserError: If it is not there or is damaged.
    """
    found = hashlib.sha256(PATH.read_bytes()).hexdigest() if PATH.is_file() else "no file"
    if found != (expected := card()["sha256"]):
        raise UserError(
            f"{PATH}: must have the SHA-256 {expected[:16]}…; got {found[:16]}. Install bgsub_lightning again."
        )
    return PATH
