"""Values as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import safe_name
from bgsub_lightning.runs.grid import (
    Listed,
    choose,
    matching_scenes,
    parse_grid,
    runs_of_file,
    runs_of_grid,
    split_values,
)
from bgsub_lightning.training.run_directory import scene_folder

KEYS = ["PTZ/zoom", "baseline/highway", "baseline/office", "shadow/bungalows"]


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("fold=1,2,3", "fold", ["1", "2", "3"]),
        ("fold=1", "fold", ["1"]),
        ("seed= 0, 1 ", "seed", ["0", "1"]),
        ("root=/data/a=b,c", "root", ["/data/a=b", "c"]),
        ("scene=baseline/*,!PTZ", "scene", ["baseline/*", "!PTZ"]),
        ("scene=baseline/[ho]*,shadow", "scene", ["baseline/[ho]*", "shadow"]),
        ("model.init_args.lr=1e-3,1e-4", "model.init_args.lr", ["1e-3", "1e-4"]),
        ("data.init_args.size=[32, 24],[64,48]", "data.init_args.size", ["[32, 24]", "[64,48]"]),
        ("model.init_args.a={b: [1, 2], c: 3},null", "model.init_args.a", ["{b: [1, 2], c: 3}", "null"]),
        ("model.init_args.a='x,y',\"z,[\"", "model.init_args.a", ["'x,y'", '"z,["']),
    ],
)
def test_values_of_an_option(text: str, name: str, values: list[str]) -> None:
    assert parse_grid(text) == (name, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold", r"--over: .*NAME=VALUE.*'fold'"),
        ("fold=", r"--over: .*NAME=VALUE.*'fold='"),
        ("=1,2", r"--over: .*NAME=VALUE.*'=1,2'"),
        ("fold=1,,2", r"--over: .*NAME=VALUE.*'fold=1,,2'"),
        ("lr=1e-3", r"--over: .*root, store, scene, fold, seed.*'lr'.* model\.init_args\.lr"),
        ("fold=1,2,1", r"--over: fold: .* 1 twice"),
    ],
)
def test_option_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_grid(text)


def test_unbalanced_brackets_are_left_to_the_parser_of_the_run() -> None:
    assert split_values("[1,2") == ["[1,2"]
    assert split_values("1],2") == ["1]", "2"]


@pytest.mark.parametrize(
    ("patterns", "keys"),
    [
        (["baseline/*"], ["baseline/highway", "baseline/office"]),
        (["shadow", "baseline/office"], ["baseline/office", "shadow/bungalows"]),
        (["*", "!PTZ"], KEYS[1:]),
        (["!PTZ", "!*/office"], ["baseline/highway", "shadow/bungalows"]),
        (["baseline/[h]*"], ["baseline/highway"]),
        (["*", "!turbulence"], KEYS),  # a category that this copy does not hold
    ],
)
def test_scenes_by_pattern(patterns: list[str], keys: list[str]) -> None:
    assert matching_scenes(KEYS, patterns, ["PTZ", "turbulence"]) == keys


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["baseline/higway"], r"--over scene: 'baseline/higway' .* Did you mean baseline/highway"),
        (["*", "!PTX"], r"--over scene: 'PTX' .* Did you mean PTZ"),
        (["PTZ", "!PTZ/zoom"], r"--over scene: .*PTZ,!PTZ/zoom"),
    ],
)
def test_scenes_that_are_not_there(patterns: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        matching_scenes(KEYS, patterns, ["PTZ"])


def test_runs_of_a_product() -> None:
    grid = {"scene": ["baseline/highway"], "seed": ["0", "1"], "model.init_args.lr": ["1e-3", "1e-4"]}
    runs = runs_of_grid(grid)
    assert [run.name for run in runs] == [
        f"baseline_highway_seed_{seed}_lr_{rate}" for seed in (0, 1) for rate in ("1e-3", "1e-4")
    ]
    assert runs[1].label == "baseline/highway, seed 0, lr 1e-4"
    assert runs[1].options == (
        "--data.init_args.scene=[baseline/highway]",
        "--data.init_args.seed=0",
        "--seed_everything=0",
        "--model.init_args.lr=1e-4",
    )
    assert [run.group for run in runs] == [
        "seed_0_lr_1e-3",
        "seed_0_lr_1e-4",
        "seed_1_lr_1e-3",
        "seed_1_lr_1e-4",
    ]
    assert [run.series for run in runs] == ["lr_1e-3", "lr_1e-4"] * 2


@pytest.mark.parametrize(
    ("grid", "names"),
    [
        ({"fold": ["1", "2"]}, ["fold_1", "fold_2"]),
        ({"root": ["/data/a", "b"]}, ["root_data_a", "root_b"]),
        ({"data.init_args.size": ["[32, 24]", "[64, 48]"]}, ["size_32_24", "size_64_48"]),
        ({"scene": ["shadow/a b"]}, ["shadow_a_b"]),
    ],
)
def test_names_of_directories(grid: dict[str, list[str]], names: list[str]) -> None:
    assert [run.name for run in runs_of_grid(grid)] == names


def test_runs_that_would_share_a_directory() -> None:
    with pytest.raises(UserError, match=r"'root a/b' and 'root a_b': .* root_a_b\."):
        runs_of_grid({"root": ["a/b", "a_b"]})


@pytest.mark.parametrize(
    ("scene", "name"),
    [
        (None, ""),
        ([], ""),
        ("*", ""),
        ("baseline/highway", "baseline_highway"),
        (["baseline/highway"], "baseline_highway"),
        (["baseline/h*", "!PTZ"], "baseline_h_PTZ"),
        ("../up", "up"),
    ],
)
def test_directory_of_a_run_by_its_scenes(scene: str | list[str] | None, name: str) -> None:
    assert scene_folder(scene) == name
    assert safe_name(name) == name


def of_section(folder: Path, content: Any) -> Listed:
    """Content of the key ``campaign`` of an experiment."""
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump({"campaign": content}, sort_keys=False))
    return runs_of_file(file)


def test_runs_of_an_experiment(tmp_path: Path) -> None:
    content = {
        "commands": ["test"],
        "runs": {
            "Boot strap": {"data.init_args.scene": "Wallflower/Bootstrap", "ckpt_path": "runs/a/last.ckpt"},
            "both": {"scene": ["a", "b"], "data.init_args.size": None, "model.init_args.lr": 0.001, "seed": 3},
            7: {"seed": 4},
        },
    }
    commands, _, runs = of_section(tmp_path, content)
    assert commands == ("test",)
    assert [(run.name, run.label) for run in runs] == [("Boot_strap", "Boot strap"), ("both", "both"), ("7", "7")]
    assert runs[0].options == ("--data.init_args.scene=[Wallflower/Bootstrap]", "--ckpt_path=runs/a/last.ckpt")
    assert runs[1].options == (
        "--data.init_args.scene=[a, b]",
        "--data.init_args.size=null",
        "--model.init_args.lr=0.001",
        "--data.init_args.seed=3",
        "--seed_everything=3",
    )


def test_experiment_without_runs(tmp_path: Path) -> None:
    assert of_section(tmp_path, {}) == (("fit", "test"), {}, [])
    assert of_section(tmp_path, None) == (("fit", "test"), {}, [])
    assert of_section(tmp_path, {"commands": ["fit"]}) == (("fit",), {}, [])


def test_runs_of_an_experiment_over_a_grid(tmp_path: Path) -> None:
    runs = {"a": {"model.init_args.lr": 0.1}, "b": {"model.init_args.lr": 0.2}}
    _, grid, listed = of_section(
        tmp_path, {"over": {"seed": [0, 1], "data.init_args.size": [[8, 6], None]}, "runs": runs}
    )
    assert grid == {"seed": ["0", "1"], "data.init_args.size": ["[8, 6]", "null"]}
    found = runs_of_grid({"seed": grid["seed"]}, listed)
    assert [run.name for run in found] == ["a_seed_0", "a_seed_1", "b_seed_0", "b_seed_1"]
    assert [run.label for run in found[:2]] == ["a, seed 0", "a, seed 1"]
    assert found[3].options == ("--model.init_args.lr=0.2", "--data.init_args.seed=1", "--seed_everything=1")
    assert [run.series for run in found] == ["a", "a", "b", "b"]
    folds = runs_of_grid({"fold": ["1", "2"]}, listed)
    assert [run.group for run in folds] == ["a", "a", "b", "b"]  # merged, each run's folds by themselves


def test_runs_that_start_from_other_experiments(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("{}")
    content = {"a": {"config": ["own.yaml", "mog2.yaml"], "seed": 1}, "b": {"config": "knn.yaml"}}
    first, second = of_section(tmp_path, {"runs": content}).runs
    assert first.files[0] == str(tmp_path / "own.yaml")
    assert [Path(file).name for file in (*first.files, *second.files)] == ["own.yaml", "mog2.yaml", "knn.yaml"]
    assert first.options == ("--data.init_args.seed=1", "--seed_everything=1")
    assert runs_of_grid({"seed": ["1"]}, [second])[0].files == second.files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x", r"campaign: .*'x'"),
        ({"members": {}}, r"campaign: members: is unknown"),
        ({"commands": "test"}, r"campaign: commands: .*'test'"),
        (
            {"commands": ["test", "fit"]},
            r"campaign: commands: .* got \['test', 'fit'\]",
        ),
        ({"runs": ["a"]}, r"campaign: runs: .*\['a'\]"),
        ({"runs": {"a": 1}}, r"campaign: runs\.a: .* got 1\."),
        ({"runs": {"a": {}}}, r"campaign: runs\.a: "),
        ({"runs": {"a/b": {"fold": 1}, "a_b": {"fold": 2}}}, r"'a/b' and 'a_b': .* a_b\."),
        ({"runs": {"..": {"fold": 1}}}, r"'\.\.': "),
        ({"runs": {"a": {"config": 3}}}, r"config .* got 3\b"),
        ({"runs": {"a": {"config": "mog.yaml"}}}, r"mog\.yaml: .*Did you mean mog2\.yaml"),
        ({"over": {"sed": [1]}}, r"campaign\.over: .*'sed'"),
        ({"over": {"seed": [1, 1]}}, r"campaign\.over: seed: .* 1 twice"),
        ({"over": {"seed": []}}, r"campaign: over\.seed: "),
    ],
)
def test_experiment_with_bad_runs(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        of_section(tmp_path, content)


def test_some_runs_alone() -> None:
    runs = runs_of_grid({"scene": KEYS[1:], "fold": ["1", "2"]})
    assert [each.name for each in choose(runs, "*fold_2,baseline/highway*")] == [
        "baseline_highway_fold_1",
        "baseline_highway_fold_2",
        "baseline_office_fold_2",
        "shadow_bungalows_fold_2",
    ]
    with pytest.raises(UserError, match=r"--only: .*'baseline_higway_fold_1'.* Did you mean baseline_highway"):
        choose(runs, "baseline_higway_fold_1")
    with pytest.raises(UserError, match=r"--only: .*'x'.* There are: baseline_highway_fold_1"):
        choose(runs, "x")
