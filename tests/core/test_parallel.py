"""Work that several processes share."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.parallel import in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_found_comes_in_order(workers: int) -> None:
    assert list(in_processes(operator.sub, 10, range(20), workers, "")) == list(range(10, -10, -1))


def test_a_process_that_is_killed() -> None:
    with pytest.raises(UserError, match=r"A worker process died.* Do this\."):
        list(in_processes(operator.call, os._exit, [1], 2, "Do this."))


_SHORT = "pow, 2, range(10**9)"
_LONG = "operator.call, exec, itertools.repeat('print(1, flush=True); import time; time.sleep(10_000)')"


def program(arguments: str) -> subprocess.Popen[str]:
    imports = (
        "import itertools, operator",
        "from bgsub_lightning.core.parallel import in_processes",
    )
    code = "\n".join([*imports, "print(0, flush=True)", f"for _ in in_processes({arguments}, 2, ''): pass"])
    code = f"try:\n{textwrap.indent(code, ' ')}\nexcept KeyboardInterrupt: raise SystemExit(130)"
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdout=pipe, stderr=pipe, text=True, bufsize=0
    )


def ends_silently_by_ctrl_c(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 130
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # nobody would end it, and the test would wait for it
        raise


@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1, 0.2, 0.5])
def test_ctrl_c_while_the_processes_start(seconds: float) -> None:
    with program(_SHORT) as process:
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        time.sleep(seconds)
        ends_silently_by_ctrl_c(process)


def test_ctrl_c_ends_long_tasks_and_those_that_wait() -> None:
    with program(_LONG) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "1\n"]  # both are at work
        ends_silently_by_ctrl_c(process)


def test_processes_that_cannot_start(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(  # without a main guard, and with much to share
        "from bgsub_lightning.core.parallel import in_processes\n"
        "list(in_processes(max, [bytes(10**6)], [[b'']], 2, 'Do this.'))\n"
    )
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)
    assert "UserError: A worker process died" in ended.stderr
    assert "`if __name__ == '__main__':`. Do this." in ended.stderr
