"""Several datasets as one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import SBI2015, CDnet2014, Joined
from bgsub_lightning.synthetic import Rendered

RENDERED = Rendered({3: 1}, ["baseline"], frames=12, size=(64, 48), workers=1)


def test_scenes_of_both_are_there(cdnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDERED_ROOT", str(tmp_path / "rendered"))
    reader = Joined([CDnet2014(), RENDERED])
    root = reader.locate(cdnet)
    apart = [*CDnet2014().scenes(cdnet), *RENDERED.scenes(RENDERED.locate(None))]
    found = reader.scenes(root)
    assert [scene.key for scene in found] == sorted(scene.key for scene in apart)
    assert {scene.key: (scene.dataset, dict(scene.frames)) for scene in found} == {
        scene.key: (scene.dataset, dict(scene.frames)) for scene in apart
    }
    assert (reader.name, reader.root_variable) == ("CDnet2014 + Rendered", "CDNET2014_ROOT")
    chosen = reader.scenes(root, ["shadow", "*_s3"])
    assert [scene.dataset for scene in chosen] == ["Rendered", "CDnet2014"]
    with pytest.raises(UserError, match=r"data\.init_args\.scene: 'hihgway'.*highway"):
        reader.scenes(root, ["hihgway"])


def test_scenes_of_two_datasets_are_not_averaged(
    cdnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], str]
) -> None:
    monkeypatch.setenv("RENDERED_ROOT", str(tmp_path / "rendered"))
    config = tmp_path / "mog2.yaml"
    readers = [
        {"class_path": "CDnet2014"},
        {
            "class_path": "Rendered",
            "init_args": {"videos": {3: 1}, "categories": ["baseline"], "frames": 12, "size": [64, 48], "workers": 1},
        },
    ]
    protocol = {"class_path": "Subset", "init_args": {"train": [], "test": ["*"]}}
    data = {"root": str(cdnet), "num_workers": 0, "size": None, "protocol": protocol}
    data["reader"] = {"class_path": "Joined", "init_args": {"readers": readers}}
    content = {
        "trainer": {"accelerator": "cpu", "devices": 1, "use_distributed_sampler": False},
        "model": {"class_path": "bgsub_lightning.systems.ClassicalSubtractor"},
        "data": {"class_path": "bgsub_lightning.data.ScenesDataModule", "init_args": data},
        "wandb": "disabled",
    }
    config.write_text(yaml.safe_dump(content))
    message = fails(main(["test", "--config", str(config), f"--run_dir={tmp_path / 'run'}"]))
    assert "data.init_args.protocol: " in message
    assert re.search(r"got CDnet2014, .*\(synthetic scenes", message)


def test_one_scene_of_two_datasets_is_refused(
    cdnet: Path, make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "other", "thermal", "park")
    monkeypatch.setenv("CDNET2014_ROOT", str(tmp_path / "other"))
    with pytest.raises(UserError, match=r"reader: thermal/park\b.*CDnet2014"):
        Joined([CDnet2014(), CDnet2014()]).scenes(cdnet)


def test_what_is_missing_is_named(cdnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SBI2015_ROOT", raising=False)
    with pytest.raises(UserError, match="SBI2015"):
        Joined([CDnet2014(), SBI2015()]).scenes(cdnet)
    with pytest.raises(UserError, match=r"readers: .*got \[\]"):
        Joined([])
