"""Two processes that train together on one machine, started once for all tests that need them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any

_PATIENCE = 600.0  # seconds, many of which a busy machine needs to import Lightning


class TwoProcesses:
    """Calls functions in both at once; they start at the first call, and again after a failed call.

    Each has a process group of gloo's, and the environment in which Lightning takes it for one of a run.
    """

    def __init__(self) -> None:
        self.processes: list[Any] = []
        self.ends: list[Connection] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what ``function(rank, *arguments)`` returns in each; both must be known by name, and picklable."""
        if not self.processes:
            self._start()
        for end in self.ends:
            end.send((function, arguments))
        results: list[Any] = [None, None]
        left, deadline = list(self.ends), monotonic() + _PATIENCE
        while left:
            ready = wait(left, max(0.0, deadline - monotonic()))
            failure = None if ready else "it has not ended in time"
            for end in ready:
                left.remove(end)
                try:
                    failure, results[self.ends.index(end)] = end.recv()
                except EOFError:
                    failure = "the process has ended"
                if failure:
                    break
            if failure:
                self.stop()
                raise AssertionError(f"{function.__name__} in one of two processes: {failure}")
        return results

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        for end in self.ends:
            end.close()
        self.processes, self.ends = [], []

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for rank in range(2):
            own, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, port, theirs), daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
            self.ends.append(own)


def _serve(rank: int, port: int, end: Connection) -> None:
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    environment |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "CUDA_VISIBLE_DEVICES": ""}
    os.environ.update(environment)  # before Lightning is imported, with the first function
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    while True:
        try:
            function, arguments = end.recv()
        except EOFError:
            return
        os.environ.update(environment)  # Lightning removes some of it at the end of a run
        try:
            end.send((None, function(rank, *arguments)))
        except BaseException:
            end.send((traceback.format_exc(), None))
