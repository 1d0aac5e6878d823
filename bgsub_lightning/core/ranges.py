"""The checks of options: that a number lies in its range, and a name is one of those that there are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, get_args

from bgsub_lightning.core.errors import UserError

_BITS = 256
"""Of an integer: one of more than 1024 has no float, one of more than 14,000 no text."""


def check_range(
    section: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    **values: Any,
) -> None:
    """Check that numbers lie in a range; infinities and NaN lie in none.

    Args:
        section: What comes before a name in messages: ``model.init_args.``, ``--``, or nothing.
        least: The smallest value.
        above: What values must be larger than.
        most: The largest value.
        below: What values must be smaller than.
        values: Name → a number, or several; ``None`` is an option that was left out.

    Raises:
        UserError: If one does not, or is no number, as text and ``True`` are none. It names the option, the range and
            the value.

    Example:
        >>> check_range("--", least=1, frames=0)
        Traceback (most recent call last):
        bgsub_lightning.core.errors.UserError: --frames: must be at least 1; got 0.
    """
    for name, value in values.items():
        for number in _each(value):
            is_number = isinstance(number, Real) and not isinstance(number, bool)
            if not is_number:
                raise UserError(f"{section}{name}: must be a number; got {number!r}.")
            if isinstance(number, int) and (bits := number.bit_length()) > _BITS:
                raise UserError(f"{section}{name}: must have at most {_BITS} bits; got a number of {bits:,} bits.")
            is_inside = (
                math.isfinite(number)
                and (least is None or number >= least)
                and (above is None or number > above)
                and (most is None or number <= most)
                and (below is None or number < below)
            )
            if not is_inside:
                words = _words(least, above, most, below)
                words += " and finite" if number == math.inf and "finite" not in words else ""
                raise UserError(f"{section}{name}: must be {words}; got {number}.")


def check_whole(section: str, *, least: int, most: int, **values: Any) -> None:
    """Check that values are whole numbers in a range; see :func:`check_range`.

    Example:
        >>> check_whole("--", least=1, most=9, frames=1.5)
        Traceback (most recent call last):
        bgsub_lightning.core.errors.UserError: --frames: must be a whole number from 1 to 9; got 1.5.
    """
    for name, value in values.items():
        for number in _each(value):
            if isinstance(number, bool) or not isinstance(number, Integral):
                what = f"a whole number {_words(least, None, most, None)}"
                raise UserError(f"{section}{name}: must be {what}; got {number!r}.")
    check_range(section, least=least, most=most, **values)


def check_ascending(section: str, **values: tuple[float, float]) -> None:
    """Check that of two numbers that bound a range the first is not the larger one.

    Args:
        section: As in :func:`check_range`.
        values: Name → both numbers.

    Raises:
        UserError: If it is. It names the option and both.

    Example:
        >>> check_ascending("Jpeg.", quality=(90, 20))
        Traceback (most recent call last):
        bgsub_lightning.core.errors.UserError: Jpeg.quality: must ascend; got [90, 20].
    """
    for name, (low, high) in values.items():
        if low > high:
            raise UserError(f"{section}{name}: must ascend; got [{low}, {high}].")


def check_choice(section: str, choices: Any, **values: Any) -> None:
    """Check that values are among those of a ``Literal``, which Python itself does not check.

    Args:
        section: As in :func:`check_range`.
        choices: The ``Literal``.
        values: Name → value.

    Raises:
        UserError: If one is not. It names the option, the choices and the value.

    Example:
        >>> from typing import Literal
        >>> check_choice("--", Literal["code", "paper"], form="text")
        Traceback (most recent call last):
        bgsub_lightning.core.errors.UserError: --form: must be code or paper; got 'text'.
    """
    for name, value in values.items():
        if value not in get_args(choices):
            raise UserError(f"{section}{name}: must be {' or '.join(map(str, get_args(choices)))}; got {value!r}.")


def _each(value: Any) -> list[Any]:
    """Return a number, or several, without those that were left out."""
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return [number for number in (value if several else (value,)) if number is not None]


def _words(least: float | None, above: float | None, most: float | None, below: float | None) -> str:
    if least is not None and most is not None:
        return f"from {least:,} to {most:,}"
    lower = f"at least {least:,}" if least is not None else f"above {above:,}" if above is not None else ""
    upper = f"at most {most:,}" if most is not None else f"below {below:,}" if below is not None else ""
    return " and ".join(part for part in (lower, upper) if part) or "finite"
