"""The fence around private names of other packages: each does what it is used for, and none is used elsewhere."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

import bgsub_lightning
from bgsub_lightning.core.compat import jsonargparse as compat_jsonargparse
from bgsub_lightning.core.compat import lightning as compat_lightning
from bgsub_lightning.core.compat import torch as compat_torch
from bgsub_lightning.core.compat.processes import is_starting
from bgsub_lightning.core.compat.warnings import EXPECTED, Expected, quiet
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.parser import PlainParser

PUBLIC = {"_exit", "_replace"}
"""Names that are documented, in spite of their underscore."""

OWN = {"self", "cls", "super()"}

pytestmark = pytest.mark.filterwarnings(*(f"ignore:{each.message}" for each in EXPECTED))


# --- no private name elsewhere ---------------------------------------------------------------------------------------


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(bgsub_lightning.__path__, "bgsub_lightning."):
        if ".core.compat" not in found.name and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names(tree: ast.AST) -> set[str]:
    """The private names that a module defines: functions, classes, variables, attributes that it sets on ``self``."""
    names = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    }
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


def foreign_bases(kind: type) -> list[type]:
    skipped = ("bgsub_lightning", "builtins", "typing", "abc", "enum")
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in skipped]


@pytest.fixture(scope="module")
def trees() -> dict[ModuleType, ast.Module]:
    return {module: ast.parse(inspect.getsource(module)) for module in modules()}


def test_no_other_module_reaches_for_a_private_name_of_another_package(trees: dict[ModuleType, ast.Module]) -> None:
    known = PUBLIC.union(*(own_names(tree) for tree in trees.values()))
    found: list[tuple[str, str]] = []
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("bgsub_lightning"):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in OWN:
                names = [node.attr] if node.attr not in known else []
            else:
                continue
            found += [(module.__name__, ast.unparse(node)) for name in names if is_private(name)]
    assert not found


def test_no_other_class_uses_or_overrides_what_is_private_to_a_base_of_another_package(
    trees: dict[ModuleType, ast.Module],
) -> None:
    found: list[tuple[str, str, str]] = []
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                kind = getattr(module, node.name)
                parts = [part for part in ast.walk(node) if isinstance(part, ast.Attribute)]
                used = {part.attr for part in parts if ast.unparse(part.value) in OWN} | vars(kind).keys()
                sources = "".join(source_of(base) for base in foreign_bases(kind))
                found += [
                    (module.__name__, node.name, name)
                    for name in filter(is_private, used)
                    if re.search(rf"def {name}\(|self\.{name}\b", sources)
                ]
    assert not found


@cache
def source_of(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # of a module that is written in C
        return ""


# --- Lightning -------------------------------------------------------------------------------------------------------


class Line(LightningModule):
    """A line, learnt from eight batches of one point each."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.line(batch).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fitted(folder: Path, *callbacks: Callback, **settings: Any) -> Trainer:
    points = DataLoader(torch.ones(8, 1), num_workers=0)
    quiet_ = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **{**quiet_, **settings},
    )
    trainer.fit(Line(), points, points)
    return trainer


class Watcher(Callback):
    """Notes after each training batch what some function says of the trainer."""

    def __init__(self, question: Callable[[Trainer], Any]) -> None:
        self.question = question
        self.answers: list[Any] = []

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.answers.append(self.question(trainer))


def test_within_a_step_of_several_batches(tmp_path: Path) -> None:
    watcher = Watcher(compat_lightning.is_within_step)
    fitted(tmp_path, watcher, accumulate_grad_batches=3)
    assert watcher.answers == [True, True, False] * 2 + [True, False]  # the last batch ends a step


def test_when_a_validation_follows(tmp_path: Path) -> None:
    watcher = Watcher(compat_lightning.validates_next)
    fitted(tmp_path, watcher, val_check_interval=4)
    assert watcher.answers == ([False] * 3 + [True]) * 2


