"""Names that benchmarks and examples import exist in the package; CI runs those that are quick."""

from __future__ import annotations

import ast
import importlib
import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.commands.segment import segment
from bgsub_lightning.inference import Codec, open_source

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("examples/*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_imports_exist(script: Path) -> None:
    imports = [each for each in ast.walk(ast.parse(script.read_text())) if isinstance(each, ast.ImportFrom)]
    for each in imports:
        if each.module and each.module.startswith("bgsub_lightning"):
            module = importlib.import_module(each.module)
            for name in each.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{each.module}.{name.name}")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A bright square that moves over noise, 40 frames."""
    generator = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(tmp_path / "moving.mkv"), cv2.VideoWriter.fourcc(*"FFV1"), 25, (128, 48))
    for number in range(40):
        frame = generator.integers(80, 86, (48, 128, 3), np.uint8)
        frame[8:20, 2 * number : 2 * number + 12] = 230
        writer.write(frame)
    writer.release()
    return tmp_path / "moving.mkv"


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_ten_lines_of_opencv_write_what_segment_does(codec: Codec, video: Path, tmp_path: Path) -> None:
    by_opencv = runpy.run_path(str(ROOT / "benchmarks" / "ten_lines.py"))["by_opencv"]
    write = "overlay,mask_video,boxes_csv"
    by_opencv(str(video), tmp_path / "theirs", write, codec, 30)
    segment(str(video), tmp_path / "ours", "MOG2", write=write, codec=codec, frames=30)
    theirs, ours = ({path.name: path for path in (tmp_path / who).iterdir()} for who in ("theirs", "ours"))
    assert ours.keys() == theirs.keys()
    (header, *_), (expected, *_) = rows, others = [
        each["boxes.csv"].read_text().splitlines() for each in (ours, theirs)
    ]
    assert header == expected
    assert len(rows) == len(others) > 10  # a box for each frame, once MOG2 knows the noise
    for name in ours.keys() - {"boxes.csv"}:
        assert [len(list(open_source(str(each[name])))) for each in (ours, theirs)] == [30, 30]


def test_ten_lines_measure_rates_and_memory(video: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "ten_lines.py"),
        "MOG2",
        str(video),
        "boxes_csv",
        "--frames=40",
    ]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert found.keys() == {"rate", "per processor", "MiB", "growth"}
    assert min(found.values()) > 0
    assert found["growth"] >= 1


@pytest.mark.slow
def test_every_part_of_the_script_for_a_card() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device=cpu", "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = ("against CPU, 32-true", "processes", "matrix products", "training", "loader", "frames", "segment")
    assert all(part in done.stdout for part in parts)
    assert "FAR" not in done.stdout


@pytest.mark.slow
def test_a_difference_from_the_cpu_beyond_its_bound_is_a_failure(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import gpu
gpu.BOUNDS = dict.fromkeys(gpu.BOUNDS, -1.0)
sys.argv = ["gpu.py", "--device=cpu", "--tiny", "--parts", "correctness"]
gpu.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAR" in done.stdout
