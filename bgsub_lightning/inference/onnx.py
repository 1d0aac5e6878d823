"""Networks as ONNX files, and systems whose networks run in ONNX Runtime.

A system is more than its networks: it keeps backgrounds, draws references, fuses maps with frames. So each network is a
file, the first of which describes the system and lists the others, and what is between the networks stays as it is: a
system of ONNX files is that of the checkpoint whose networks run in ONNX Runtime.
"""

from __future__ import annotations

import copy
import inspect
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, StringConstraints
from torch import Tensor, nn
from typing_extensions import TypedDict

from bgsub_lightning.core.compat.warnings import exporting
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.records import parse_json
from bgsub_lightning.core.run_info import read_system
from bgsub_lightning.core.text import one_line
from bgsub_lightning.core.version import __version__
from bgsub_lightning.data.inputs import Input
from bgsub_lightning.inference.subtractor import Subtractor
from bgsub_lightning.inference.system import System, build

_KEY = "bgsub_lightning"
"""The key of a file's metadata."""

_AXES = {4: ("batch", "channels", "height", "width"), 3: ("steps", "channels", "pixels")}
"""Names of the sizes of a network's inputs, by their number."""

_STREAM = 64
"""Frames after which a system that carries state has called its networks in every way: CDN-GM sees groups of 7 × 7."""

_FRAMES = "RGB frames in the range [0, 1], channels first"


@dataclass(frozen=True)
class Written:
    """A network that was written.

    Attributes:
        part: Where it is in its system, such as ``network.bsn.core``.
        file: Its file.
        inputs: Shape of each input; a name is a size that may be any.
        difference: The largest difference of an output from PyTorch's, on random frames of another size than it was
            written with; where answers are beyond 1, such as logits, as a share of the largest.
    """

    part: str
    file: Path
    inputs: tuple[tuple[str | int, ...], ...]
    difference: float


def export_system(system: System, path: Path) -> list[Written]:
    """Write the networks of a system as ONNX.

    Which sizes are dynamic is found by showing the system frames of two sizes, in batches of two sizes.

    Args:
        system: The system.
        path: The first file; others are called ``<stem>.<part>.onnx``.

    Raises:
        UserError: If the system has no networks, the extra is not installed, or a network cannot be written.
    """
    import_extra("onnxscript")
    parts = _export_targets(system)
    system.module.load_threshold()
    system = replace(system, module=copy.deepcopy(system.module).cpu().float())
    system.module.inputs = tuple(_Drawn(each) if each.of_files else each for each in system.module.inputs)
    unit = system.module.size_divisor
    first = _recorded(system, (2 * unit, unit), 2)
    second = _recorded(system, (3 * unit, 2 * unit), 3)
    files = {part: path if i == 0 else path.with_name(f"{path.stem}.{part}.onnx") for i, part in enumerate(parts)}
    about = json.dumps(_about(system, {part: file.name for part, file in files.items()}))
    written = []
    for part, file in files.items():
        inputs = _write(system.module, part, first[part], second[part], file, about)
        written.append(Written(part, file, inputs, 0.0))
    loaded = load_onnx(path, system.modules)
    return [replace(each, difference=_difference(loaded, each.part, second[each.part])) for each in written]


class _Drawn(Input):
    """Random numbers in the place of what is read from files."""

    per_frame = True
    colour = False

    def __init__(self, entry: Input) -> None:
        self.key = entry.key  # type: ignore[misc]
        self._entry = entry

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return self._entry.shape(size)

    def load(self, pixels: Any, number: int, seed: int, out: NDArray[np.uint8]) -> None:
        out[...] = np.random.default_rng(number).integers(0, 256, out.shape)


class Call(NamedTuple):
    """Inputs and answers of a network."""

    inputs: tuple[Tensor, ...]
    answer: Any


def load_onnx(path: Path, modules: Sequence[str] = ()) -> System:
    """Build a system from its first ONNX file.

    Args:
        path: The file.
        modules: As in :func:`bgsub_lightning.inference.system.build`.

    Raises:
        UserError: If a file is missing or not from `export`, or the extra is not installed.
    """
    runtime = import_extra("onnxruntime")
    about = _read_about(runtime, path)
    system = build(read_system(about["system"], path), path, modules)
    for parameter in system.module.parameters():
        parameter.data.fill_(float("nan"))  # none is used; if one was, nobody could miss it
    returned = _export_targets(system)
    if different := sorted(returned.keys() ^ about["parts"].keys()):
        raise UserError(
            f"{path}: parts: must be {', '.join(sorted(returned))}, those of {about['module']}; got another set "
            f"({different[0]!r}). Export the system again."
        )
    for part, name in about["parts"].items():
        file = path.with_name(name)
        if not file.is_file():
            raise UserError(f"{file}: is missing; {path} needs it in its folder. Export the system again.")
        owner, method = _owner(system.module, part)
        setattr(owner, method, _Session(runtime, file, returned[part]))
    system.module.threshold, system.module.threshold_from_validation = about["threshold"], False
    return replace(system, name=path.stem)