def test_logged_values_that_are_dropped_are_not_logged_again(tmp_path: Path) -> None:
    class Log(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, _: Any, batch_idx: int) -> None:
            if batch_idx == 0:
                pl_module.log("first", 1.0)
            if batch_idx == 2:
                compat_lightning.clear_logged(trainer)

    logged: list[set[str]] = []

    class Logger(DummyLogger):
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            logged.append(set(metrics))

    fitted(tmp_path, Log(), logger=Logger(), log_every_n_steps=1)
    assert sum("first" in each for each in logged) == 2


def test_parameters_without_a_gradient() -> None:
    strategy = DDPStrategy()
    assert not compat_lightning.finds_unused_parameters(strategy)
    compat_lightning.find_unused_parameters(strategy)
    assert compat_lightning.finds_unused_parameters(strategy)
    assert compat_lightning.finds_unused_parameters(StrategyRegistry.get("ddp_find_unused_parameters_true"))


def test_cluster_environment_of_one_process() -> None:
    given = LightningEnvironment()
    trainer = Trainer(accelerator="cpu", devices=1, plugins=[given], logger=False, enable_checkpointing=False)
    assert compat_lightning.cluster_environment(trainer) is given


def test_wandb_is_not_given_what_it_warns_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("wandb.init", lambda **settings: given.update(settings))
    logger = compat_lightning.without_anonymous(WandbLogger(save_dir=tmp_path, id="one", offline=True))
    assert logger.experiment is None
    assert given["id"] == "one"
    assert "anonymous" not in given


def test_text_before_the_progress_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Bar(compat_lightning.EpochProgressBar):
        def describe_epoch(self, epoch: int) -> str:
            return f"turn {epoch + 1}"

    fitted(tmp_path, Bar(), enable_progress_bar=True)
    assert "turn 1" in capsys.readouterr().out


def test_log_with_another_writer(tmp_path: Path) -> None:
    class Writer(compat_lightning.CsvWriter):
        rewritten: list[str]

        def rewrite(self, columns: list[str]) -> None:
            self.rewritten = columns

    log = compat_lightning.CsvLog(tmp_path)
    assert log.writer is None
    writer = Writer(log.log_dir)
    assert log.set_writer(writer) is log.writer is log.experiment is writer
    for key in ("a", "b"):
        log.log_metrics({key: 1.0}, 0)
        log.save()
    assert writer.rewritten == ["a", "b", "step"]


class CommandLine(compat_lightning.CommandLine):
    def before_seeding(self) -> None:
        self.config.fit.seed_everything = 7


class Parsed(CommandLine):
    parses_only = True

    def instantiate_classes(self) -> None:
        self.trainer = None


def command_line(kind: type[CommandLine], folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> CommandLine:
    monkeypatch.setattr(sys, "argv", ["program"])
    given = ["--trainer.logger=false", "--trainer.accelerator=cpu", "--trainer.limit_train_batches=0", *options]
    return kind(
        BoringModel,
        save_config_callback=None,
        trainer_defaults={"default_root_dir": str(folder), "enable_checkpointing": False, "max_epochs": 1},
        args=["fit", *given],
    )


def test_command_line_that_seeds_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = command_line(CommandLine, tmp_path, monkeypatch, "--trainer.enable_progress_bar=false")
    assert cli.trainer.state.finished
    assert torch.initial_seed() == 7


def test_command_line_that_only_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    cli = command_line(Parsed, tmp_path, monkeypatch, "--trainer.max_steps=9")
    assert cli.trainer is None
    assert cli.config.fit.trainer.max_steps == 9
    assert torch.initial_seed() == 3


def test_checkpoint_does_not_change_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"hyper_parameters": {"no_such": 1}}, tmp_path / "some.ckpt")
    cli = command_line(Parsed, tmp_path, monkeypatch, f"--ckpt_path={tmp_path / 'some.ckpt'}")
    assert cli.config.fit.ckpt_path == str(tmp_path / "some.ckpt")


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def test_count_of_a_process_group(tmp_path: Path) -> None:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert [compat_torch.count_in_group("key") for _ in range(3)] == [1, 2, 3]
    finally:
        torch.distributed.destroy_process_group()


