"""How much of what a protocol tests was tested: where a metric is overall, and what a part must say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OVERALL = "overall"
"""The part of a dataset that is all of it."""

_FOLDS = re.compile(r"\bfolds? (\d+(?:, \d+)*) of (\d+)\b(?: \([^()]*\))?")
"""Folds in the words of a protocol, with the scenes of a fold that is named by them."""


@dataclass(frozen=True)
class Extent:
    """The extent of metrics over all tested videos.

    Attributes:
        name: ``overall``, or ``tested part`` where something is missing.
        note: The footnote of a part; empty of a whole.
    """

    name: str
    note: str

    @property
    def is_whole(self) -> bool:
        """Whether there is an overall metric."""
        return not self.note

    @property
    def caption(self) -> str:
        """The note as a sentence that names the part; empty of a whole."""
        return "" if self.is_whole else f"{self.name.capitalize()}: {self.note}."


def extent_of(system: str, missing: Sequence[str]) -> Extent:
    """Decide whether there is an overall metric of a system: only where nothing is missing.

    Args:
        system: What tables call it.
        missing: What was not tested, in words.

    Example:
        >>> extent_of("bmn", missing_folds("fold 1 of 2"))
        Extent(name='tested part', note='no overall metric: bmn was not tested on fold 2 of 2')
    """
    if not missing:
        return Extent(OVERALL, "")
    return Extent("tested part", f"no overall metric: {system} was not tested on {', '.join(missing)}")


def protocol_name(protocol: str) -> str:
    """Return the words of a protocol without its fold.

    Example:
        >>> protocol_name("folds 1, 2 of 3, without PTZ")
        'fold … of 3, without PTZ'
    """
    return _FOLDS.sub(r"fold … of \2", protocol)


def with_folds(protocol: str, folds: Iterable[int]) -> str:
    """Return the words of a protocol for several folds together.

    Example:
        >>> with_folds("fold 1 of 3, without PTZ", [1, 2])
        'folds 1, 2 of 3, without PTZ'
    """
    return _FOLDS.sub(rf"folds {', '.join(map(str, folds))} of \2", protocol)


def folds_of(protocol: str) -> tuple[int, ...]:
    """Return the folds that the words of a protocol name.

    Example:
        >>> folds_of("folds 1, 2 of 3, without PTZ")
        (1, 2)
    """
    found = _FOLDS.search(protocol)
    return tuple(int(number) for number in found[1].split(", ")) if found else ()


def missing_folds(protocol: str) -> tuple[str, ...]:
    """Return the folds that the words of a protocol do not name, as in ``fold 3 of 3``.

    Example:
        >>> missing_folds("folds 1, 2 of 3, without PTZ")
        ('fold 3 of 3',)
    """
    found = _FOLDS.search(protocol)
    if not found:
        return ()
    absent = sorted(set(range(1, int(found[2]) + 1)) - set(folds_of(protocol)))
    return tuple(f"fold {fold} of {found[2]}" for fold in absent)
