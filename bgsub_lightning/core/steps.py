"""Work that asks its caller for something in between, so that several pieces of work can be answered at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")


def together(steps: Sequence[Generator[Q, A, R]], answer: Callable[[list[Q]], Sequence[A]]) -> list[R]:
    """Do several pieces of work at the same time.

    Args:
        steps: Generators, which yield a question, are sent its answer, and return their result.
        answer: Answers the next questions of all that have not ended, in their order.

    Returns:
        Their results.

    Example:
        >>> def double(number):
        ...     return (yield number)
        >>> together([double(1), double(2)], lambda numbers: [2 * number for number in numbers])
        [2, 4]
    """
    results: dict[int, R] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(steps)))
    while answers:
        asked: dict[int, Q] = {}
        for place, given in answers.items():
            try:
                asked[place] = steps[place].send(given)
            except StopIteration as end:
                results[place] = end.value
        answers = dict(zip(asked, answer(list(asked.values())), strict=True)) if asked else {}
    return [results[place] for place in range(len(steps))]
