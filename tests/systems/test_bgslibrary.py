"""The subtractors of bgslibrary: the same whatever ran before, silent, and without anything of the working folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.systems.baselines import BgsLibrarySubtractor

Fails = Callable[[int], str]


@pytest.fixture
def library() -> None:
    pytest.importorskip("pybgs", reason="bgslibrary is not installed: pip install 'bgsub_lightning[bgslibrary]'")


def video(seed: int = 0) -> torch.Tensor:
    """A dark square on bright noise, that moves: (B, 3, H, W), uint8."""
    generator = np.random.default_rng(seed)
    frames = 0.7 + generator.normal(0, 0.01, (12, 3, 48, 64))
    for number, frame in enumerate(frames):
        frame[:, 10:30, 4 * number : 4 * number + 12] = 0.2
    return torch.from_numpy(frames).clamp(0, 1).mul(255).round().byte()


def answers(module: BgsLibrarySubtractor, images: torch.Tensor) -> torch.Tensor:
    context = module.begin_scene({})
    return torch.cat([module.probability(context, {"image": part}) for part in (images[:5], images[5:])], 1)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("algorithm", ["FrameDifference", "SuBSENSE", "PAWCS", "LOBSTER", "ViBe", "LBSimpleGaussian"])
def test_each_scene_starts_fresh(algorithm: str, capfd: pytest.CaptureFixture[str]) -> None:
    module, other = BgsLibrarySubtractor(algorithm), BgsLibrarySubtractor(algorithm)
    first = answers(module, video())
    assert first.shape == (1, 12, 48, 64)
    assert set(first.unique().tolist()) <= {0.0, 1.0}
    answers(module, video(1))
    assert torch.equal(answers(module, video()), first)
    assert torch.equal(answers(other, video()), first)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("algorithm", ["SuBSENSE", "ViBe", "LOBSTER"])
def test_what_moves_is_foreground(algorithm: str) -> None:
    """The square stands on what was background in the first frame; around it nothing moves."""
    last = answers(BgsLibrarySubtractor(algorithm), video())[0, -1]
    assert last[12:28, 48:56].mean() > 0.9
    assert last[34:].mean() < 0.05


@pytest.mark.usefixtures("library")
def test_the_working_folder_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would read its parameters from ./config, and write them there."""
    expected = answers(BgsLibrarySubtractor("FrameDifference"), video())
    (tmp_path / "config").mkdir()
    settings = '<?xml version="1.0"?><opencv_storage><enableThreshold>1</enableThreshold><threshold>250</threshold>'
    (tmp_path / "config/FrameDifference.xml").write_text(f"{settings}</opencv_storage>")
    monkeypatch.chdir(tmp_path)
    assert torch.equal(answers(BgsLibrarySubtractor("FrameDifference"), video()), expected)
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["FrameDifference.xml"]
    assert Path.cwd() == tmp_path


@pytest.mark.usefixtures("library")
def test_an_algorithm_that_does_not_exist() -> None:
    with pytest.raises(UserError, match=r"algorithm: .*'subsence'.*SuBSENSE\b"):
        BgsLibrarySubtractor("subsence")


def test_the_library_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybgs", None)
    with pytest.raises(UserError, match=r"pip install 'bgsub_lightning\[bgslibrary\]'"):
        BgsLibrarySubtractor()


@pytest.mark.usefixtures("library")
def test_it_is_tested_as_any_system(run: Callable[..., int], fails: Fails, tmp_path: Path) -> None:
    options = ["--model=bgsub_lightning.systems.BgsLibrarySubtractor", "--data.init_args.size=null"]
    assert run("test", *options, "--model.init_args.algorithm=ViBe") == 0
    result = TestResult.load(tmp_path / "run")
    assert (result.system, result.leakage) == ("BgsLibrarySubtractor", "unseen scenes")
    assert all(sum(video.counts[:2]) > 0 for video in result.videos.values())
    message = fails(run("test", *options, "--model.init_args.algorithm=Vibee"))
    assert re.search(r"algorithm: .*'Vibee'.*ViBe\b", message)
    assert "there is nothing to fit" in fails(run("fit", *options))
