"""The space that a search looks through: for each parameter one of several values, or a number in a range.

The parameters are those of a sweep file of Weights & Biases.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import fit_record
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.runs.grid import option_text

Point = dict[str, Any]
"""Parameter → what a study stores of its value: see :meth:`Choice.value` and :meth:`Range.value`."""

_UNBOUNDED = ("normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta")

_INFINITE = 1e300
_LARGEST_EXPONENT = 700


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        values: The values, of any type.
        probabilities: Of each; empty: all the same.
    """

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] = ()

    @cached_property
    def labels(self) -> list[Any]:
        """The stored form of each value: itself, or JSON where it is no scalar."""
        return [each if isinstance(each, str | int | float | None) else json.dumps(each) for each in self.values]

    @property
    def size(self) -> int:
        """Number of the points of a grid."""
        return len(self.values)

    @property
    def grid(self) -> list[Any]:
        """The points of a grid."""
        return self.labels

    @property
    def corners(self) -> list[Any]:
        """The points that a parser must be tried with."""
        return self.labels

    def draw(self, uniform: float) -> Any:
        """Return the point of a number in [0, 1)."""
        weights = self.probabilities or (1.0,) * len(self.values)
        ends = np.cumsum(weights) / sum(weights)
        return self.labels[min(int(np.searchsorted(ends, uniform, side="right")), len(ends) - 1)]

    def value(self, point: Any) -> Any:
        """Return what an option is set to."""
        return self._by_label[point]

    @cached_property
    def _by_label(self) -> dict[Any, Any]:
        return dict(zip(self.labels, self.values, strict=True))

    def __str__(self) -> str:
        share = f" with probabilities {', '.join(map(str, self.probabilities))}" if self.probabilities else ""
        return f"one of {', '.join(option_text(each) for each in self.values)}{share}"


@dataclass(frozen=True)
class Range:
    """A number between two others.

    Attributes:
        low: The least.
        high: The largest.
        log: Whether its logarithm is uniform, and not itself.
        q: What values are rounded to multiples of; 0: nothing. Whole numbers where it is an int.
    """

    low: float
    high: float
    log: bool = False
    q: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether all whole numbers of the range are drawn alike, as of ``int_uniform``."""
        return isinstance(self.low, int)

    @property
    def size(self) -> int:
        """Number of the points of a grid, which are not listed for it."""
        span = self.high - self.low
        return int(span) + 1 if self.is_whole else math.ceil(span / self.q)

    @property
    def grid(self) -> list[Any]:
        """The points of a grid, those of W&B's: without the upper end where values are rounded."""
        if self.is_whole:
            return list(range(int(self.low), int(self.high) + 1))
        return [float(each) for each in np.arange(self.low, self.high, self.q)]

    @property
    def corners(self) -> list[Any]:
        """The points that a parser must be tried with."""
        return [self.low, self.high]

    def draw(self, uniform: float) -> Any:
        """Return the point of a number in [0, 1)."""
        if self.is_whole:
            return int(self.low) + int(uniform * (int(self.high) - int(self.low) + 1))
        if self.log:
            return min(self.high, max(self.low, self.low * (self.high / self.low) ** uniform))
        return self.low + uniform * (self.high - self.low)

    def value(self, point: Any) -> Any:
        """Return what an option is set to: rounded."""
        if not self.q:
            return point
        steps = round(point / self.q)
        return steps * self.q if isinstance(self.q, int) else float(f"{steps * self.q:.12g}")

    def __str__(self) -> str:
        kind = "whole number " if self.is_whole else ""
        rounded = f", rounded to multiples of {self.q:g}" if self.q else ""
        return f"{kind}from {self.low:g} to {self.high:g}{', by its logarithm' if self.log else ''}{rounded}"


# --- reading ---------------------------------------------------------------------------------------------------------


