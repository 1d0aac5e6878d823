"""Sweep files: enumeration and distributions are W&B's, and what it lets through is found."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sweeps.params import HyperParameter

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.runs.space import Choice, Range
from bgsub_lightning.runs.sweepfile import read_sweep
from sweeps import next_runs

COMMAND = ["${env}", "python", "-m", "bgsub_lightning", "fit", "--config", "tiny.yaml", "--config", "${args_json_file}"]
GRID: dict[str, Any] = {
    "method": "grid",
    "metric": {"name": "val/f_measure", "goal": "maximize"},
    "parameters": {
        "trainer": {"parameters": {"max_epochs": {"value": 3}}},
        "model": {
            "parameters": {
                "init_args": {
                    "parameters": {
                        "lr": {"values": [0.01, 0.001]},
                        "maps": {"min": 3, "max": 5},
                        "taus": {"values": [[1, 5], [], None]},
                    }
                }
            }
        },
        "data.init_args.flip": {"distribution": "q_uniform", "min": 0.0, "max": 0.75, "q": 0.25},
    },
    "command": COMMAND,
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "sweep.yaml"
    content = {key: value for key, value in {**GRID, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def error(folder: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as raised:
        read_sweep(written(folder, **changes))
    assert str(folder / "sweep.yaml") in str(raised.value)
    return str(raised.value)


def of(folder: Path, given: Any, method: str = "random") -> Choice | Range:
    return read_sweep(written(folder, method=method, parameters={"a.b": given})).parameters["a.b"]


def test_grid_is_that_of_wandb(tmp_path: Path) -> None:
    sweep = read_sweep(written(tmp_path))
    ours = [sweep.values(point) for point in sweep.grid]
    runs = [run for run in next_runs(GRID, [], n=1000) if run is not None]
    theirs = []
    for run in runs:
        config = {key: value["value"] for key, value in run.config.items()}
        model = {f"model.init_args.{key}": value for key, value in config["model"]["init_args"].items()}
        flip = {"data.init_args.flip": config["data.init_args.flip"]}
        theirs.append({"trainer.max_epochs": config["trainer"]["max_epochs"], **model, **flip})
    assert len(ours) == 2 * 3 * 3 * 3
    assert sorted(map(repr, (sorted(each.items()) for each in ours))) == sorted(
        map(repr, (sorted(each.items()) for each in theirs))
    )


@pytest.mark.parametrize(
    "given",
    [
        {"min": 0.5, "max": 2.5},
        {"min": 0, "max": 1.5},
        {"distribution": "uniform", "min": 1, "max": 3},
        {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
        {"distribution": "log_uniform", "min": -9.0, "max": -2.0},
        {"distribution": "q_uniform", "min": 0.0, "max": 3.0, "q": 0.5},
        {"distribution": "q_uniform", "min": 0, "max": 30, "q": 8},
        {"distribution": "q_log_uniform_values", "min": 4, "max": 256, "q": 4},
        {"distribution": "q_log_uniform", "min": 0.0, "max": 5.0},
    ],
    ids=str,
)
def test_ranges_are_those_of_wandb(given: dict[str, Any], tmp_path: Path) -> None:
    """The same number in [0, 1) gives the same value by W&B's own engine."""
    ours, theirs = of(tmp_path, given), HyperParameter("a", given)
    for uniform in np.linspace(0.003, 0.997, 41).tolist():
        assert ours.value(ours.draw(uniform)) == pytest.approx(float(theirs.ppf(uniform)), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        ({"distribution": "inv_log_uniform", "min": 2.0, "max": 5.0}, np.exp(-5), np.exp(-2)),
        ({"distribution": "inv_log_uniform_values", "min": 0.01, "max": 1.0}, 0.01, 1.0),
    ],
    ids=str,
)
def test_inverse_ranges_are_those_of_wandb(given: dict[str, Any], low: float, high: float, tmp_path: Path) -> None:
    """The logarithm of 1/x is uniform, and so is that of x."""
    ours, theirs = of(tmp_path, given), HyperParameter("a", given)
    assert (ours.draw(0.0), ours.draw(1.0)) == (pytest.approx(low), pytest.approx(high))
    values = [float(theirs.ppf(uniform)) for uniform in np.linspace(0.003, 0.997, 41).tolist()]
    drawn = [ours.draw(uniform) for uniform in np.linspace(0.003, 0.997, 41).tolist()]
    assert sorted(values) == pytest.approx(sorted(drawn))


def test_whole_numbers_and_their_types(tmp_path: Path) -> None:
    whole = of(tmp_path, {"min": 2, "max": 4})
    assert [whole.draw(uniform) for uniform in (0.0, 0.33, 0.34, 0.66, 0.67, 0.999)] == [2, 2, 3, 3, 4, 4]
    eights = of(tmp_path, {"distribution": "q_log_uniform_values", "min": 8, "max": 64, "q": 8})
    assert isinstance(eights.value(eights.draw(0.4)), int)
    tenths = of(tmp_path, {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.1})
    assert tenths.value(0.31) == 0.3  # and not 0.30000000000000004
    assert isinstance(of(tmp_path, {"min": 0, "max": 1.0}).draw(0.5), float)


