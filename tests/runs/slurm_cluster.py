"""A real SLURM cluster of virtual nodes on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("munged", "scancel", "scontrol", "setpriv", "sinfo", "slurmctld", "slurmd", "squeue", "srun")

_CONFIGURATION = """\
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool_%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd_%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_min_interval=200000
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
KillWait=5
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

_ENDS = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")

_NODE = "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=4000 State=UNKNOWN\n"


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up.

    Attributes:
        root: Its files; logs of its daemons are ``*.log``.
        variables: Of the environment, which its clients need.
    """

    root: Path
    variables: dict[str, str]

    def ask(self, *command: str) -> str:
        """Run one of its commands, and return what it says; nothing if it fails."""
        return subprocess.run(command, env=os.environ | self.variables, capture_output=True, text=True).stdout.strip()

    def state(self, job: str) -> str:
        """The state of a job, or of a task ``ARRAY_TASK``."""
        return self.ask("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T").partition("\n")[0]

    def wait_for(self, job: str, *names: str, seconds: float = 120) -> None:
        """Wait until a job has one of these states; one that was queued again begins soon, not after two minutes."""
        begins_soon = False

        def has_ended() -> bool:
            nonlocal begins_soon
            state = self.state(job)
            if state == "PENDING" and not begins_soon:
                begins_soon = True  # but in another second than its end: SLURM refuses its credential of before then
                self.ask("scontrol", "update", f"jobid={job}", "starttime=now+3")
            return state in {*names, *_ENDS}

        assert holds_within(seconds, has_ended), self.record(job)
        assert self.state(job) in names, self.record(job)

    def record(self, job: str) -> str:
        """All that is known of a job: the scheduler's record, the job's log, the daemons' logs."""
        record = self.ask("scontrol", "show", "job", job)
        logs = [Path(path) for path in re.findall(r"StdOut=(.+)", record)]
        logs += sorted(self.root.glob("*.log"))
        return "\n\n".join([record, *(f"{log}:\n{log.read_text()}" for log in logs if log.is_file())])


@contextlib.contextmanager
def slurm_cluster(nodes: int = 2) -> Iterator[Cluster]:
    """Start a cluster of nodes ``n1``, ``n2``, …; nothing of it is left at the end.

    Daemons end with this process, should it be killed.
    """
    root = Path(tempfile.mkdtemp(prefix="slurm-tests-"))
    cluster = Cluster(root, {"SLURM_CONF": str(root / "slurm.conf")})
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        _configure(root, [f"n{number}" for number in range(1, nodes + 1)])
        stack.callback(_end_steps, root)

        def begin(name: str, *command: str) -> None:
            log = stack.enter_context((root / f"{name}.log").open("w"))
            ends_with_us = ("setpriv", "--pdeathsig", "KILL")
            daemon = subprocess.Popen(
                [*ends_with_us, *command],
                env=os.environ | cluster.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_end, daemon)

        munge = ("socket=munge.socket", "pid-file=munge.pid", "seed-file=munge.seed", "log-file=munged.log")
        files = [f"--{name}={root / file}" for name, file in (each.split("=") for each in munge)]
        begin("munge", "munged", "--foreground", f"--key-file={root / 'munge.key'}", *files)
        assert holds_within(10, (root / "munge.socket").exists), (root / "munge.log").read_text()
        begin("slurmctld", "slurmctld", "-D")
        for number in range(1, nodes + 1):
            begin(f"n{number}", "slurmd", "-D", "-N", f"n{number}")

        def is_up() -> bool:
            return len(cluster.ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()) == nodes

        assert holds_within(30, is_up), "\n".join(log.read_text() for log in root.glob("*.log"))
        stack.callback(_end_jobs, cluster)
        yield cluster


def holds_within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _configure(root: Path, names: list[str]) -> None:
    root.chmod(0o755)  # munge refuses what others can write
    key = root / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for folder in ("state", *(f"spool_{name}" for name in names)):
        (root / folder).mkdir()
    port, *ports = _free_ports(len(names) + 1)
    lines = [_NODE.format(name=name, port=each) for name, each in zip(names, ports, strict=True)]
    (root / "slurm.conf").write_text("".join(lines) + _CONFIGURATION.format(root=root, port=port))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _end_jobs(cluster: Cluster) -> None:
    """End all jobs, while there are daemons to report to."""
    cluster.ask("scancel", "--full", "--user", "root")
    holds_within(20, lambda: not cluster.ask("squeue", "-h"))


def _end_steps(root: Path) -> None:
    """End what was started for jobs and has outlived its daemon."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_ours = f"SLURM_CONF={root}/".encode() in (process / "environ").read_bytes()
            if is_ours and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
