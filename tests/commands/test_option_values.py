"""Values of options that make no sense end a command in one line, before anything is written or takes time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bgsub_lightning import cli
from bgsub_lightning.cli import main
from bgsub_lightning.core.parser import PlainParser
from bgsub_lightning.training.parser import TrainingParser

Run = Callable[..., int]
Fails = Callable[[int], str]


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        ("--trainer.max_steps=-5", "trainer.max_steps", "-5"),
        ("--trainer.max_epochs=-7", "trainer.max_epochs", "-7"),
        ("--trainer.min_steps=-1", "trainer.min_steps", "-1"),
        ("--trainer.devices=0", "trainer", "0"),
        ("--trainer.devices=99", "trainer.devices", "99"),
        ("--trainer.devices=-3", "trainer", "devices"),
        ("--trainer.num_nodes=0", "trainer.num_nodes", "0"),
        ("--trainer.accelerator=tpu", "trainer", "xla"),
        ("--trainer.accelerator=abacus", "trainer", "abacus"),
        ("--trainer.strategy=plan", "trainer", "plan"),
        ("--trainer.val_check_interval=0", "trainer.val_check_interval", "0"),
        ("--trainer.val_check_interval=1.5", "trainer.val_check_interval", "1.5"),
        ("--trainer.val_check_interval=.nan", "trainer.val_check_interval", "nan"),
        ("--trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch", "0"),
        ("--trainer.limit_val_batches=-1", "trainer.limit_val_batches", "-1"),
        ("--trainer.limit_train_batches=1.5", "trainer.limit_train_batches", "1.5"),
        ("--trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches", "0"),
        ("--trainer.gradient_clip_val=-1", "trainer.gradient_clip_val", "-1"),
        ("--trainer.log_every_n_steps=-1", "trainer.log_every_n_steps", "-1"),
        ("--trainer.num_sanity_val_steps=-2", "trainer.num_sanity_val_steps", "-2"),
        ("--trainer.profiler=sampler", "trainer", "profiler"),
        ("--seed_everything=-1", "seed_everything", "-1"),
        ("--seed_everything=4294967296", "seed_everything", "4294967296"),
        ("--data.init_args.seed=-1", "data.init_args.seed", "-1"),
        ("--data.init_args.num_workers=-1", "data.init_args.num_workers", "-1"),
        ("--data.init_args.size=[-5,100]", "data.init_args.size", "-5"),
        ("--model.init_args.channels=0", "model.init_args.channels", "0"),
        ("--model.init_args.channels=100000000000", "parameters", "BmnBsn"),
        ("--model.init_args.depth=50", "model.init_args.depth", "50"),
        ("--model.init_args.references=0", "model.init_args.references", "0"),
        ("--model.init_args.lr=-1", "model.init_args.lr", "-1"),
        ("--model.init_args.lr=.nan", "model.init_args.lr", "nan"),
        ("--best.monitor=nope", "best.monitor", "nope"),
        ("--best.mode=up", "best.mode", "up"),
        ("--early_stopping.patience=0", "early_stopping.patience", "0"),
        ("--last.every_n_train_steps=0", "last.every_n_train_steps", "0"),
        ("--trainer={max_steps: 1, max_steps: 2}", "max_steps", "twice"),
        ("--trainer=[&a [*a]]", "YAML", "itself"),
    ],
)
def test_training(run: Run, fails: Fails, tmp_path: Path, option: str, key: str, value: str) -> None:
    message = fails(run("fit", option))
    assert key in message
    assert value in message
    assert len(message.partition("\nAll options")[0].strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


class Limited:
    """A class whose options may be a count or a share, in either order of the two types."""

    def __init__(self, first: int | float | None = None, last: float | int | None = None) -> None:
        self.limits = first, last


@pytest.mark.parametrize("kind", [PlainParser, TrainingParser])
@pytest.mark.parametrize("value", [1, 1.0, 7, 0.5, None])
def test_a_count_does_not_become_a_share(kind: type[PlainParser], value: float | None) -> None:
    parser = kind()
    parser.add_class_arguments(Limited, "group")
    parser.add_subclass_arguments(Limited, "class")
    parser.add_argument("--single", type=float | int | None)
    text = json.dumps(value)
    options = [f"--{section}.{name}={text}" for section in ("group", "class") for name in ("first", "last")]
    found = parser.parse_args([f"--class={__name__}.Limited", *options, f"--single={text}"])
    values = [*vars(found["group"]).values(), *vars(found["class"].init_args).values(), found["single"]]
    assert [repr(each) for each in values] == [repr(value)] * 5


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (BOMB.encode(), "aliases"),
        (b"trainer: {}\ntrainer: {max_steps: 1}", "trainer"),
        (b"name: \xff", "xff"),
        (b"a: &a [*a]", "itself"),
        (b"[" * 5000, "nesting"),
        (b"name: !!python/name:os.system", "python/name"),
    ],
)
@pytest.mark.parametrize("is_included", [False, True])
def test_configuration(fails: Fails, tmp_path: Path, content: bytes, expected: str, is_included: bool) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    (tmp_path / "top.yaml").write_text("config: x.yaml")
    message = fails(main(["fit", "--config", str(tmp_path / "top.yaml" if is_included else file)]))
    assert message.startswith(f"error: {file}: ")
    assert expected in message
    assert len(message.splitlines()) == 1


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the command ``report`` fail by an error."""

    def report(paths: list[Path]) -> None:
        raise error

    monkeypatch.setattr("bgsub_lightning.commands.report.report", report)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device", "/x/y"), "/x/y"),
        (PermissionError(13, "Permission denied", "/x/y"), "Permission denied"),
        (UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "invalid"), r"\xff"),
        (MemoryError("Unable to allocate 2 PiB"), "2 PiB"),
    ],
)
def test_what_the_machine_says(monkeypatch: pytest.MonkeyPatch, fails: Fails, error: Exception, expected: str) -> None:
    failing(monkeypatch, error)
    message = fails(main(["report", "x"]))
    assert expected in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("error", [ValueError("a mistake"), KeyError("x"), RecursionError(), RuntimeError("of ours")])
def test_mistakes_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    failing(monkeypatch, error)
    with pytest.raises(type(error)):
        cli.main(["report", "x"])
