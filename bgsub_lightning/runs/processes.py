"""Commands of this program as processes: what they print, why they fail, and how they are ended."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from bgsub_lightning.core.files import last_lines, lock_environment


class Process:
    """A command of this program in a process, which shares the lock of its run.

    Args:
        arguments: The command and its options.
        lock: The file descriptor of the lock.
        log: The file to which its output is added; ``None``: it goes to the terminal.
        device: The GPU that it sees; ``None``: all.

    Attributes:
        popen: The process.
    """

    def __init__(self, arguments: Sequence[str], lock: int, log: Path | None = None, device: str | None = None) -> None:
        self._log = log
        self._lines: deque[str] = deque(maxlen=100)
        with ExitStack() as files:
            file = files.enter_context(log.open("ab")) if log else None
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "bgsub_lightning", *arguments],
                stdout=file,
                stderr=file or subprocess.PIPE,
                pass_fds=(lock,),
                env=os.environ | lock_environment(lock) | ({} if device is None else {"CUDA_VISIBLE_DEVICES": device}),
            )
        self._reader = threading.Thread(target=self._pass_on, args=(self.popen.stderr,), daemon=True)
        self._reader.start()

    def poll(self) -> bool:
        """Whether it has ended."""
        return self.popen.poll() is not None

    def failure(self) -> str | None:
        """Return in a line why it has failed, once it has ended; ``None`` if it has not failed."""
        status = self.popen.wait()
        self._reader.join(timeout=5)  # what the process has left running may hold the pipe for longer
        return failure_reason(status, last_lines(self._log, 100) if self._log else list(self._lines))

    def _pass_on(self, stream: IO[bytes] | None) -> None:
        """Write its errors to the terminal at once, and keep the last lines."""
        if stream is None:
            return
        with io.TextIOWrapper(stream, "utf-8", errors="replace", newline="") as text:
            for line in text:
                sys.stderr.write(line)
                sys.stderr.flush()
                self._lines.append(line.rstrip())


def failure_reason(status: int, lines: Sequence[str]) -> str | None:
    """Return in a line why a process has failed; ``None`` if it has not.

    Args:
        status: Its exit status, negative for a signal.
        lines: The last lines of its output.
    """
    if status == 0:
        return None
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status in {128 + signal.SIGTERM, 128 + signal.SIGUSR1}:
        return f"stopped by {signal.Signals(status - 128).name}"
    last = [line for line in reversed(lines) if line.strip()]
    return next((line for line in last if line.startswith("error: ")), last[0] if last else f"exit status {status}")


def terminate(processes: Sequence[subprocess.Popen[bytes]], patience: float = 20) -> None:
    """End processes: by SIGTERM, on which a fit saves its state, and by SIGKILL those that stay.

    Each gets one SIGTERM: a second one ends a fit at once.

    Args:
        processes: The processes.
        patience: Time until SIGKILL, in s; a second Ctrl-C cuts it short.
    """
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + patience
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        process.kill()
        process.wait()