def files_of(path: Path) -> dict[str, Path]:
    """Return the files of a system's networks by their parts.

    Args:
        path: The first of them.

    Raises:
        UserError: If it is not from `export`, or the extra is not installed.
    """
    parts = _read_about(import_extra("onnxruntime"), path)["parts"]
    return {part: path.with_name(name) for part, name in parts.items()}


class Difference(NamedTuple):
    """How two subtractors differ on the same frames.

    Attributes:
        probability: Largest difference of their probabilities, range [0, 1].
        pixels: Share of the pixels whose masks differ, range [0, 1].
    """

    probability: float
    pixels: float


def difference(one: Subtractor, other: Subtractor, frames: Sequence[NDArray[np.uint8]]) -> Difference:
    """Compare two subtractors on frames that follow each other: RGB, ``(h, w, 3)``, uint8."""
    largest, pixels = 0.0, []
    for frame in frames:
        first, second = one.probability([frame]), other.probability([frame])
        largest = max(largest, float(np.abs(first - second).max()))
        pixels.append(float((one.masks(first) != other.masks(second)).mean()))
    return Difference(largest, float(np.mean(pixels)) if pixels else 0.0)


class _Session:
    """A network in ONNX Runtime, which takes and returns tensors, on the device of the first that it is given."""

    def __init__(self, runtime: Any, file: Path, returned: Callable[..., Any]) -> None:
        self.runtime = runtime
        self.file = file
        self.returned = returned
        self.session: Any = None

    def __call__(self, *inputs: Tensor) -> Any:
        if self.session is None:
            self.session = self._begun(inputs[0].device)
        names = [each.name for each in self.session.get_inputs()]
        try:
            given = {name: each.float().cpu().numpy() for name, each in zip(names, inputs, strict=True)}
            found = [torch.from_numpy(each).to(inputs[0].device) for each in self.session.run(None, given)]
            return self.returned(*found)
        except Exception as error:  # of a file of another network: whatever the runtime makes of it
            reason = one_line(str(error))
            raise UserError(
                f"{self.file}: does not take what its system shows it; got {reason!r}. Export the system again."
            ) from error

    def _begun(self, device: torch.device) -> Any:
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # threads that spin while others have work cost up to two thirds of the speed: sessions alternate, and PyTorch,
        # decoding and writing want the cores in between
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted: list[Any] = ["CPUExecutionProvider"]
        if device.type == "cuda" and "CUDAExecutionProvider" in self.runtime.get_available_providers():
            wanted.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
        return _begin(self.runtime, self.file, wanted, options)


def _begin(runtime: Any, file: Path, providers: Sequence[Any], options: Any = None) -> Any:
    try:
        return runtime.InferenceSession(str(file), options, providers=list(providers))
    except Exception as error:  # the runtime raises another exception for each kind of damage
        raise UserError(f"{file}: is no ONNX file, or one that was cut off. Export the system again.") from error


class _Part(nn.Module):
    """A method of a sub-network as a module."""

    def __init__(self, owner: nn.Module, method: str) -> None:
        super().__init__()
        self.owner = owner
        self.method = method

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = getattr(self.owner, self.method)(*inputs)
        return found if isinstance(found, Tensor) else tuple(found)


def _export_targets(system: System) -> dict[str, Callable[..., Any]]:
    module = system.module
    if not module.export_targets:
        kind = module.kind
        why = (
            f"{kind} does not name its networks. Give it the property `export_targets`, as BgsModule describes it"
            if next(module.parameters(), None) is not None
            else f"{kind} has no networks: there is nothing to export"
        )
        raise UserError(f"{system.name}: {why}.")
    return module.export_targets


