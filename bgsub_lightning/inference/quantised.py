"""Networks of 8 bits: faster on a CPU, with answers that are nearly the same."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.inference.onnx import Call, files_of, load_onnx, needed, watched
from bgsub_lightning.inference.subtractor import Subtractor

_SAMPLES = 32
"""Frames whose activations say how large activations are."""


_LEARNT = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def quantise(path: Path, frames: Sequence[NDArray[np.uint8]], modules: Sequence[str] = ()) -> None:
    """Give the networks of an exported system weights and activations of 8 bits, in place of its files.

    ONNX Runtime's static quantisation: a scale for each channel of the weights, and one for each activation, of the
    range that it has on some frames.

    Args:
        path: The first file, of :func:`~bgsub_lightning.inference.onnx.export_system`.
        frames: RGB frames that follow each other, as the system will see them.
        modules: As in :func:`~bgsub_lightning.inference.system.load_system`.

    Raises:
        UserError: If a file is not from `export`, or the extra is not installed.
    """
    needed("onnx")
    system = load_onnx(path, modules)
    parts = files_of(path)
    seen: dict[str, list[Call]] = {}
    kept: dict[str, list[Call]] = {part: [] for part in parts}
    with watched(system.module, list(parts), seen):
        subtractor = Subtractor(system, "cpu", frames[:25])
        for place, frame in enumerate(frames):
            subtractor.push([frame])
            for part, calls in seen.items():
                if place % max(1, len(frames) // _SAMPLES) == 0 or not kept[part]:
                    kept[part] += calls
                calls.clear()
    for part, file in parts.items():
        if kept[part]:  # a network that these frames do not need stays as it is
            _rewrite(file, kept[part])


def _rewrite(file: Path, calls: Sequence[Call]) -> None:
    import onnx
    from onnxruntime import quantization

    before = onnx.load(file)
    names = [each.name for each in before.graph.input]
    given = iter([{n: each.numpy() for n, each in zip(names, call.inputs, strict=True)} for call in calls])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(given, None)

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        prepared, found = Path(folder) / "prepared.onnx", Path(folder) / "found.onnx"
        quantization.quant_pre_process(file, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        constants = {each.name for each in graph.initializer}
        quantization.quantize_static(
            prepared,
            found,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # scales and offsets of normalisation are few, and the quantiser takes them for weights
            nodes_to_exclude=[
                node.name for node in graph.node if node.op_type not in _LEARNT and constants.intersection(node.input)
            ],
        )
        proto = onnx.load(found)
    del proto.metadata_props[:]
    proto.metadata_props.extend(before.metadata_props)  # by which it is known as a system
    with atomic_write(file, "wb") as written:
        written.write(proto.SerializeToString())