def test_rates_of_a_schedule() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)
    schedule = LambdaLR(optimizer, lambda step: 1.0)
    compat_torch.set_last_rates(schedule, [0.3])
    assert schedule.get_last_lr() == [0.3]


def test_counted_operations_are_counted_and_not_carried_out() -> None:
    image, kernel = torch.ones(1, 2, 8, 8), torch.ones(3, 2, 3, 3)
    with compat_torch.ZerosForCounted(), FlopCounterMode(display=False) as counter:  # type: ignore[no-untyped-call]
        found = torch.nn.functional.conv2d(image, kernel) + 1
    assert counter.get_total_flops() == 2 * 3 * 6 * 6 * 2 * 9
    assert torch.equal(found, torch.ones(1, 3, 6, 6))


# --- Optuna ----------------------------------------------------------------------------------------------------------


def test_trial_that_another_process_began() -> None:
    optuna = pytest.importorskip("optuna")
    from bgsub_lightning.core.compat.optuna import continued

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.ask()
    trial = continued(study, study.get_trials()[0])
    trial.report(0.25, 3)
    study.tell(trial, 0.5)
    (found,) = study.get_trials()
    assert (found.value, found.intermediate_values) == (0.5, {3: 0.25})


# --- jsonargparse and argparse ---------------------------------------------------------------------------------------


class Base:
    def __init__(self, count: int = 1) -> None: ...


def parser_of(**kinds: Any) -> PlainParser:
    parser = PlainParser(prog="program", exit_on_error=False)
    for name, kind in kinds.items():
        parser.add_argument(f"--{name}", type=kind)
    return parser


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, "x", "key: 'x' is not a whole number."),
        (float | None, "x", "key: 'x' is not a number."),
        (bool, "3", "key: '3' is not true or false."),
        (int | bool, "x", "key: 'x' is not a whole number or true or false."),
        (Literal["a", "b"], "x", "key: 'x' is not one of 'a', 'b'."),
        (Base | None, "NoSuch", "key: there is no class 'NoSuch', nor a file of that name."),
    ],
)
def test_sentences_of_jsonargparse_are_those_that_are_rewritten(kind: Any, value: str, expected: str) -> None:
    with pytest.raises(UserError) as raised:
        parser_of(key=kind).parse_args([f"--key={value}"])
    assert str(raised.value).splitlines()[0] == expected


def test_key_of_a_parser_inside_a_parser() -> None:
    with pytest.raises(UserError) as raised:
        parser_of(key=Base).parse_args([f"--key={__name__}.Base", "--key.count=x"])
    assert "count: 'x' is not a whole number." in str(raised.value)


def test_unknown_options_are_found_in_the_message() -> None:
    with pytest.raises(UserError, match="Did you mean --height"):
        parser_of(height=int).parse_args(["--hieght=3"])


def test_options_and_arguments_of_a_parser() -> None:
    parser = parser_of(key=int)
    assert {"--key", "--help"} <= {*compat_jsonargparse.options_of(parser)}
    assert "key" in {each.dest for each in compat_jsonargparse.arguments_of(parser)}


