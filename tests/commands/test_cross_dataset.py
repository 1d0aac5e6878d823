"""Weights of one dataset tested on another, untouched, by a second --config."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bgsub_lightning.cli import main
from bgsub_lightning.synthetic import Plan, lasiesta, limu, render_all, sbi2015, wallflower

FOLDER = Path(__file__).parents[2] / "experiments"
PARTS = FOLDER / "parts/data"
Run = Callable[..., int]
PLANS: dict[str, list[Plan]] = {
    "lasiesta": [*lasiesta.plan(1, ["I_SI", "O_CL"])],
    "limu": [*limu.plan()[:1]],
    "sbi2015": [plan for plan in sbi2015.plan() if plan.name == "HighwayI"],
    "wallflower": [plan for plan in wallflower.plan() if plan.name == "WavingTrees"],
}
KEYS = {
    "lasiesta": {"I_SI/I_SI_01": 10, "O_CL/O_CL_01": 10},
    "limu": {"LIMU/CameraParameter": 1},
    "sbi2015": {"SBI2015/HighwayI": 10},
    "wallflower": {"Wallflower/WavingTrees": 1},
}


def twin(name: str, root: Path) -> Path:
    list(render_all(root, PLANS[name], (64, 48), 5, 5, 1))
    return root


def scores(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "scores.json").read_text()))


def test_there_is_a_part_for_each_reader() -> None:
    parts = [path for path in PARTS.glob("*.yaml") if path.stem != "development"]  # some videos of CDnet2014
    assert sorted(path.stem for path in parts) == sorted(PLANS)
    for path in parts:
        data = yaml.safe_load(path.read_text())["data"]["init_args"]
        assert data["reader"]["class_path"].rpartition(".")[2].lower() == path.stem


@pytest.mark.parametrize("name", PLANS)
def test_an_untrained_system(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run directory: the run is called after both files, and leaves the first one's scores alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{name.upper()}_ROOT", str(twin(name, tmp_path / "data")))
    options = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--data.init_args.num_workers=0"]
    configs = ["--config", str(FOLDER / "mog2.yaml"), "--config", str(PARTS / f"{name}.yaml")]
    assert main(["test", *configs, *options]) == 0
    found = scores(tmp_path / f"runs/mog2_{name}")
    assert found["dataset"].lower() == f"synthetic {name}"  # type: ignore[attr-defined]
    assert found["protocol"] == "none for training, all for test"
    assert found["leakage"] == "unseen scenes"
    assert {key: video["frames"] for key, video in found["videos"].items()} == KEYS[name]  # type: ignore[attr-defined]
    assert not (tmp_path / "runs/mog2").exists()


def test_trained_weights_and_what_else_the_experiment_says(run: Run, tiny: Path, tmp_path: Path) -> None:
    assert run("fit", "--trainer.max_steps=2") == 0
    assert run("test") == 0
    before = (tmp_path / "run/scores.json").read_bytes()
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    for name in PLANS:
        options = [f"--data.init_args.root={twin(name, tmp_path / name)}", f"--ckpt_path={checkpoint}"]
        assert run("test", "--config", str(PARTS / f"{name}.yaml"), *options, run_dir=tmp_path / f"on_{name}") == 0
        found = scores(tmp_path / f"on_{name}")
        assert {key: video["leakage"] for key, video in found["videos"].items()} == dict.fromkeys(  # type: ignore[attr-defined]
            KEYS[name], "unseen scenes"
        )
        config = yaml.safe_load((tmp_path / f"on_{name}/test.yaml").read_text())
        assert config["model"]["init_args"]["channels"] == 4
        assert (config["data"]["init_args"]["size"], config["data"]["init_args"]["batch_size"]) == ([32, 24], 2)
    assert (tmp_path / "run/scores.json").read_bytes() == before


def test_one_category_and_other_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = twin("lasiesta", tmp_path / "data")
    options = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", f"--run_dir={tmp_path / 'run'}"]
    configs = ["--config", str(FOLDER / "mog2.yaml"), "--config", str(PARTS / "lasiesta.yaml")]
    assert main(["test", *configs, *options, f"--data.init_args.root={root}", "--data.init_args.scene=[O_CL]"]) == 0
    assert list(scores(tmp_path / "run")["videos"]) == ["O_CL/O_CL_01"]  # type: ignore[call-overload]
    root = twin("limu", tmp_path / "limu")
    (root / "CameraParameter/groundtruth").rename(root / "CameraParameter/truth")
    pattern = "--data.init_args.reader.init_args.masks={sequence}/truth/*{number}.*"
    configs[-1] = str(PARTS / "limu.yaml")
    assert main(["test", *configs, *options, f"--data.init_args.root={root}", pattern]) == 0
    assert list(scores(tmp_path / "run")["videos"]) == ["LIMU/CameraParameter"]  # type: ignore[call-overload]


def test_weights_must_be_named(run: Run, tmp_path: Path, fails: Callable[[int], str]) -> None:
    status = run("test", "--config", str(PARTS / "limu.yaml"), f"--data.init_args.root={tmp_path}")
    assert "--ckpt_path FILE" in fails(status)


@pytest.mark.parametrize("protocol", ["CategoryBudget", "RandomShares"])
def test_budgets_through_the_command_line(run: Run, tiny: Path, tmp_path: Path, protocol: str) -> None:
    content = yaml.safe_load(tiny.read_text())
    settings = {"fraction": 0.4} if protocol == "CategoryBudget" else {}
    content["data"]["init_args"]["protocol"] = {
        "class_path": f"bgsub_lightning.splits.{protocol}",
        "init_args": {"exclude": ["PTZ"], **settings},
    }
    tiny.write_text(yaml.safe_dump(content))
    assert run("fit", "--trainer.max_steps=2") == 0
    assert run("test") == 0
    assert scores(tmp_path / "run")["leakage"] == "seen scenes, unseen frames"
    if protocol == "RandomShares":
        assert sum(video["frames"] for video in scores(tmp_path / "run")["videos"].values()) == 5 * 3  # type: ignore[attr-defined]
