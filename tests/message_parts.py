"""Messages are matched by their keys and values, so that their prose can be improved freely."""

from __future__ import annotations

import re


def in_order(text: str, *parts: object) -> bool:
    """Whether a text has these parts one after the other, in a row that line breaks do not end."""
    return re.search(".*?".join(re.escape(str(part)) for part in parts), " ".join(text.split())) is not None
