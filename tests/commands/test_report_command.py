"""`report` in the terminal: published numbers, comparisons, many runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bgsub_lightning.cli import main
from tests.made_results import cdnet_keys, fold, made, saved


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["report", *arguments])
    found = capsys.readouterr()
    return status, found.out, " ".join(found.err.split())


def test_published_numbers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = report(capsys, "--published", "--dataset=limu", "--method", "subsense")
    assert status == 0
    assert "CrossNet, table III: F-measure by sequence, on LIMU" in out
    assert "SuBSENSE" in out
    assert "0.6530" in out
    assert "CrossNet-HOFAM" not in out
    assert "IEEE Transactions on Multimedia 2023" in out


def test_switches_may_stand_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = saved(tmp_path, made("run"))
    alone = report(capsys, str(run), "--by_video", "--averaging", "pooled")
    assert alone == report(capsys, str(run), "--by_video", "true", "--averaging=pooled")
    assert alone[0] == 0
    assert "  x " in alone[1]
    assert report(capsys, str(run), "--by_video=false", "--averaging=pooled") != alone
    assert report(capsys, str(run), "--averaging=pooled", "--by_video") == alone


def test_two_systems_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = cdnet_keys("PTZ")
    good, bad, third = (
        str(path) for path in saved(tmp_path, made("good", keys, skill=0.9), made("bad", keys), made("third", keys))
    )
    status, out, _ = report(capsys, good, bad, "--compare", "f_measure")
    flat = " ".join(out.split())
    assert status == 0
    assert "good is better than bad: its F-measure is higher by 0.09" in flat
    assert "over 49 videos; Wilcoxon p = " in flat
    assert "shadow/copyMachine" in out
    _, out, _ = report(capsys, good, bad, third, "--compare", "pwc", "--by_category")
    assert "shadow/copyMachine" not in out  # a row for each system
    assert "2 comparisons: about one in 20" in " ".join(out.split())
    status, _, err = report(capsys, good, "--compare", "f_measure")
    assert (status, err) == (2, "error: --compare needs two systems; all that is named is one, good.")


def test_no_report_needs_pytorch(tmp_path: Path) -> None:
    runs = [str(path) for path in saved(tmp_path, made("a"), made("b"))]
    program = f"""
import sys
from bgsub_lightning.cli import main
heavy = lambda *names: sorted({{*names}} & set(sys.modules))
assert main(["report", *{runs!r}]) == 0
print(heavy("torch", "lightning", "torchmetrics", "scipy", "matplotlib", "albumentations", "av", "jinja2"))
assert main(["report", *{runs!r}, "--compare=f_measure"]) == 0
assert main(["report", *{runs!r}, "--out={tmp_path / "page"}"]) == 0
print(heavy("torch", "lightning", "torchmetrics", "albumentations", "av"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("[")] == ["[]", "[]"]


def test_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = saved(tmp_path, fold(1))
    status, _, err = report(capsys, "--published", "--method", "SubSense2")
    assert status == 2
    assert err.startswith("error: method: ")
    assert "'SubSense2'. Did you mean SuBSENSE" in err
    status, _, err = report(capsys)
    assert (status, err) == (
        2,
        "error: Name at least one run directory, such as `report runs/bmn_bsn_small runs/mog2`.",
    )
    status, _, err = report(capsys, str(run), "--compare", "speed")
    assert status == 2
    assert "f_measure" in err


def test_many_long_names_stay_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"crossnet_small_row_{i:02}_without_flow_and_fusion" for i in range(9)]
    paths = saved(tmp_path, *(made(name, draw=i, leakage="seen scenes, unseen frames") for i, name in enumerate(names)))
    status, out, _ = report(capsys, *map(str, paths))
    assert status == 0
    assert "…" not in out
    assert all(out.count(f"F [{i}]") == 1 for i in range(1, 9))
    assert f"[8] F of {names[8]} (seen scenes, unseen frames)." in out
    rows = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert rows.count("overall") == rows.count("category") == 2
    status, out, _ = report(capsys, *map(str, paths[:1]))
    assert "[1]" not in out