def _finite(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _INFINITE:
        raise ValueError("must be a finite number")
    return value


_Number = Annotated[Any, AfterValidator(_finite)]  # keeps whole numbers whole


class _Distribution(BaseModel):
    """The keys of all distributions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    value: Any = None
    values: Annotated[list[Any], MinLen(1)] = []
    probabilities: list[_Number] = []
    min: _Number = 0
    max: _Number = 0
    q: Annotated[_Number, Gt(0)] = 1


_DISTRIBUTIONS: dict[str, tuple[set[str], set[str]]] = {  # distribution → the keys it needs, and those it may have
    "constant": ({"value"}, set()),
    "categorical": ({"values"}, set()),
    "categorical_w_probabilities": ({"values", "probabilities"}, set()),
    **dict.fromkeys(("int_uniform", "uniform", "log_uniform", "log_uniform_values"), ({"min", "max"}, set())),
    **dict.fromkeys(("inv_log_uniform", "inv_log_uniform_values"), ({"min", "max"}, set())),
    **dict.fromkeys(("q_uniform", "q_log_uniform", "q_log_uniform_values"), ({"min", "max"}, {"q"})),
}


def parameter_of(where: str, content: Any) -> Choice | Range:
    """Read what a sweep file says of a parameter.

    Args:
        where: Its key, for messages.
        content: Its value.

    Raises:
        UserError: If it is no distribution of W&B, or one that has no bounds.
    """
    if not isinstance(content, dict) or not content:
        raise UserError(
            f"{where}: must hold values; got {content!r}. Example: `values: [1, 2]` or `{{min: 0.0, max: 1.0}}`."
        )
    kind = content.get("distribution", _usual(content))
    if kind in _UNBOUNDED:
        raise UserError(f"{where}: {kind}: has no bounds, and Optuna searches bounded ranges. Use uniform, or values.")
    if not isinstance(kind, str) or kind not in _DISTRIBUTIONS:
        raise UserError(
            f"{where}: distribution: is unknown; got {kind!r}. {suggestion(str(kind), sorted(_DISTRIBUTIONS))}"
        )
    needed, optional = _DISTRIBUTIONS[kind]
    keys = content.keys() - {"distribution"}
    if wrong := sorted(map(str, keys - needed - optional)) or sorted(needed - keys):
        problem = "is missing" if wrong[0] in needed else "is unknown"
        raise UserError(f"{where}: {wrong[0]}: {problem}. {kind} has {' and '.join(sorted(needed | optional))}.")
    fix = "Write a number, such as 1.0e-4: YAML reads 1e-4 as text." if "min" in needed else "Write a list."
    read = fit_record({key: content[key] for key in keys}, _Distribution, where, fix)
    if "min" in needed:
        return _range(where, kind, read)
    return choice_of(where, [read.value] if kind == "constant" else read.values, read.probabilities)


def _usual(content: Mapping[str, Any]) -> str:
    """Return the distribution that W&B takes where none is named."""
    if "value" in content:
        return "constant"
    if "values" in content:
        return "categorical_w_probabilities" if "probabilities" in content else "categorical"
    are_whole = all(isinstance(each, int) and not isinstance(each, bool) for each in map(content.get, ("min", "max")))
    return "int_uniform" if are_whole else "uniform"


def choice_of(where: str, values: Sequence[Any], probabilities: Sequence[float] = ()) -> Choice:
    """Check the values of a parameter.

    Args:
        where: Its key, for messages.
        values: The values.
        probabilities: One for each; empty: all the same.

    Raises:
        UserError: If they make no choice, or JSON, which a sweep is recorded in, has no such type.
    """
    try:
        json.dumps(values)
    except TypeError as error:
        raise UserError(
            f"{where}: must hold numbers, text, lists and mappings; got {values}. Put a date in quotes."
        ) from error
    choice = Choice(tuple(values), tuple(probabilities))
    if twice := [label for label, count in Counter(choice.labels).items() if count > 1]:
        raise UserError(f"{where}: values: each must differ; got {twice[0]!r} twice. Remove one.")
    if probabilities and (len(probabilities) != len(values) or not sum(probabilities) > 0 or min(probabilities) < 0):
        raise UserError(
            f"{where}: probabilities: must be {len(values)} numbers from 0, one a value; got {list(probabilities)}."
        )
    return choice


def _range(where: str, kind: str, read: _Distribution) -> Range:
    low, high, q = read.min, read.max, read.q if kind.startswith("q_") else 0
    if kind == "int_uniform":
        if float in (type(low), type(high)):
            raise UserError(
                f"{where}: min, max: must be whole numbers; got {low} and {high}. Round them, or use uniform."
            )
        if low > high:
            raise UserError(f"{where}: min: must not be above max; got {low} and {high}. Swap them.")
        return Range(low, high)
    log = "log" in kind
    if log and not kind.endswith("_values"):
        low, high = (-high, -low) if kind.startswith("inv") else (low, high)
        if high > _LARGEST_EXPONENT:
            raise UserError(f"{where}: max: is an exponent of e, and must be at most {_LARGEST_EXPONENT}; got {high}.")
        low, high = math.exp(low), math.exp(high)
    if not low < high:
        raise UserError(f"{where}: min: must be below max; got {read.min} and {read.max}. Swap them, or use `value`.")
    if log and low <= 0:
        raise UserError(f"{where}: min: must be above 0 for a logarithm; got {low}. Raise it, or use uniform.")
    return Range(float(low), float(high), log, q)
