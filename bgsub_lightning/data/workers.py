"""Start of each worker process of a loader."""

from __future__ import annotations

import os
import signal
import threading

from lightning.fabric.utilities.seed import pl_worker_init_function

_STOPPING = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


def begin_worker(worker: int) -> None:
    """Seed a worker, and let it work until its own process ends it.

    Schedulers signal all processes of a job at once. The training then still has a batch to finish, and must not lose
    the workers that load it.

    Args:
        worker: Its number.
    """
    pl_worker_init_function(worker)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    """End this process when its parent terminates it; it alone may, since it then needs no more batches."""
    while True:
        received = signal.sigwaitinfo(_STOPPING)
        if received.si_signo == signal.SIGTERM and received.si_pid == os.getppid():
            os._exit(0)
