"""Text of others, made harmless: for the terminal, and for programs that give some characters a meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from bgsub_lightning.core.errors import UserError

# of the control characters all but tab and line feed; marks that turn the order of letters; halves of surrogates, by
# which Python stands for bytes of names that are not UTF-8
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# up to the last @, since passwords hold slashes and @; what follows host:port/ is a path
_PASSWORD = re.compile(r"(?<=://)([^\s/?#@:]*):(?!\d+(?:[/?#\s]|$))\S*@")
_TOKEN = re.compile(r"(?<=://)[\w.~%-]{20,}(?=@)")  # in the place of a user, as GitHub takes it
_SECRET = re.compile(
    r"([?&](?:[^\s=&#]*(?:passw|pwd|token|secret|signature|credential|api_?key|auth)[^\s=&#]*|sig|sas|pass|key)=)[^\s&#]+",
    re.I,
)
_FORMULA = re.compile(r"'*\s*[=+@\-]")


def printable(text: str) -> str:
    r"""Write characters that a terminal would obey as escapes, such as ``\x1b``, and leave passwords out.

    Example:
        >>> printable("http://me:secret@host/a.pth")
        'http://me:***@host/a.pth'
    """
    return without_passwords(_UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text))


def without_passwords(text: str) -> str:
    """Replace the passwords of addresses by ``***``, also those that are given as ``?token=…``."""
    return _SECRET.sub(r"\1***", _TOKEN.sub("***", _PASSWORD.sub(r"\1:***@", text)))


def refuse_passwords(text: str, key: str, where: str) -> None:
    """Check that a text which is kept in files holds no password.

    Args:
        text: The text.
        key: Whose value it is.
        where: The files that would keep it.

    Raises:
        UserError: If it does.
    """
    if (shown := without_passwords(text)) != text:
        raise UserError(
            f"{key}: an address with a password would be stored in {where}; got {shown}. Leave the password out; "
            f"download what needs one, and name the file."
        )


def closest(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.5) -> list[str]:
    """Return which known names a wrong one may be meant for, the best first; upper and lower case are the same.

    Args:
        name: The wrong name.
        known: The names that there are.
        most: How many to return.
        cutoff: Likeness in [0, 1] that they have at least.
    """
    names = {each.lower(): each for each in known}
    return [names[each] for each in get_close_matches(name.lower(), names, n=most, cutoff=cutoff)]


def suggestion(name: str, known: Iterable[str], most: int = 3, listed: Iterable[str] | None = None) -> str:
    """Say which known names a wrong one may be meant for, or else which there are.

    Args:
        name: The wrong name; upper and lower case are the same.
        known: The names that there are.
        most: How many may be meant.
        listed: Those that are listed if none may be meant; ``None``: all.

    Example:
        >>> suggestion("hihgway", ["baseline", "highway"]), suggestion("x", ["baseline", "highway"])
        ('Did you mean highway?', 'There are: baseline, highway.')
    """
    known = list(known)
    if close := closest(name, known, most):
        return f"Did you mean {' or '.join(close)}?"
    return f"There are: {', '.join(known if listed is None else listed)}."


def join_some(names: Sequence[object], most: int = 5) -> str:
    """Write names with commas between; of more than some the first ones, and how many more there are.

    Example:
        >>> join_some("abc"), join_some("abcdef", most=2), join_some([])
        ('a, b, c', 'a, b and 4 more', 'none')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(str, names[:most])) or "none") + more


def has_control_characters(text: str) -> bool:
    """Whether a text has characters, line feeds too, that belong neither into a name nor into a script."""
    return _CONTROL.search(text) is not None


def csv_cell(text: str) -> str:
    """Write a cell of one line that no spreadsheet takes for a formula; a number stays what it is.

    Example:
        >>> [csv_cell(text) for text in ("=1+1", "-0.5", "highway")]
        ["'=1+1", '-0.5', 'highway']
    """
    text = printable(re.sub(r"[\r\n]+", " ", text))
    if not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def from_csv_cell(cell: str) -> str:
    """Return the text of a cell that :func:`csv_cell` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def one_line(text: str) -> str:
    """Write a text in a line, each run of white space as a space and control characters as escapes."""
    return printable(" ".join(text.split()))


def sentence(text: str) -> str:
    """Write a clause as a sentence: its first letter large, a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}."


def safe_name(text: str) -> str:
    """Make of a text what can be the name of a file."""
    return re.sub(r"([^\w.+-]|_)+", "_", text).strip("_.")
