"""Work that several processes share."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time

import pytest

from bgsub_lightning.errors import UserError
from bgsub_lightning.parallel import in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_found_comes_in_order(workers: int) -> None:
    assert list(in_processes(operator.sub, 10, range(20), workers, "")) == list(range(10, -10, -1))


def test_a_process_that_is_killed() -> None:
    with pytest.raises(UserError, match=r"A process ended before its time.* Do this\."):
        list(in_processes(operator.call, os._exit, [1], 2, "Do this."))


_WORK = """
from bgsub_lightning.parallel import in_processes
try:
    print("begins", flush=True)
    for _ in in_processes(pow, 2, range(10**9), 2, ""):
        pass
except KeyboardInterrupt:
    raise SystemExit(130)
"""


@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1, 0.2, 0.5])
def test_ctrl_c_while_the_processes_start(seconds: float) -> None:
    command = [sys.executable, "-c", _WORK]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "begins\n"
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said = process.communicate(timeout=60)
    assert said == ("", "")
    assert process.returncode == 130
