"""A trained system from its checkpoint alone."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from bgsub_lightning import systems
from bgsub_lightning.core.compat.jsonargparse import plain
from bgsub_lightning.core.config import merged_config
from bgsub_lightning.core.errors import UserError, cause_of
from bgsub_lightning.core.records import read_yaml
from bgsub_lightning.core.run_info import SystemRecord, read_system, system_of
from bgsub_lightning.data import Input, References, Stream
from bgsub_lightning.frames import DisFlow, FlowMethod
from bgsub_lightning.frames.opencv import OPENCV
from bgsub_lightning.inference import BASELINES, SHIPPED
from bgsub_lightning.inference.trust import import_modules, require_trusted, trusted
from bgsub_lightning.systems import BgsSystem
from bgsub_lightning.systems.any_scene import weights
from bgsub_lightning.systems.baselines import ClassicalSubtractorSystem, ThresholdedDifferenceSystem
from bgsub_lightning.systems.weights import read_checkpoint

_OTHERS = f"a checkpoint of `fit`, or one of {', '.join((SHIPPED, *BASELINES))}"

_MEDIAN_THRESHOLD = 0.15  # that of experiments/threshold_median.yaml


@dataclass(frozen=True)
class System:
    """A system that subtracts.

    Attributes:
        name: What it is called.
        module: The system, in evaluation mode.
        size: Width and height of the network's input; ``None``: the frames' own.
        flow: What computes the optical flow that it sees.
        model_config: How it is built, in YAML; see :func:`bgsub_lightning.core.run_info.model_config`. Empty for
            baselines.
        modules: Import paths of the modules outside of this package that it may name.
    """

    name: str
    module: BgsSystem
    size: tuple[int, int] | None = None
    flow: FlowMethod = DisFlow()  # noqa: RUF009 (it cannot be changed)
    model_config: str = ""
    modules: tuple[str, ...] = ()

    @property
    def needs_pool(self) -> bool:
        """Whether an input of it is built from a pool of frames."""
        return any(type(entry).of_pool is not Input.of_pool for entry in self.module.inputs)

    @property
    def streams(self) -> bool:
        """Whether it carries state, and is shown every frame."""
        return any(isinstance(entry, Stream) for entry in self.module.inputs)

    @property
    def references(self) -> int:
        """Number of references that it draws from the pool."""
        return max((entry.count for entry in self.module.inputs if isinstance(entry, References)), default=0)


def load_system(source: str | Path = SHIPPED, modules: Sequence[str] = ()) -> System:
    """Build a system.

    Args:
        source: A checkpoint of ``fit``; an ONNX file of ``export``; an experiment, ``.yaml``, whose system needs no
            checkpoint, since it learns nothing or names its authors' weights; :data:`SHIPPED`; or one of
            :data:`BASELINES`.
        modules: Modules outside of this package whose classes the file may name: import paths, or files. They are
            executed.

    Raises:
        UserError: If it is none of these, is damaged, or names a class of another module.
    """
    modules = import_modules(modules)
    if str(source) in BASELINES:
        return System(str(source), _baseline(str(source)).eval())
    if source == SHIPPED:
        return replace(_of_checkpoint(weights.shipped()), name=SHIPPED)
    path = Path(source).expanduser()
    if path.suffix == ".onnx":
        from bgsub_lightning.inference.onnx import load_onnx  # which needs this module, and an extra

        return load_onnx(path, modules)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _of_experiment(path, modules)
    if not path.is_file():
        fix = f"Name {_OTHERS}; or an experiment, .yaml, whose system needs no checkpoint."
        raise UserError(f"{path}: there is no such checkpoint. {fix}")
    return _of_checkpoint(path, modules)


def _of_checkpoint(path: Path, modules: Sequence[str] = ()) -> System:
    checkpoint = read_checkpoint(path)
    described = checkpoint.get("system") or _of_run(path)
    if not described:
        raise UserError(
            f"{path}: has no record of its system, as earlier versions of bgsub_lightning wrote it, and no config.yaml "
            f"in its run directory. Put it back into checkpoints/ of its run directory."
        )
    system = build(read_system(described, path), path, modules)
    system.module.on_load_checkpoint(checkpoint)
    system.module.load_state_dict(checkpoint["state_dict"])
    return system


def _of_experiment(path: Path, modules: Sequence[str] = ()) -> System:
    described = system_of(merged_config(path), path, "Name an experiment with one system.")
    system = replace(build(read_system(described, path), path, modules), name=path.stem)
    module = system.module
    if module.tests_weights and getattr(module, "weights", None):
        module.begin_fit()
    elif module.trainable or module.state_dict():
        by_name = "model.init_args.weights in the file, or " if module.tests_weights else ""
        raise UserError(f"{path}: {module.kind} needs weights, and none are given. Name {by_name}{_OTHERS}.")
    return system


def build(record: SystemRecord, source: Path, modules: Sequence[str] = ()) -> System:
    """Build a system, untrained, from a record of :func:`bgsub_lightning.core.run_info.model_config`.

    Args:
        record: How it is built.
        source: The file that holds it.
        modules: Import paths of the modules outside of this package whose classes it may name.

    Raises:
        UserError: If it cannot be built, or names a class of another module; before that is imported.
    """
    require_trusted(record, modules, source)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(BgsSystem, "model", fail_untyped=False)
    parser.add_argument("--flow", type=FlowMethod)
    flow = record.get("flow") or {"class_path": "bgsub_lightning.frames.DisFlow"}
    model: dict[str, Any] = {key: value for key, value in record["model"].items() if value is not None}
    try:
        with trusted(modules):
            model["class_path"] = _without_trainer(record["model"]["class_path"])
            parsed = parser.parse_object({"model": model, "flow": flow})
            require_trusted(parsed.as_dict(), modules, source)  # also what was text, or in a file that it names
            made: Namespace = parser.instantiate(parsed)
    except UserError:
        raise
    except Exception as error:  # whatever a class of the user's raises
        lines = plain(str(cause_of(error) or error)).splitlines()  # the last says most
        reason = lines[-1].strip().rstrip(".") if lines else type(error).__name__
        raise UserError(f"{source}: its system {record['model']['class_path']} cannot be built ({reason}).") from error
    made.model.inputs = tuple(entry.of_stream() for entry in made.model.inputs)
    size = record.get("size")
    run = source.resolve().parent.parent.name if source.parent.name == "checkpoints" else ""
    return System(
        run or source.stem,
        made.model.eval(),
        (size[0], size[1]) if size else None,
        made.flow,
        yaml.safe_dump(record),
        tuple(modules),
    )


def _without_trainer(class_path: str) -> str:
    """Return the path of the half of a system of this package that needs no trainer: that of NAME is NAMESystem."""
    module, _, name = class_path.rpartition(".")
    module = module or systems.__name__
    if not f"{module}.".startswith(f"{systems.__name__}."):
        return class_path
    half = f"{name}System"
    return f"{module}.{half}" if hasattr(importlib.import_module(module), half) else class_path


def _of_run(path: Path) -> str | None:
    """The record of a checkpoint that has none, from the configuration of its run."""
    config = path.resolve().parent.parent / "config.yaml"
    return system_of(read_yaml(config), config, "Put the config.yaml of the run there.") if config.is_file() else None


def _baseline(name: str) -> BgsSystem:
    if name in OPENCV:
        return ClassicalSubtractorSystem(name)
    from bgsub_lightning.backgrounds.classical import TemporalMedian

    return ThresholdedDifferenceSystem(TemporalMedian(), _MEDIAN_THRESHOLD)
