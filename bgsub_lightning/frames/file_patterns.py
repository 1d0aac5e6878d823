"""Patterns of files that belong to frames, such as ``{video}/{number:06d}.png``."""

from __future__ import annotations

import re
import string
from collections.abc import Set

_NUMBERS = {"number", "earlier", "tau"}
_WIDTH = re.compile(r"(0?\d{1,2}d?|d?)")
"""Of up to 99 digits: a format of a million would take as many bytes for each name."""


def placeholders(pattern: str, known: Set[str]) -> set[str]:
    """Return the placeholders that a pattern uses.

    Args:
        pattern: The pattern; numbers of it may have a width, such as ``{number:06d}``.
        known: The placeholders that it may use.

    Raises:
        ValueError: If it cannot be parsed, or a placeholder is unknown or has any other format.

    Example:
        >>> sorted(placeholders("{video}/{number:06d}.png", {"category", "video", "number"}))
        ['number', 'video']
    """
    used = set()
    for _, name, form, conversion in string.Formatter().parse(pattern):
        if name is None:
            continue
        if name not in known:
            raise ValueError("a placeholder is unknown")
        if conversion or not (_WIDTH.fullmatch(form or "") if name in _NUMBERS else not form):
            raise ValueError(f"the format of {{{name}}} must be that of a number, such as 06d, or none")
        used.add(name)
    return used
