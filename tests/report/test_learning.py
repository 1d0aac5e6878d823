"""Learning curves of a run that was stopped and continued."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.report.learning import learning_curves, thinned


def log(run: Path, version: int, text: str) -> None:
    path = run / f"csv/version_{version}/metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_versions_of_a_continued_run_are_joined(tmp_path: Path) -> None:
    log(tmp_path, 2, "step,train/loss/total,val/f_measure\n0,9.0,\n5,7.0,\n9,6.5,\n9,,0.2\n12,6.0,\n")
    log(
        tmp_path, 10, "step,train/loss/total,val/f_measure,val/late\n10,5.0,,\n15,4.0,,\n19,,0.5,1\n"
    )  # after version 2
    log(tmp_path, 11, "step,test/f_measure\n0,0.7\n")
    assert learning_curves(tmp_path) == {
        "train/loss/total": [(0, 9.0), (5, 7.0), (9, 6.5), (10, 5.0), (15, 4.0)],
        "val/f_measure": [(9, 0.2), (19, 0.5)],
        "val/late": [(19, 1.0)],
    }


def test_a_run_without_logs_has_no_curves(tmp_path: Path) -> None:
    assert learning_curves(tmp_path) == {}
    log(tmp_path, 0, "")
    assert learning_curves(tmp_path) == {}


@pytest.mark.parametrize(
    "text", ["step,train/loss/total\nx,1\n", "step,val/x\n1,many\n", "val/x\n1\n", "step,val/x\n1,2,3\n\x00"]
)
def test_broken_logs_are_reported(tmp_path: Path, text: str) -> None:
    log(tmp_path, 0, text)
    with pytest.raises(UserError, match=r"metrics\.csv: "):
        learning_curves(tmp_path)


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    log(tmp_path, 0, "step,val/x\n1,0.25\n2,0.")
    assert learning_curves(tmp_path) == {"val/x": [(1, 0.25)]}


def test_a_pipe_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "csv/version_0").mkdir(parents=True)
    os.mkfifo(tmp_path / "csv/version_0/metrics.csv")
    with pytest.raises(UserError, match=r"metrics\.csv: "):
        learning_curves(tmp_path)


def test_long_curves_are_thinned_to_their_means() -> None:
    curve = [(i, float(i % 2)) for i in range(1001)]
    short = thinned(curve, 100)
    assert len(short) <= 100
    assert all(value == pytest.approx(0.5, abs=0.1) for _, value in short[:-1])
    assert [step for step, _ in short] == sorted(step for step, _ in short)
    assert thinned(curve[:100], 100) == curve[:100]