def test_types_are_reordered_behind_the_cache_of_typing() -> None:
    """In a separate process, whose cache holds the union in the other order."""
    program = """
        import typing
        typing.Optional[float | int | None]
        from bgsub_lightning.core.parser import PlainParser
        class Limited:
            def __init__(self, limit: int | float | None = None) -> None: ...
        parser = PlainParser()
        parser.add_class_arguments(Limited, "a")
        parser.add_argument("--b", type=typing.Optional[typing.Union[int, float]])
        found = parser.parse_args(["--a.limit=1", "--b=1"])
        print(repr(found.a.limit), repr(found.b))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["1", "1"]


def test_groups_in_the_help() -> None:
    parser = ArgumentParser(formatter_class=compat_jsonargparse.ShortHelpFormatter)
    for name, title in (("first", "Ones"), ("hidden", "Left out"), ("last", "Others")):
        parser.add_argument_group(title).add_argument(f"--{name}", type=int, default=4, help=f"``{name}``")
    whole = parser.format_help()
    by_name = {each.dest: each for each in compat_jsonargparse.arguments_of(parser)}
    with compat_jsonargparse.groups_in_help(parser, {"b": [by_name["last"]], "a": [by_name["first"]]}):
        text = parser.format_help()
    body = text.partition("\n\nb:\n")[2]
    assert body.index("--last") < body.index("a:\n") < body.index("--first")
    assert "`first` (default: 4)" in body
    assert "--hidden" not in body
    assert "int" not in body
    assert parser.format_help() == whole


@pytest.mark.parametrize("allowed", [True, False])
def test_imports_are_allowed_for_a_while(allowed: bool) -> None:
    module = __name__ if allowed else "elsewhere"
    given = [f"--key={__name__}.Base"]
    with compat_jsonargparse.import_only([module]):
        if allowed:
            parser_of(key=Base).parse_args(given)
        else:
            with pytest.raises(UserError, match=r"Base"):
                parser_of(key=Base).parse_args(given)
    parser_of(key=Base).parse_args(given)


# --- multiprocessing -------------------------------------------------------------------------------------------------


def test_process_that_another_starts(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing\n"
        "from bgsub_lightning.core.compat.processes import is_starting\n"
        "print(__name__, is_starting(), flush=True)\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=print, args=('done',))\n"
        "    process.start(); process.join()\n"
    )
    lines = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == ["__main__ False", "__mp_main__ True", "done"]
    assert not is_starting()


# --- warnings --------------------------------------------------------------------------------------------------------


def few_workers(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:  # on a machine of any number of cores
        patch.setattr("lightning.pytorch.trainer.connectors.data_connector.suggested_max_num_workers", lambda _: 9)
        fitted(folder)


def many_workers(_: Path) -> None:
    DataLoader(torch.ones(8, 1), num_workers=999)


def long_interval(folder: Path) -> None:
    fitted(folder, logger=DummyLogger(), log_every_n_steps=50)


def srun(folder: Path) -> None:
    (folder / "srun").write_text("")
    (folder / "srun").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder))
        patch.delenv("SLURM_JOB_ID", raising=False)
        SLURMEnvironment.detect()


def deprecated_calls(folder: Path) -> None:
    from jsonargparse import _deprecated

    _deprecated.shown_deprecation_warnings.clear()
    with pytest.MonkeyPatch.context() as patch:
        command_line(CommandLine, folder, patch, "--trainer.enable_progress_bar=false")


def script_method(_: Path) -> None:
    class Scripted(torch.jit.ScriptModule):
        @torch.jit.script_method
        def forward(self, x: Tensor) -> Tensor:
            return x


def gradient_of_a_result(_: Path) -> None:
    (torch.ones(1, requires_grad=True) * 2).grad  # noqa: B018


CAUSES: dict[str, Callable[[Path], None]] = {
    "Jsonargparse": deprecated_calls,
    "LeafSpec": few_workers,
    "many workers": few_workers,
    "worker processes": many_workers,
    "logging interval": long_interval,
    "srun": srun,
    "script_method": script_method,
    "grad": gradient_of_a_result,
}


@pytest.mark.parametrize("expected", EXPECTED)
def test_what_is_silenced_is_still_warned_of(expected: Expected, tmp_path: Path) -> None:
    """Else its line can go."""
    (cause,) = [cause for part, cause in CAUSES.items() if part in expected.message]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cause(tmp_path)
    assert any(re.match(expected.message, str(each.message)) for each in caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            cause(tmp_path)
