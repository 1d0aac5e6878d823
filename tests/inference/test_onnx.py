"""Networks as ONNX: the same answers as PyTorch's at any size, and what a file says of its system."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from live_systems import TINY, moving_square, save, tiny_system, write_video

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import Subtractor, System, load_system
from bgsub_lightning.inference.onnx import difference, export_system
from bgsub_lightning.inference.quantised import quantise
from bgsub_lightning.systems.base import BgsModule

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def assert_same_answers(name: str, folder: Path, **settings: Any) -> Path:
    system = tiny_system(name, **settings)
    path = folder / "x.onnx"
    written = export_system(system, path)
    tolerance = 1e-3 if name == "CrossNet" else 1e-4  # PyTorch itself is as far from float64 there
    if "initial" in settings:
        tolerance = 1e-2  # backgrounds have 8 bits: one that a network gives may be rounded the other way in a pixel
    assert [each.part for each in written] == list(system.module.export_targets)
    assert all(each.difference < tolerance for each in written)
    loaded = load_system(path)
    assert all(bool(parameter.isnan().all()) for parameter in loaded.module.parameters())  # nothing else is used
    for size in ((256, 256), (512, 256)) if name == "CrossNet" else ((32, 24), (41, 27)):
        sized = [Subtractor(each, "cpu", batch_size=3) for each in (system, loaded)]
        count = 60 if name == "CdnMedal" else 8  # a stream, beyond its first group of 49
        assert difference(sized[0], sized[1], moving_square(count, size)).probability < tolerance
        both = [each.probability(moving_square(3, size, seed=1)) for each in sized]  # a batch
        np.testing.assert_allclose(both[0], both[1], atol=tolerance)
    return path


def test_an_exported_system_gives_the_same_answers(tmp_path: Path) -> None:
    path = assert_same_answers("FrameFcn", tmp_path)
    metadata = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map["bgsub_lightning"]
    about = json.loads(metadata)
    assert about["module"] == "FrameFcn"
    assert about["threshold"] == 0.5
    assert about["parts"] == {"segmentation.forward": "x.onnx"}
    assert about["trained_on"] == []
    assert "mcfcn_width: 1" in about["system"]
    assert about["inputs"] == "RGB frames in the range [0, 1], channels first"
    assert "8k + 1" in about["about"]["segmentation.forward"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name != "FrameFcn"])
def test_every_system_can_be_exported(name: str, tmp_path: Path) -> None:
    path = assert_same_answers(name, tmp_path)
    parts = tiny_system(name).module.export_targets
    assert len(list(tmp_path.glob("x*.onnx"))) == len(parts)
    if len(parts) > 1:
        next(file for file in tmp_path.glob("x.*.onnx")).unlink()
        with pytest.raises(UserError, match=r"is missing.*x\.onnx"):
            load_system(path)


@pytest.mark.parametrize(("name", "more"), [("CdnMedal", {"initial": "ae_ne.ckpt"}), ("ThresholdedDifference", {})])
def test_a_background_that_another_system_has_trained_is_exported(
    name: str, more: dict[str, Any], tmp_path: Path
) -> None:
    source = {
        "class_path": "bgsub_lightning.systems.ae_ne.AutoencoderBackground",
        "init_args": {"size": [32, 24], "width": 4},
    }
    assert_same_answers(name, tmp_path, background=source, **more)


def test_what_has_no_networks_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"MOG2: .*ClassicalSubtractor"):
        export_system(load_system("MOG2"), tmp_path / "x.onnx")


def test_unlisted_networks_are_not_exported(tmp_path: Path) -> None:
    class Mine(BgsModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = torch.nn.Conv2d(3, 1, 1)

        losses = probability = None  # type: ignore[assignment]

    with pytest.raises(UserError, match=r"Mine .*`export_targets`"):
        export_system(System("mine", Mine()), tmp_path / "x.onnx")


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    import onnx

    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(UserError, match=r"other\.onnx: "):
        load_system(tmp_path / "other.onnx")
    with pytest.raises(UserError, match="is no ONNX file, or one that was cut off"):
        load_system(tmp_path / "text.onnx")
    with pytest.raises(UserError, match="there is no such file"):
        load_system(tmp_path / "absent.onnx")


def test_export_and_segment_commands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = save(tiny_system("FrameFcn"), tmp_path / "mine.ckpt")
    video = write_video(tmp_path / "v.mkv", moving_square(6))
    exported = str(tmp_path / "mine.onnx")
    assert main(["export", f"--checkpoint={checkpoint}", f"--out={exported}", f"--source={video}"]) == 0
    output = capfd.readouterr().out
    assert "segmentation.forward" in output
    assert re.search(r"\b6 frames", output)
    assert "probabilities differ by" in output
    for given in (str(checkpoint), exported):
        options = [f"--checkpoint={given}", f"--source={video}", f"--out={tmp_path / Path(given).suffix}"]
        assert main(["segment", *options, "--codec=ffv1", "--write=masks", "--clean=false", "--device=cpu"]) == 0
    ours, theirs = (sorted((tmp_path / name / "masks").iterdir()) for name in (".ckpt", ".onnx"))
    assert len(ours) == 6
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--checkpoint=MOG2", "--out=x.pt"], "--out: must end in .onnx; got x.pt"),
        (["--checkpoint=x.onnx", "--out=y.onnx"], "is ONNX already"),
        (["--checkpoint=AnyScene", "--out=y.onnx", "--int8=true"], "--int8: needs frames"),
    ],
)
def test_bad_options_are_reported(
    options: list[str], message: str, fails: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fails(main(["export", *options]))


def test_a_quantised_system_finds_nearly_the_same(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The shipped system, its ranges measured on half of the frames, compared on the other half too."""
    frames = moving_square(48, (96, 64))
    video = write_video(tmp_path / "v.mkv", frames)
    whole, small = tmp_path / "whole.onnx", tmp_path / "small.onnx"
    system = load_system("AnyScene")
    export_system(system, whole)
    given = ["--checkpoint=AnyScene", f"--out={small}", f"--source={video}", "--frames=24", "--int8=true"]
    assert main(["export", *given]) == 0
    assert re.search(r"[\d.]+% of the mask's pixels", capfd.readouterr().out)
    assert small.stat().st_size < whole.stat().st_size / 2
    properties = [
        onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map for path in (whole, small)
    ]
    assert json.loads(properties[0]["bgsub_lightning"]) | {"parts": {"network.forward": "small.onnx"}} == json.loads(
        properties[1]["bgsub_lightning"]
    )
    exact, near = (Subtractor(load_system(each), "cpu") for each in ("AnyScene", small))
    found = difference(exact, near, frames)
    assert found.probability > 0  # it is another network
    assert found.pixels < 0.005
    square = [exact.push([frame])[0] > 0 for frame in frames[-8:]]
    assert np.mean(square) > 0.01  # and there is something to find


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_every_system_can_be_quantised(name: str, tmp_path: Path) -> None:
    system = tiny_system(name)
    frames = moving_square(60, (256, 256) if name == "CrossNet" else (32, 24))
    export_system(system, tmp_path / "x.onnx")
    quantise(tmp_path / "x.onnx", frames)
    for path in tmp_path.glob("x*.onnx"):
        operations = {node.op_type for node in onnx.load(path).graph.node}
        assert {"QuantizeLinear", "DequantizeLinear"} <= operations
    exact, near = (Subtractor(each, "cpu", frames[:25]) for each in (system, load_system(tmp_path / "x.onnx")))
    found = [[each.probability([frame]) for frame in frames] for each in (exact, near)]
    spread = np.std(found[0])
    assert np.sqrt(np.mean(np.square(np.subtract(*found)))) < max(0.25 * spread, 0.02)


def test_what_cannot_be_quantised_is_left_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quantiser that fails at the second network has not changed the first."""
    from onnxruntime import quantization

    frames = moving_square(6, (32, 24))
    export_system(tiny_system("BmnBsn"), tmp_path / "x.onnx")
    files = {path: path.read_bytes() for path in tmp_path.glob("x*.onnx")}
    assert len(files) == 2
    prepare, prepared = quantization.quant_pre_process, []

    def fails(file: Path, *others: Any, **options: Any) -> None:
        if prepared:
            raise ValueError("no range")
        prepared.append(file)
        prepare(file, *others, **options)

    monkeypatch.setattr(quantization, "quant_pre_process", fails)
    with pytest.raises(UserError, match=r"x.*\.onnx: .*'no range'.*--int8"):
        quantise(tmp_path / "x.onnx", frames)
    assert len(prepared) == 1
    assert all(path.read_bytes() == content for path, content in files.items())
    monkeypatch.undo()
    quantise(tmp_path / "x.onnx", frames)
    assert all(path.read_bytes() != content for path, content in files.items())
