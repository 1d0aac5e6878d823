"""What the members of a campaign are."""

from __future__ import annotations

from typing import Any

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import safe_name
from bgsub_lightning.runs.grid import (
    choose,
    matching_scenes,
    members_of_file,
    members_over,
    parse_over,
    split_values,
)
from bgsub_lightning.training.cli import scene_folder

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
    assert parse_over(text) == (name, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold", r"--over: 'fold' must be NAME=VALUE"),
        ("fold=", r"--over: 'fold=' must be NAME=VALUE"),
        ("=1,2", r"--over: '=1,2' must be NAME=VALUE"),
        ("fold=1,,2", r"--over: 'fold=1,,2' must be NAME=VALUE"),
        ("lr=1e-3", r"--over: 'lr' is none of root, store, scene, fold, seed\. .* model\.init_args\.lr"),
        ("fold=1,2,1", r"--over: fold: 1 is there twice"),
    ],
)
def test_option_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_over(text)


def test_unbalanced_brackets_are_left_to_the_parser_of_the_member() -> None:
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
        (["PTZ", "!PTZ/zoom"], r"--over scene: PTZ,!PTZ/zoom takes out every scene"),
    ],
)
def test_scenes_that_are_not_there(patterns: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        matching_scenes(KEYS, patterns, ["PTZ"])


def test_members_of_a_product() -> None:
    over = {"scene": ["baseline/highway"], "seed": ["0", "1"], "model.init_args.lr": ["1e-3", "1e-4"]}
    members = members_over(over)
    assert [member.name for member in members] == [
        f"baseline_highway_seed_{seed}_lr_{rate}" for seed in (0, 1) for rate in ("1e-3", "1e-4")
    ]
    assert members[1].label == "baseline/highway, seed 0, lr 1e-4"
    assert members[1].options == (
        "--data.init_args.scene=[baseline/highway]",
        "--data.init_args.seed=0",
        "--seed_everything=0",
        "--model.init_args.lr=1e-4",
    )
    assert [member.group for member in members] == [
        "seed_0_lr_1e-3",
        "seed_0_lr_1e-4",
        "seed_1_lr_1e-3",
        "seed_1_lr_1e-4",
    ]
    assert [member.series for member in members] == ["lr_1e-3", "lr_1e-4"] * 2


@pytest.mark.parametrize(
    ("over", "names"),
    [
        ({"fold": ["1", "2"]}, ["fold_1", "fold_2"]),
        ({"root": ["/data/a", "b"]}, ["root_data_a", "root_b"]),
        ({"data.init_args.size": ["[32, 24]", "[64, 48]"]}, ["size_32_24", "size_64_48"]),
        ({"scene": ["shadow/a b"]}, ["shadow_a_b"]),
    ],
)
def test_names_of_directories(over: dict[str, list[str]], names: list[str]) -> None:
    assert [member.name for member in members_over(over)] == names


def test_members_that_would_share_a_directory() -> None:
    with pytest.raises(UserError, match=r"'root a/b' and 'root a_b' would share the directory root_a_b"):
        members_over({"root": ["a/b", "a_b"]})


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


def test_members_of_an_experiment() -> None:
    commands, members = members_of_file(
        {
            "commands": ["test"],
            "members": {
                "Boot strap": {"data.init_args.scene": "Wallflower/Bootstrap", "ckpt_path": "runs/a/last.ckpt"},
                "both": {"scene": ["a", "b"], "data.init_args.size": None, "model.init_args.lr": 0.001, "seed": 3},
            },
        }
    )
    assert commands == ("test",)
    assert [(member.name, member.label) for member in members] == [("Boot_strap", "Boot strap"), ("both", "both")]
    assert members[0].options == ("--data.init_args.scene=[Wallflower/Bootstrap]", "--ckpt_path=runs/a/last.ckpt")
    assert members[1].options == (
        "--data.init_args.scene=[a, b]",
        "--data.init_args.size=null",
        "--model.init_args.lr=0.001",
        "--data.init_args.seed=3",
        "--seed_everything=3",
    )


def test_experiment_without_members() -> None:
    assert members_of_file({}) == (("fit", "test"), [])
    assert members_of_file(None) == (("fit", "test"), [])
    assert members_of_file({"commands": ["fit"]}) == (("fit",), [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x", r"campaign: may hold the keys commands and members, got 'x'"),
        ({"member": {}}, r"campaign: may hold the keys commands and members, got member"),
        ({"commands": "test"}, r"campaign\.commands: must be \[fit, test\], \[fit\] or \[test\], got test"),
        ({"commands": ["test", "fit"]}, r"campaign\.commands"),
        ({"members": ["a"]}, r"campaign\.members: must hold a name for each member"),
        ({"members": {"a": 1}}, r"campaign\.members"),
        ({"members": {"a/b": {"fold": 1}, "a_b": {"fold": 2}}}, r"'a/b' and 'a_b' would share the directory a_b"),
        ({"members": {"..": {"fold": 1}}}, r"'\.\.' cannot be the name of a directory"),
    ],
)
def test_experiment_with_bad_members(content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        members_of_file(content)


def test_some_members_alone() -> None:
    members = members_over({"scene": KEYS[1:], "fold": ["1", "2"]})
    assert [each.name for each in choose(members, "*fold_2,baseline/highway*")] == [
        "baseline_highway_fold_1",
        "baseline_highway_fold_2",
        "baseline_office_fold_2",
        "shadow_bungalows_fold_2",
    ]
    with pytest.raises(
        UserError, match=r"--only: 'baseline_higway_fold_1' is no member .* Did you mean baseline_highway"
    ):
        choose(members, "baseline_higway_fold_1")
    with pytest.raises(
        UserError, match=r"--only: 'x' is no member of this campaign\. There are: baseline_highway_fold_1"
    ):
        choose(members, "x")
