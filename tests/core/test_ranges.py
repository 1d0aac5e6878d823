"""Numbers of options lie in their ranges."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_choice, check_range, check_whole


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({"least": 1}, [1, 10**30], [0, -1]),
        ({"above": 0}, [1e-300], [0, -1e-9]),
        ({"least": 0, "most": 1}, [0, 0.5, 1], [-0.1, 1.1]),
        ({"least": 0, "below": 1}, [0, 0.99], [1]),
        ({"above": 1, "below": 2}, [1.5], [1, 2]),
        ({"most": 3}, [-5, 3], [4]),
        ({}, [-1e300, 0], []),
    ],
)
def test_numbers_lie_in_their_range(bounds: dict[str, Any], inside: list[float], outside: list[float]) -> None:
    check_range("", **bounds, x=inside, y=None)
    for value in inside:
        check_range("", **bounds, x=value)
    for value in (*outside, math.nan, math.inf, -math.inf):
        with pytest.raises(UserError, match=rf"^--x: must be .*; got {value}\.$"):
            check_range("--", **bounds, x=value)
        with pytest.raises(UserError, match=rf"^--x: must be .*; got {value}\.$"):
            check_range("--", **bounds, x=[*inside, value])


@pytest.mark.parametrize("value", ["a", "5", True, np.True_, b"5", 1j, object()])
def test_what_is_no_number_lies_in_no_range(value: Any) -> None:
    for check in (check_range, check_whole):
        for given in (value, [2, value]) if value != b"5" else ([2, value],):
            with pytest.raises(UserError, match=rf"^--x: must be .*number.*; got {re.escape(repr(value))}\.$"):
                check("--", least=0, most=9, x=given)


def test_whole_numbers() -> None:
    check_whole("--", least=1, most=3, x=1, y=None, z=[np.int64(3), 2])
    for value in (1.5, 2.0, np.float32(2)):
        with pytest.raises(UserError, match=rf"^--x: .*whole.* 1 to 3; got {re.escape(repr(value))}\.$"):
            check_whole("--", least=1, most=3, x=value)
    with pytest.raises(UserError, match=r"^--x: .* 1 to 3; got 4\.$"):
        check_whole("--", least=1, most=3, x=4)


def test_integers_that_no_float_holds() -> None:
    for value in (16**400, -(16**400), 16**9000):
        with pytest.raises(UserError, match=rf"^--x: .*; got a number of {value.bit_length():,} bits\.$"):
            check_range("--", least=1, x=value)


def test_names_are_among_those_that_there_are() -> None:
    choices = Literal["code", "paper", 3]
    check_choice("--", choices, form="code", other=3)
    for value in ("text", "", None, 4, "3"):
        with pytest.raises(UserError, match=rf"^--form: .*code.*paper.*3; got {value!r}\.$"):
            check_choice("--", choices, other="code", form=value)
