"""`combine`: votes over folders of masks against a count by numpy; what is missing or wrong; what a vote has seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from bgsub_lightning.cli import main
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.evaluation.mask_record import MaskRecord

NAMES = [f"{key}/bin{number:06d}.png" for key in ("baseline/highway", "shadow/bungalows") for number in range(21, 27)]
Bytes = NDArray[np.uint8]
Fails = Callable[[int], str]


def read(path: Path) -> Bytes:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)


def write(path: Path, mask: Bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Four folders of random masks; those of the last hold 127 as well, as OpenCV's shadows."""
    made = [tmp_path / name for name in "abcd"]
    for place, folder in enumerate(made):
        generator = np.random.default_rng(place)
        for name in NAMES:
            mask = (generator.random((48, 64)) < 0.5).astype(np.uint8) * 255
            if folder.name == "d":
                mask[:9] = 127
            write(folder / name, mask)
    return made


def combined(folders: Sequence[Path], out: Path, *options: str) -> int:
    return main(["combine", *map(str, folders), f"--out={out}", *options])


@pytest.mark.parametrize(("count", "least", "needed"), [(2, None, 2), (3, None, 2), (4, None, 3), (4, 2, 2), (3, 1, 1)])
def test_votes_are_counted(folders: list[Path], tmp_path: Path, count: int, least: int | None, needed: int) -> None:
    """A tie of two or four is background."""
    voting, out = folders[:count], tmp_path / "out"
    assert combined(voting, out, *([] if least is None else [f"--least={least}"])) == 0
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == sorted([*NAMES, "masks.json"])
    for name in NAMES:
        votes = sum((read(folder / name) == 255).astype(int) for folder in voting)
        np.testing.assert_array_equal(read(out / name), np.where(votes >= needed, 255, 0))


