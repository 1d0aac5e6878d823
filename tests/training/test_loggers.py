"""Loggers that `--trainer.logger` names."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Run = Callable[..., int]
Fails = Callable[[int], str]


def events(folder: Path) -> EventAccumulator:
    (file,) = folder.rglob("events.out.tfevents.*")
    return EventAccumulator(str(file)).Reload()


def logged(run_dir: Path, name: str) -> list[tuple[int, float]]:
    with (run_dir / "csv/version_0/metrics.csv").open() as file:
        return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file) if row[name]]


def test_tensorboard_has_what_the_csv_has_and_the_pictures(run: Run, tmp_path: Path) -> None:
    assert run("fit", "--trainer.logger=TensorBoardLogger", "--trainer.logger.name=board") == 0
    found = events(tmp_path / "run/board")
    for name in ("train/loss/total", "val/f_measure", "val/pwc"):
        shown = [(event.step, event.value) for event in found.Scalars(name)]
        expected = logged(tmp_path / "run", name)
        assert [step for step, _ in shown] == [step for step, _ in expected]
        assert [value for _, value in shown] == pytest.approx([value for _, value in expected])
    pictures = {name: [picture.step for picture in found.Images(name)] for name in found.Tags()["images"]}
    assert pictures == {"validation": [9, 18], "validation_background": [9, 18]}
    kept = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["trainer"]["logger"]["init_args"]
    assert kept["save_dir"] is None  # whoever takes this configuration has their own run directory


def test_a_list_of_loggers_and_a_folder(run: Run, tmp_path: Path) -> None:
    board = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(tmp_path / "boards")}}
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump({"trainer": {"logger": ["CSVLogger", board]}}))
    assert run("fit", f"--config={more}", "--trainer.max_steps=1", "--trainer.limit_val_batches=0") == 0
    assert events(tmp_path / "boards").Scalars("train/loss/total")
    assert len(list((tmp_path / "run").glob("*/version_0/metrics.csv"))) == 2


@pytest.mark.parametrize(("given", "logs"), [("true", 1), ("false", 0)])
def test_the_suites_own_loggers_or_no_logger(run: Run, tmp_path: Path, given: str, logs: int) -> None:
    assert run("fit", f"--trainer.logger={given}", "--trainer.max_steps=1", "--trainer.limit_val_batches=0") == 0
    assert len(list(tmp_path.rglob("metrics.csv"))) == logs
    assert not list(tmp_path.rglob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("logger", "package", "checks"),
    [
        ("MLFlowLogger", "mlflow", ["lightning.pytorch.loggers.mlflow._MLFLOW_AVAILABLE"]),
        (
            "TensorBoardLogger",
            "tensorboard",
            [f"lightning.fabric.loggers.tensorboard._TENSORBOARD{each}_AVAILABLE" for each in ("", "X")],
        ),
    ],
)
def test_a_package_that_is_missing(
    run: Run,
    tmp_path: Path,
    fails: Fails,
    monkeypatch: pytest.MonkeyPatch,
    logger: str,
    package: str,
    checks: list[str],
) -> None:
    for check in checks:
        monkeypatch.setattr(check, Absent(package))
    message = fails(run("fit", f"--trainer.logger={logger}"))
    assert len(message.splitlines()) == 1
    for part in ("trainer.logger: ", logger, f"pip install {package}"):
        assert part in message
    assert not (tmp_path / "run").exists()


class Absent:
    """Lightning's view of a package that is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"Module not found: {self.package!r}. HINT: Try running `pip install -U {self.package}`"


@pytest.mark.parametrize("logger", ["NoSuchLogger", "no.such.Logger", "pathlib.Path", "5"])
def test_what_is_no_logger(run: Run, fails: Fails, logger: str) -> None:
    message = fails(run("fit", f"--trainer.logger={logger}"))
    assert message.startswith("error: trainer.logger: ")
    assert "Expected" not in message
