"""Work that asks its caller for something in between, so that several pieces of work can be answered at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from typing import TypeVar, cast

Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")


def together(
    steps: Sequence[Generator[Q, A, R]],
    answer: Callable[[list[Q]], Sequence[A]],
    threads: Executor | None = None,
) -> list[R]:
    """Do several pieces of work at the same time.

    Args:
        steps: Generators, which yield a question, are sent its answer, and return their result.
        answer: Answers the next questions of all that have not ended, in their order.
        threads: Where the pieces continue between questions; ``None``: here, one after the other.

    Returns:
        Their results.

    Example:
        >>> def double(number):
        ...     return (yield number)
        >>> together([double(1), double(2)], lambda numbers: [2 * number for number in numbers])
        [2, 4]
    """
    results: dict[int, R] = {}

    def go_on(place: int, given: A | None) -> list[Q]:
        try:
            return [steps[place].send(cast("A", given))]
        except StopIteration as end:
            results[place] = end.value
            return []

    answers: dict[int, A | None] = dict.fromkeys(range(len(steps)))
    while answers:
        found = (threads.map if threads else map)(go_on, *zip(*answers.items(), strict=True))
        asked = {place: question for place, each in zip(answers, found, strict=True) for question in each}
        answers = dict(zip(asked, answer(list(asked.values())), strict=True)) if asked else {}
    return [results[place] for place in range(len(steps))]