def test_choices_are_drawn_by_their_probabilities(tmp_path: Path) -> None:
    choice = of(tmp_path, {"values": ["a", None, [1, 2]], "probabilities": [0.5, 0.0, 0.5]})
    drawn = [choice.value(choice.draw(uniform)) for uniform in (0.0, 0.49, 0.5, 0.99)]
    assert drawn == ["a", "a", [1, 2], [1, 2]]
    assert choice.labels == ["a", None, "[1, 2]"]  # what a study can store
    assert "with probabilities" in str(choice)


def test_a_trial_draws_the_same_whoever_draws_it(tmp_path: Path) -> None:
    sweep = read_sweep(written(tmp_path, method="random"))
    assert sweep.drawn(3) == sweep.drawn(3)
    assert len({repr(sweep.drawn(number)) for number in range(20)}) > 15


def test_options_are_what_fit_reads(tmp_path: Path) -> None:
    sweep = read_sweep(written(tmp_path))
    assert sweep.options == ("--config=tiny.yaml",)
    assert sweep.options_of(sweep.grid[8]) == [
        "--trainer.max_epochs=3",
        "--model.init_args.lr=0.01",
        "--model.init_args.maps=3",
        "--model.init_args.taus=null",
        "--data.init_args.flip=0.5",
    ]
    assert sweep.label(sweep.grid[8]) == "lr 0.01, maps 3, taus null, flip 0.5"
    assert sweep.folder(8, sweep.grid[8]) == "lr_0.01_maps_3_taus_null_flip_0.5"


def test_names_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    two = {"values": [1, 2]}
    names = ("model.init_args.metric.lr", "model.init_args.segment.lr", "data.init_args.fold")
    sweep = read_sweep(written(tmp_path, parameters=dict.fromkeys(names, two)))
    assert list(sweep.short_names.values()) == ["metric.lr", "segment.lr", "fold"]


