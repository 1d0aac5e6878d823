"""Work that several processes share."""

from __future__ import annotations

import operator
import os

import pytest

from bgsub_lightning.errors import UserError
from bgsub_lightning.frames.processes import in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_found_comes_in_order(workers: int) -> None:
    assert list(in_processes(operator.sub, 10, range(20), workers, "")) == list(range(10, -10, -1))


def test_a_process_that_is_killed() -> None:
    with pytest.raises(UserError, match=r"A process ended before its time.* Do this\."):
        list(in_processes(operator.call, os._exit, [1], 2, "Do this."))
