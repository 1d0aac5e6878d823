"""Jobs on a real SLURM: two nodes, preemption, an array, its report, and their states."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_cluster import NEEDED, Cluster, holds_within, slurm_cluster
from tiny_training import assert_alike, content

from bgsub_lightning.cli import main
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.runs.jobs import Job

pytestmark = pytest.mark.slow

Submit = Callable[..., tuple[int, str]]

PATIENCE = 600
"""Seconds after which something hangs."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of two nodes with two cores each."""
    if os.geteuid() != 0:
        pytest.skip("the daemons of SLURM need root")
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"needs SLURM (apt-get install slurm-wlm slurm-client munge): no {', '.join(missing)}")
    with slurm_cluster() as running:
        yield running


@pytest.fixture
def submit(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Submit:
    """Runs ``submit`` on the login node, and returns its exit status and what it says."""
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # nobody resolves names of virtual nodes
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str]:
        status = main(["submit", *map(str, words)])
        output = capfd.readouterr()
        return status, output.out + output.err

    return call


def test_two_nodes_preempted_and_queued_again_end_as_if_they_were_not(
    cluster: Cluster, submit: Submit, tiny: Path, tmp_path: Path
) -> None:
    fit = ["fit", "--config", tiny, "--trainer.max_epochs=40", "--trainer.check_val_every_n_epoch=5"]
    fit.append("--last.every_n_train_steps=1000")  # what is resumed is what was saved on the signal
    status, output = submit("--gpus=0", "--nodes=2", "--time=60", "--", *fit, "--run_dir=run")
    assert status == 0, output
    run = tmp_path / "run"
    job = Job.load(run)
    assert job
    assert f"Submitted job {job.number}" in output

    status, output = submit("--gpus=0", "--nodes=2", "--", *fit, "--run_dir=run")
    assert status == 2
    assert f"job {job.number} " in output

    log = tmp_path / job.log
    last = run / "checkpoints/last.ckpt"
    assert holds_within(PATIENCE, last.exists), log.read_text() if log.exists() else cluster.state(job.number)
    cluster.ask("scancel", "--signal=USR1", job.number)
    assert holds_within(PATIENCE, lambda: "SIGUSR1" in log.read_text()), log.read_text()
    output = submit("--status", "run")[1]
    assert re.search(rf"run +{job.number} +(pending|completing|running|requeued)", output), output
    assert not (run / "finished.json").exists()
    stopped = content(last)["global_step"]
    cluster.wait_for(job.number, "COMPLETED", seconds=PATIENCE)

    whole = subprocess.run(
        [sys.executable, "-m", "bgsub_lightning", *map(str, fit), "--trainer.devices=2", "--run_dir=whole"],
        cwd=tmp_path,
    )
    assert whole.returncode == 0
    end = content(last)["global_step"]
    assert 0 < stopped < end
    assert_alike(tmp_path / "whole/checkpoints/last.ckpt", last)
    assert_alike(tmp_path / "whole/checkpoints/best.ckpt", run / "checkpoints/best.ckpt")
    output = submit("--status", "run")[1]
    assert re.search(rf"run +{job.number} +trained", output), output
    assert str(job.log) in output


def test_campaign_is_an_array_and_a_report(cluster: Cluster, submit: Submit, tiny: Path, tmp_path: Path) -> None:
    campaign = ["campaign", tiny, "--over", "fold=1,2,3", "--out=out", "--trainer.max_epochs=1"]
    status, output = submit("--gpus=0", "--time=60", "--at_once=2", "--", *campaign)
    assert status == 0, output
    job = Job.load(tmp_path / "out")
    assert job
    assert job.report
    number, log = job.report
    cluster.wait_for(number, "COMPLETED", seconds=PATIENCE)
    assert all((tmp_path / "out" / f"fold_{fold}/finished.json").is_file() for fold in (1, 2, 3))
    singles = [TestResult.load(tmp_path / "out" / f"fold_{fold}") for fold in (1, 2, 3)]
    merged = TestResult.load(tmp_path / "out").videos
    assert merged == singles[0].videos | singles[1].videos | singles[2].videos
    assert "3 of 3 runs are done" in (tmp_path / log).read_text()
    output = submit("--status", "out")[1]
    for task, fold in enumerate((1, 2, 3)):
        assert re.search(rf"out/fold_{fold} +{job.number}_{task} +trained and tested", output), output
    assert "runs are done" in output  # the end of the newest log
    status, output = submit("--gpus=0", "--", *campaign)
    assert status == 0
    assert "all runs are done" in output


def test_fit_in_a_batch_script_without_srun_starts_its_own_processes(
    cluster: Cluster, tiny: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "bgsub_lightning", "fit", "--config", str(tiny), "--run_dir=run"]
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/bash\n#SBATCH --ntasks-per-node=2\n" + " ".join([*words, "--trainer.devices=2"]))
    cluster.ask("sbatch", "--wait", f"--chdir={tmp_path}", "--output=log", str(script))
    assert (tmp_path / "run/finished.json").is_file(), (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--partition=gqu"], "invalid partition specified: gqu"),
        (["--mem=lots"], "Invalid --mem specification"),
        (["--sbatch=no-such=1"], "unrecognized option '--no-such=1'"),
    ],
)
def test_what_slurm_does_not_take(submit: Submit, tiny: Path, tmp_path: Path, options: list[str], said: str) -> None:
    status, output = submit("--gpus=0", *options, "--", "fit", "--config", tiny, "--run_dir=run")
    assert status == 2
    assert output.startswith("error: SLURM ")
    assert said in output
    assert not list((tmp_path / "run").rglob("*.json"))
