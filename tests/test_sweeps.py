"""Every sweep that is shipped is one for W&B, for `sweep`, and for `fit`; none looks at test frames."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweeps.config import schema_violations_from_proposed_config
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.runs.arguments import parse_trainer
from bgsub_lightning.runs.space import Point
from bgsub_lightning.runs.sweepfile import Sweep, read_sweep
from sweeps import next_run

FOLDER = Path(__file__).parents[1] / "sweeps"
SWEEPS = sorted(FOLDER.glob("*.yaml"))
SYSTEMS = ("ae_ne", "any_scene", "bmn_bsn", "bsuv_net", "cdn_medal", "crossnet", "fgsegnet", "recon_mcfcn")
SYSTEMS += ("seqfeednet", "siamese")
SCENES = {f"{row['category']}/{row['video']}" for row in published_videos()}

each_sweep = pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent)


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Values as an agent has them: nested, those of a run's configuration each under ``value``."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        *above, last = name.split(".")
        place = result
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return {key: {"value": value} for key, value in result.items()}


def agent_call(file: Path, configuration: dict[str, Any], folder: Path) -> list[str]:
    """The words that W&B's agent makes of a sweep's command for a run's configuration."""
    created = create_sweep_command_args({"args": configuration})
    path = folder / "config-a1b2c3.json"
    path.write_text(created["args_json"][0])
    macros = {"${env}": ["/usr/bin/env"], "${args_json_file}": [str(path)]}
    command = create_sweep_command(yaml.safe_load(file.read_text())["command"])
    return [word for each in command for word in macros.get(each, [each])]


def parsed(options: list[str]) -> dict[str, Any]:
    """Values that ``fit`` parses from options."""
    config = parse_trainer("fit", options).config["fit"]
    content = json.loads(json.dumps(config.as_dict(), default=str))
    return {key: value for key, value in content.items() if key not in {"config", "name", "wandb", "ckpt_path"}}


def of_agent(file: Path, sweep: Sweep, point: Point, folder: Path) -> dict[str, Any]:
    words = agent_call(file, nested(sweep.values(point)), folder)
    assert words[:5] == ["/usr/bin/env", "python", "-m", "bgsub_lightning", "fit"]
    return parsed(words[5:])


def test_each_system_has_a_grid_and_a_search() -> None:
    methods = [(system, read_sweep(file).method) for file in SWEEPS for system in SYSTEMS if system in file.stem]
    assert sorted(methods) == sorted((system, method) for system in SYSTEMS for method in ("grid", "bayes"))


@each_sweep
def test_it_is_one_for_wandb(file: Path) -> None:
    content, sweep = yaml.safe_load(file.read_text()), read_sweep(file)
    assert schema_violations_from_proposed_config(content) == []
    assert content["name"] == file.stem
    assert content["project"] == "bgsub_lightning"
    assert (FOLDER.parent / content["program"]).is_file()
    assert {"--wandb=online", "--ckpt_path=last"} <= set(content["command"])
    assert (sweep.metric, sweep.is_maximized) == ("val/f_measure", True)
    assert (sweep.hyperband is not None) == (sweep.method == "bayes")
    assert (sweep.run_cap is not None) == (sweep.method == "bayes")


@each_sweep
def test_its_first_run_is_the_same_by_an_agent(file: Path, tmp_path: Path) -> None:
    content, sweep = yaml.safe_load(file.read_text()), read_sweep(file)
    run = next_run({**content, "method": "grid" if sweep.method == "grid" else "random"}, [])
    theirs = {key: value["value"] for key, value in run.config.items()}
    names = dict(flat(theirs))
    assert names.keys() == sweep.parameters.keys()
    point = sweep.grid[0] if sweep.method == "grid" else sweep.drawn(0)
    by_agent = of_agent(file, sweep, point, tmp_path)
    assert by_agent == parsed([*sweep.options, *sweep.options_of(point)])
    parsed(agent_call(file, run.config, tmp_path)[5:])


@each_sweep
def test_fit_takes_every_value(file: Path, tmp_path: Path) -> None:
    sweep = read_sweep(file)
    for point in sweep.corners(3):
        config = dict(flat(of_agent(file, sweep, point, tmp_path)))
        for name, value in sweep.values(point).items():
            assert config[name] == value or name.endswith(".labels")


@each_sweep
def test_validation_holds_frames_out(file: Path, tmp_path: Path) -> None:
    sweep = read_sweep(file)
    config = of_agent(file, sweep, sweep.corners(1)[0], tmp_path)
    protocol = config["data"]["init_args"]["protocol"]
    held_out = protocol["init_args"].get("validation")
    assert protocol["class_path"].endswith(".RandomShares") or held_out["scenes"] or held_out["fraction"]


@pytest.mark.parametrize("name", ["ae_ne_scenes", "cdn_medal_scenes", "fgsegnet_scenes", "recon_mcfcn_scenes"])
def test_scenes_are_those_of_the_dataset(name: str) -> None:
    expected = {key for key in SCENES if name != "cdn_medal_scenes" or not key.startswith("PTZ/")}
    points = read_sweep(FOLDER / f"{name}.yaml").grid
    assert {point["data.init_args.scene"] for point in points} == expected
    assert len(points) == len(expected)


@each_sweep
def test_early_termination_comes_before_the_end(file: Path, tmp_path: Path) -> None:
    """Of a run's validations some come before the first decision, and some after it."""
    sweep = read_sweep(file)
    if sweep.hyperband is None:
        return
    config = of_agent(file, sweep, sweep.corners(1)[0], tmp_path)
    model, interval = config["model"]["init_args"], config["trainer"]["val_check_interval"]
    stages = [stage["steps"] for stage in model.values() if isinstance(stage, dict) and "steps" in stage]
    steps = sum(stages) or config["trainer"]["max_steps"]
    every = interval if isinstance(interval, int) else interval * steps
    validations = re.search(r"(?i)(four|ten|fourteen|twenty) validations", file.read_text())
    assert validations
    assert steps // every == {"four": 4, "ten": 10, "fourteen": 14, "twenty": 20}[validations[1].lower()]
    assert sum(stages[:1]) / every < sweep.hyperband.first < steps / every


def flat(content: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in content.items():
        name = f"{above}{key}"
        found += flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found