@pytest.mark.parametrize(
    ("given", "first", "eta", "strict"),
    [
        ({"min_iter": 3}, 3, 3, True),
        ({"min_iter": 2, "eta": 4, "strict": False}, 2, 4, False),
        ({"max_iter": 27, "s": 2}, 3, 3, True),
        ({"max_iter": 16, "s": 3, "eta": 2}, 2, 2, True),
        ({"max_iter": 4, "s": 9, "eta": 2}, 1, 2, True),
    ],
)
def test_hyperband(given: dict[str, Any], first: int, eta: int, strict: bool, tmp_path: Path) -> None:
    band = read_sweep(written(tmp_path, early_terminate={"type": "hyperband", **given})).hyperband
    assert band is not None
    assert (band.first, band.eta, band.strict) == (first, eta, strict)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": None}, "is no sweep file"),
        ({"method": "genetic"}, "method: must be 'grid', 'random' or 'bayes'; got 'genetic'"),
        ({"paramters": {}}, "paramters: is unknown. Did you mean parameters"),
        ({"job": "x"}, "job: is unknown"),
        ({"metric": None}, "metric: is missing"),
        (
            {"metric": {"name": "val/f_measure", "goal": "more"}},
            "metric.goal: must be 'minimize' or 'maximize'; got 'more'",
        ),
        ({"metric": {"name": "val/f_measure", "target": 0.9}}, "metric.target: is unknown"),
        ({"metric": {"name": "test/f_measure"}}, "got 'test/f_measure'. Choose by validation"),
        ({"run_cap": 0}, "run_cap: must be greater than or equal to 1; got 0"),
        ({"run_cap": True}, "run_cap: must be a valid integer; got True"),
        ({"parameters": {}}, "parameters: "),
        ({"parameters": {"model": {"parameters": {}}}}, "parameters.model: must hold a parameter; got {}"),
        ({"early_terminate": "hyperband"}, "got 'hyperband'. Give `type: hyperband`"),
        ({"early_terminate": {"type": "hyperband", "mini": 3}}, "early_terminate.mini: is unknown"),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 0}},
            "early_terminate.min_iter: must be greater than or equal to 1; got 0",
        ),
        ({"early_terminate": {"type": "hyperband", "max_iter": 9, "s": 10**6}}, "early_terminate.s: "),
        ({"method": ["grid"]}, "method: "),
        ({"metric": {"name": "val/x", "goal": []}}, "metric.goal: "),
        (
            {"parameters": {f"p{i}": {"values": list(range(50))} for i in range(9)}},
            f"parameters: a grid must have at most 10,000 points; got {50**9:,}",
        ),
        ({"parameters": {"x": {"min": 0, "max": 10**12}}}, "10,000 points"),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1.5}},
            "early_terminate.eta: must be a valid integer; got 1.5",
        ),
        (
            {"early_terminate": {"type": "hyperband", "max_iter": 9}},
            "early_terminate: must have min_iter, or max_iter and s",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_run(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert message in error(tmp_path, **changes)


@pytest.mark.parametrize(
    ("given", "message", "method"),
    [
        (3, "must hold values; got 3", "random"),
        ({"values": []}, "values: must have at least 1 item; got []", "random"),
        ({"values": [1, 2, 1]}, "values: each must differ; got 1 twice", "random"),
        ({"value": date(2024, 1, 31)}, "date", "random"),
        ({"values": [1, b"x"]}, "b'x'", "random"),
        (
            {"values": [1, 2], "probabilities": [1.0]},
            "probabilities: must be 2 numbers from 0, one a value; got [1.0]",
            "random",
        ),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]}, "probabilities need `method: random`; got bayes", "bayes"),
        ({"value": 1, "max": 2}, "max: is unknown. constant has value.", "random"),
        ({"min": 1}, "max: is missing", "random"),
        ({"min": 0.0, "max": float("inf")}, "max: must be a finite number; got inf", "random"),
        ({"min": 0, "max": 10**400}, "max: ", "random"),
        ({"values": [1, 2], "probabilities": 5}, "probabilities: must be a valid list; got 5", "random"),
        ({"values": [1, 2], "probabilities": ["a", 1]}, "probabilities.0: must be a finite number; got 'a'", "random"),
        ({"values": [1, 2], "distribution": []}, "distribution: is unknown; got []", "random"),
        ({"distribution": "log_uniform", "min": 0.0, "max": 1e6}, "max: ", "random"),
        ({"distribution": "unifrom", "min": 0, "max": 1}, "Did you mean uniform", "random"),
        ({"distribution": "normal"}, "normal: has no bounds, and Optuna searches bounded ranges", "bayes"),
        ({"min": 0.0, "max": "1e-4"}, "max: must be a finite number; got '1e-4'. ", "random"),
        (
            {"distribution": "int_uniform", "min": 0, "max": 1.5},
            "min, max: must be whole numbers; got 0 and 1.5",
            "random",
        ),
        ({"min": 3, "max": 2}, "min: must not be above max; got 3 and 2", "random"),
        ({"min": 1.0, "max": 1.0}, "min: must be below max; got 1.0 and 1.0", "random"),
        (
            {"distribution": "log_uniform_values", "min": 0.0, "max": 1.0},
            "min: must be above 0 for a logarithm; got 0.0",
            "random",
        ),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "q: must be greater than 0; got 0", "random"),
        ({"min": 0.0, "max": 1.0}, "a grid has no end over a range of floats", "grid"),
        ({"distribution": "log_uniform_values", "min": 1, "max": 9}, "a grid has no end over a range", "grid"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_searched(given: Any, message: str, method: str, tmp_path: Path) -> None:
    output = error(tmp_path, method=method, parameters={"model": {"parameters": {"lr": given}}})
    assert message in output
    assert "parameters.model.lr" in output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (None, "command: is missing"),
        ("python train.py", "command: must be a valid list; got 'python train.py'"),
        (["python", "train.py", "${args}"], "command: is no `fit` with the parameters; got python train.py "),
        (
            [*COMMAND[:4], "test", *COMMAND[5:]],
            "command: is no `fit` with the parameters; got '${env}' python -m bgsub_lightning test ",
        ),
        ([*COMMAND[:7], "--config", "${args_jsn_file}"], "is no macro of W&B. Did you mean args_json_file"),
        ([*COMMAND[:7], "${args}"], "command: is no `fit` with the parameters; got "),
        ([*COMMAND[:7], "${args_no_boolean_flags}"], "command: is no `fit` with the parameters; got "),
        (COMMAND[:7], "command: is no `fit` with the parameters; got "),
        ([*COMMAND[:5], *COMMAND[7:9], *COMMAND[5:7]], "command: is no `fit` with the parameters; got "),
        ([*COMMAND[:5], "--seed_everything=1", *COMMAND[5:]], "command: is no `fit` with the parameters; got "),
        ([*COMMAND, "--run_dir=x"], "command: --run_dir=x: "),
        ([*COMMAND, "${args}"], "command: ${args}: "),
        ([*COMMAND, "--trainer.max_epochs=2"], "command: sets trainer.max_epochs"),
    ],
    ids=str,
)
def test_commands_that_do_not_work(command: Any, message: str, tmp_path: Path) -> None:
    assert message in error(tmp_path, command=command)


def test_files_that_are_none(tmp_path: Path) -> None:
    for content, message in (("a: [", "is no YAML"), ("- 1", "is no sweep file"), ("model: {}", "is no sweep file")):
        (tmp_path / "x.yaml").write_text(content)
        with pytest.raises(UserError, match=message):
            read_sweep(tmp_path / "x.yaml")
    with pytest.raises(UserError, match=r"none\.yaml"):
        read_sweep(tmp_path / "none.yaml")
