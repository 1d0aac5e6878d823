"""Networks quantised to 8 bits: faster on a CPU, with masks that are nearly the same."""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.text import one_line
from bgsub_lightning.inference.onnx import Call, files_of, import_extra, load_onnx, watched
from bgsub_lightning.inference.subtractor import Subtractor

_SAMPLES = 32
"""Calls of a network, spread over the frames, that say how large its activations are."""

_QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What has weights. Other operations take constants such as the scales of a normalisation, which are not quantised."""


def quantise(path: Path, frames: Sequence[NDArray[np.uint8]], modules: Sequence[str] = ()) -> None:
    """Quantise the networks of an exported system to 8 bits, in place of its files.

    ONNX Runtime's static quantisation: weights have a scale for each channel, activations one each, for the range that
    they have on some frames. A network that these frames do not need stays as it is.

    Args:
        path: The first file, of :func:`~bgsub_lightning.inference.onnx.export_system`.
        frames: RGB frames that follow each other, as the system will see them, ``(h, w, 3)``, uint8.
        modules: As in :func:`~bgsub_lightning.inference.system.load_system`.

    Raises:
        UserError: If a file is not from `export`, cannot be quantised, or the extra is not installed. No file has
            changed then.
    """
    import_extra("onnx")
    system = load_onnx(path, modules)
    files = files_of(path)
    kept = _calls(Subtractor(system, "cpu", frames[:25]), list(files), frames)
    made = {files[part]: _quantised(files[part], calls) for part, calls in kept.items()}
    for file, content in made.items():
        with atomic_write(file, "wb") as written:
            written.write(content)


def _calls(
    subtractor: Subtractor, parts: Sequence[str], frames: Sequence[NDArray[np.uint8]]
) -> dict[str, list[list[NDArray[Any]]]]:
    """Return inputs of each network on the way through the frames, at most twice :data:`_SAMPLES` of each."""
    seen: dict[str, list[Call]] = {}
    kept: dict[str, list[list[NDArray[Any]]]] = defaultdict(list)
    counts, every = dict.fromkeys(parts, 0), dict.fromkeys(parts, 1)
    with watched(subtractor.module, parts, seen):
        for frame in frames:
            subtractor.push([frame])
            for part, calls in seen.items():
                for call in calls:
                    if counts[part] % every[part] == 0:
                        kept[part].append([each.numpy() for each in call.inputs])
                    counts[part] += 1
                    if len(kept[part]) == 2 * _SAMPLES:  # from here on every second is left out
                        del kept[part][1::2]
                        every[part] *= 2
                calls.clear()
    return dict(kept)


def _quantised(file: Path, calls: Sequence[list[NDArray[Any]]]) -> bytes:
    """Return what a file becomes."""
    import onnx
    from onnxruntime import quantization

    before = onnx.load(file)
    names = [each.name for each in before.graph.input]
    given = iter([dict(zip(names, call, strict=True)) for call in calls])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(given, None)

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        prepared, found = Path(folder) / "prepared.onnx", Path(folder) / "found.onnx"
        try:
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
                nodes_to_exclude=[
                    node.name
                    for node in graph.node
                    if node.name and node.op_type not in _QUANTISED and constants.intersection(node.input)
                ],
            )
        except Exception as error:  # of many kinds, all of which mean that it cannot be quantised
            reason = one_line(str(error)) or type(error).__name__
            raise UserError(
                f"{file}: cannot be quantised; got {reason!r}. It is whole, in single precision: leave --int8 out."
            ) from error
        proto = onnx.load(found)
    del proto.metadata_props[:]
    proto.metadata_props.extend(before.metadata_props)  # by which it is known as a system
    content: bytes = proto.SerializeToString()
    return content