def _recorded(system: System, size: tuple[int, int], batch: int) -> dict[str, list[Call]]:
    """Show a system random frames, and note what each network sees and says."""
    generator = np.random.default_rng(0)
    frames = list(generator.integers(0, 256, (batch, size[1], size[0], 3), np.uint8))
    seen: dict[str, list[Call]] = {}
    with watched(system.module, list(_export_targets(system)), seen):
        subtractor = Subtractor(replace(system, size=size), "cpu", frames, batch_size=batch)
        for _ in range(_STREAM // batch if system.streams else 1):
            subtractor.push(frames)
    if unseen := sorted(set(_export_targets(system)) - set(seen)):
        raise RuntimeError(f"{', '.join(unseen)} took no part in the answer")
    return seen


@contextmanager
def watched(module: nn.Module, parts: Sequence[str], seen: dict[str, list[Call]]) -> Iterator[None]:
    """Note the calls of networks, until the end of the context.

    Args:
        module: The system.
        parts: The networks, as :attr:`~bgsub_lightning.systems.BgsSystem.export_targets` names them.
        seen: Where calls are appended, by part.
    """

    def watching(part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*inputs: Tensor) -> Any:
            found = method(*inputs)
            seen.setdefault(part, []).append(Call(tuple(each.detach().float().clone() for each in inputs), found))
            return found

        return noting

    owners = [(part, *_owner(module, part)) for part in parts]
    before = [vars(owner).get(method) for _, owner, method in owners]  # that of ONNX Runtime, if it is there
    try:
        for part, owner, method in owners:
            setattr(owner, method, watching(part, getattr(owner, method)))
        yield
    finally:
        for (_, owner, method), own in zip(owners, before, strict=True):
            if own is None:
                delattr(owner, method)  # the class's own comes to light again
            else:
                setattr(owner, method, own)


def _write(
    module: nn.Module, part: str, calls: Sequence[Call], others: Sequence[Call], file: Path, about: str
) -> tuple[tuple[str | int, ...], ...]:
    """Write one network; sizes in which its inputs differ from call to call are dynamic."""
    import onnx

    inputs = max(calls, key=lambda call: call.inputs[0].numel()).inputs  # a size of 1 would be taken for a constant
    shapes = tuple(
        {
            axis: torch.export.Dim.AUTO
            for axis, length in enumerate(each.shape)
            if any(call.inputs[i].shape[axis] != length for call in (*calls, *others))
        }
        for i, each in enumerate(inputs)
    )
    with _quiet():
        try:
            program = torch.onnx.export(
                _Part(*_owner(module, part)).eval(), tuple(inputs), dynamo=True, dynamic_shapes=(shapes,), verbose=False
            )
        except Exception as error:  # of many kinds, all of which mean that it cannot be written
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f"{part} cannot be written as ONNX ({reason}).") from error
    proto = cast("Any", program).model_proto
    onnx.helper.set_model_props(proto, {_KEY: about})
    del proto.graph.value_info[:]  # some sizes that the exporter notes are wrong
    for given in proto.graph.input:
        axes = given.type.tensor_type.shape.dim
        for axis, name in zip(axes, _AXES.get(len(axes), ()), strict=False):
            if axis.dim_param:
                axis.dim_param = name
    for output in proto.graph.output:
        for axis in output.type.tensor_type.shape.dim:
            axis.Clear()
    onnx.checker.check_model(proto)
    with atomic_write(file, "wb") as written:
        written.write(proto.SerializeToString())
    return tuple(
        tuple(axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim)
        for each in proto.graph.input
    )


def _difference(loaded: System, part: str, calls: Sequence[Call]) -> float:
    """The largest difference of a network in ONNX Runtime from what PyTorch said of the same inputs."""
    owner, method = _owner(loaded.module, part)
    largest = 0.0
    for call in calls:
        found = getattr(owner, method)(*call.inputs)
        pairs = [(found, call.answer)] if isinstance(found, Tensor) else zip(found, call.answer, strict=True)
        for one, other in pairs:
            largest = max(largest, float((one - other).abs().max() / other.abs().max().clamp(min=1)))
    return largest


class _About(TypedDict):
    """The record of a system in its first file."""

    version: Literal[1]
    bgsub_lightning: str
    system: str
    module: str
    inputs: str
    threshold: Annotated[float, Field(ge=0, lt=1)]
    trained_on: list[str]
    parts: dict[str, Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+\.onnx$")]]
    about: dict[str, str | None]


def _about(system: System, files: dict[str, str]) -> _About:
    return {
        "version": 1,
        "bgsub_lightning": __version__,
        "system": system.model_config,
        "module": system.module.kind,
        "inputs": _FRAMES,
        "threshold": system.module.threshold,
        "trained_on": sorted(system.module.trained_on),
        "parts": files,
        "about": {part: inspect.getdoc(getattr(*_owner(system.module, part))) for part in files},
    }


def _read_about(runtime: Any, path: Path) -> _About:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    session = _begin(runtime, path, ["CPUExecutionProvider"])
    record = session.get_modelmeta().custom_metadata_map.get(_KEY)
    if record is None:
        raise UserError(
            f"{path}: has no record of its system. Name a file that `export` of bgsub_lightning has written."
        )
    return parse_json(record, _About, str(path), "Export the system again.")


def _owner(module: nn.Module, part: str) -> tuple[nn.Module, str]:
    owner, _, method = part.rpartition(".")
    return module.get_submodule(owner), method


def import_extra(name: str) -> Any:
    """Import a package of the extra ``onnx``.

    Raises:
        UserError: If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"ONNX needs the package {name}, which is not installed: pip install 'bgsub_lightning[onnx]'."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about itself from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with exporting():
            yield
    finally:
        logger.setLevel(level)