def test_processes_write_what_one_writes(folders: list[Path], tmp_path: Path) -> None:
    assert combined(folders[:3], tmp_path / "one", "--workers=1") == 0
    assert combined(folders[:3], tmp_path / "two", "--workers=2") == 0
    for name in [*NAMES, "masks.json"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_masks_of_one_video(folders: list[Path], tmp_path: Path) -> None:
    """As `segment` writes them: without folders of categories and videos."""
    flat = [folder / "baseline/highway" for folder in folders[:3]]
    assert combined(flat, tmp_path / "flat") == 0
    assert combined(folders[:3], tmp_path / "deep", "--scene=highway") == 0
    assert not (tmp_path / "deep/shadow").exists()
    for number in range(21, 27):
        name = f"bin{number:06d}.png"
        assert (tmp_path / "flat" / name).read_bytes() == (tmp_path / "deep/baseline/highway" / name).read_bytes()


def test_a_mask_that_is_missing_is_named(folders: list[Path], tmp_path: Path, fails: Fails) -> None:
    for number in (24, 22):
        (folders[1] / f"shadow/bungalows/bin{number:06d}.png").unlink()
    message = fails(combined(folders[:3], tmp_path / "out"))
    assert f"{folders[1]}/shadow/bungalows/bin000022.png" in message
    assert str(folders[0]) in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d"]
    assert combined(folders[:3], tmp_path / "out", "--scene=baseline") == 0


def test_a_mask_that_is_wrong_is_named(folders: list[Path], tmp_path: Path, fails: Fails) -> None:
    path = folders[2] / NAMES[8]
    content = path.read_bytes()
    write(path, np.zeros((48, 60), np.uint8))
    assert f"{path}: is of another size: 60×48 instead of 64×48" in fails(combined(folders[:3], tmp_path / "out"))
    for bad in (content[:-20], b"no image", b""):
        path.write_bytes(bad)
        assert f"{path}: is unreadable" in fails(combined(folders[:3], tmp_path / "out"))
        assert not (tmp_path / "out").exists()
    write(path, np.zeros((48, 64), np.uint16))  # type: ignore[arg-type]
    assert f"{path}: is of 16 bits" in fails(combined(folders[:3], tmp_path / "out", "--workers=2"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d"]


def test_masks_that_are_not_binary_are_named(
    folders: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert combined(folders[1:], tmp_path / "out") == 0
    (line,) = (line for line in capfd.readouterr().out.splitlines() if line.startswith("warning"))
    assert f"{folders[3] / NAMES[0]}: is not binary (holds 127) (and 11 others)" in line


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["a", "--out=out"], ["--folders", "got 1"]),
        (["a", "b", "a/", "--out=out"], ["--folders", "a: is named twice"]),
        (["a", "none", "--out=out"], ["none: there is no such folder"]),
        (["a", "empty", "--out=out"], ["empty: holds no mask", "empty/baseline/highway/bin000001.png"]),
        (["a", "b", "--least=3", "--out=out"], ["--least", "1 to 2", "got 3"]),
        (["a", "b", "--least=0", "--out=out"], ["--least", "got 0"]),
        (["a", "b", "--workers=0", "--out=out"], ["--workers", "0"]),
        (["a", "b", "--scene=higway", "--out=out"], ["--scene", "higway", "highway"]),
        (["a", "b", "--out=c"], ["--out: c", "empty folder"]),
        (["a", "b", "--out=c/notes.txt"], ["--out: c/notes.txt"]),
        (["a", "b"], ["required: out"]),
    ],
)
def test_options_that_make_no_sense(
    folders: list[Path],
    tmp_path: Path,
    fails: Fails,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "c/notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    message = fails(main(["combine", *options]))
    for part in parts:
        assert part in message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_killed_vote_leaves_no_folder(folders: list[Path], tmp_path: Path) -> None:
    """The next one removes what it has left; meanwhile a second one is refused."""
    out = tmp_path / "out"
    script = (
        "import bgsub_lightning.evaluation.voting as voting, time\n"
        "from bgsub_lightning.cli import main\n"
        "written = voting.write_png\n"
        "def slow(path, *rest):\n"
        "    if 'shadow' in str(path): time.sleep(60)\n"
        "    written(path, *rest)\n"
        "voting.write_png = slow\n"
        f"main(['combine', {str(folders[0])!r}, {str(folders[1])!r}, '--out={out}', '--workers=1'])"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    partial = tmp_path / ".out.partial"
    try:
        end = time.monotonic() + 60
        while not (partial / NAMES[5]).is_file():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        assert combined(folders[:2], out) == 2
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert partial.is_dir()
    assert not out.exists()
    (partial / "rest").write_text("of the killed one")
    assert combined(folders[:2], out) == 0
    assert not partial.exists()
    assert not (out / "rest").exists()


# --- what the vote has seen ------------------------------------------------------------------------------------------


def record(folder: Path, **trained_on: list[list[int]]) -> None:
    seen = {f"CDnet2014:{key.replace('_', '/')}": ranges for key, ranges in trained_on.items()}
    MaskRecord(maker=folder.name.upper(), trained_on=seen).save(folder)


def leakage_of(out: Path) -> dict[str, str]:
    return {key: video.leakage for key, video in TestResult.load(out).videos.items()}


def test_the_least_honest_member_counts(
    cdnet: Path, folders: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record(folders[0])
    record(folders[1], baseline_highway=[[1, 9]])
    record(folders[2], baseline_highway=[[5, 20]], shadow_bungalows=[[26, 26]])

    def evaluated(masks: Path, *options: str) -> dict[str, str]:
        command = ["evaluate", str(masks), f"--root={cdnet}", "--scene=highway,bungalows", f"--out={tmp_path / 'out'}"]
        assert main([*command, *options]) == 0
        return leakage_of(tmp_path / "out")

    assert combined(folders[:2], tmp_path / "ab") == 0
    assert combined(folders[:3], tmp_path / "abc") == 0
    assert combined([tmp_path / "abc", folders[3]], tmp_path / "abcd") == 0
    unseen, unknown, seen = "unseen scenes", "unknown", "seen scenes, unseen frames"
    worst = "includes training frames"
    assert set(evaluated(folders[0]).values()) == {unseen}
    assert set(evaluated(folders[3]).values()) == {unknown}
    assert evaluated(tmp_path / "ab") == {"baseline/highway": seen, "shadow/bungalows": unseen}
    assert evaluated(tmp_path / "abc") == {"baseline/highway": seen, "shadow/bungalows": worst}
    assert TestResult.load(tmp_path / "out").leakage == worst
    assert TestResult.load(tmp_path / "out").protocol == "masks of 2 of 3 votes of A, B, C"
    assert evaluated(tmp_path / "abcd") == {"baseline/highway": unknown, "shadow/bungalows": worst}
    # the user's word is for what no record knows, or worse
    assert evaluated(tmp_path / "abcd", f"--leakage={unseen}") == {
        "baseline/highway": unseen,
        "shadow/bungalows": worst,
    }
    assert evaluated(tmp_path / "ab", f"--leakage={unseen}") == {"baseline/highway": seen, "shadow/bungalows": unseen}
    assert set(evaluated(tmp_path / "ab", f"--leakage={worst}").values()) == {worst}
    names = json.loads((tmp_path / "abcd/masks.json").read_text())
    assert names["folders"] == [str(tmp_path / "abc"), str(folders[3])]
    assert names["maker"] == "2 of 2 votes of (2 of 3 votes of A, B, C), d"
    capfd.readouterr()
    assert main(["report", str(tmp_path / "out")]) == 0
    assert "masks of 2 of 2 votes of A, B: includes training frames" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maker", 5),
        ("trained_on", {"CDnet2014:a/b": [[1, 10**12]]}),
        ("trained_on", {"CDnet2014:a/b": [[1]]}),
        ("x", 1),
    ],
)
def test_a_damaged_record(folders: list[Path], tmp_path: Path, fails: Fails, key: str, value: object) -> None:
    record(folders[0])
    file = folders[0] / "masks.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    assert f"{file}: {key}" in fails(combined(folders[:2], tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_predict_records_what_it_was_trained_on(run: Callable[..., int], tiny: Path, tmp_path: Path) -> None:
    """Before its first mask; masks of another system in the folder are not forgotten."""
    config = tmp_path / "mog2.yaml"
    content = yaml.safe_load(tiny.read_text())
    content["model"] = {"class_path": "bgsub_lightning.systems.ClassicalSubtractor", "init_args": {"method": "MOG2"}}
    config.write_text(yaml.safe_dump(content))
    assert run("fit", "--trainer.max_steps=1") == 0
    assert run("predict", config=config) == 0
    found = MaskRecord.load(tmp_path / "run/results")
    assert found is not None
    assert (found.maker, found.trained_on, found.is_complete, found.folders) == ("run", {}, True, [])
    assert run("predict", "--ckpt_path=last") == 0
    found = MaskRecord.load(tmp_path / "run/results")
    assert found is not None
    assert "CDnet2014:thermal/park" in found.trained_on
    assert "CDnet2014:baseline/highway" not in found.trained_on
    assert run("predict", config=config) == 0
    assert MaskRecord.load(tmp_path / "run/results") == found
