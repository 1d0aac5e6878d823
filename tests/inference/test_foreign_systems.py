"""Checkpoints and ONNX files whose contents are wrong: one line that names the file, the key and the value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import yaml
from live_systems import moving_square, save, tiny_system, write_video

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import Subtractor, load_system
from bgsub_lightning.inference.onnx import export_system

Change = Callable[[dict[str, Any]], Any]
NET = "bgsub_lightning.systems.BmnBsn"


def system(**changes: Any) -> Change:
    """Change how the system is described."""
    return lambda content: content.update(system=yaml.safe_dump(yaml.safe_load(content["system"]) | changes))


def text(value: Any) -> Change:
    return lambda content: content.update(system=value)


def model(**arguments: Any) -> Change:
    return system(model={"class_path": NET, "init_args": arguments})


def weights(value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        name = next(iter(content["state_dict"]))
        content["state_dict"][name] = value(content["state_dict"][name])

    return change


def spoil(tensor: torch.Tensor) -> torch.Tensor:
    return torch.where(tensor == tensor.max(), float("nan"), tensor)


SYSTEMS: list[tuple[Change, str, str]] = [
    (text(b"bytes"), "system", "bytes"),
    (text("a: ["), "system", "YAML"),
    (text("- 1"), "system", "[1]"),
    (text("5"), "system", "5"),
    (text("!!python/object/apply:os.system [x]"), "system", "python"),
    (text("&a [*a]"), "system", "itself"),
    (system(model="http://x/y"), "system: model", "'http://x/y'"),
    (system(model=5), "system: model", "5"),
    (system(model={}), "system: model.class_path", "missing"),
    (system(size=[10_000_000, 10_000_000]), "system: size.0", "10000000"),
    (system(size=[-64, 48]), "system: size.0", "-64"),
    (system(size=[64]), "system: size", "[64]"),
    (system(size="big"), "system: size", "'big'"),
    (system(flow="DisFlow"), "system: flow", "'DisFlow'"),
    (model(channels=-3), NET, "-3"),
    (model(channels=10**12), NET, "parameters"),
    (model(depth=50), NET, "50"),
    (model(more=1), NET, "more"),
]
CHECKPOINTS: list[tuple[Change, str, str]] = [
    *SYSTEMS,
    (lambda content: content.update(state_dict=5), "state_dict", "5"),
    (weights(lambda tensor: "text"), "state_dict.", "str"),
    (weights(spoil), "state_dict.", "NaN"),
    (weights(lambda tensor: tensor.fill_(float("inf"))), "state_dict.", "infinity"),
    (weights(lambda tensor: tensor[:0]), "BmnBsn", "(0, "),
    (lambda content: content.pop("state_dict"), "", "checkpoint"),
    (lambda content: content.update(trained_on=["a"]), "trained_on", "['a']"),
    (lambda content: content.update(validated={"threshold": "x"}), "validated.threshold", "'x'"),
    (lambda content: content.update(module=3), "module", "3"),
    (lambda content: content.update(hyper_parameters=[1]), "hyper_parameters", "[1]"),
]


def one_line(line: str, file: Path, key: str, value: str) -> None:
    assert key in line
    assert value in line
    assert file.name in line or "checkpoint" in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(("change", "key", "value"), CHECKPOINTS)
def test_checkpoints(tmp_path: Path, change: Change, key: str, value: str) -> None:
    file = save(tiny_system("BmnBsn"), tmp_path / "x.ckpt")
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)
    with pytest.raises(UserError) as raised:
        load_system(file)
    one_line(str(raised.value), file, key, value)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    export_system(tiny_system("FrameFcn"), path)
    return path


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        (lambda about: [1], "x.onnx", "[1]"),
        (lambda about: about.pop("version"), "version", "missing"),
        (lambda about: about.update(version=9), "version", "9"),
        (lambda about: (about.update(version=9), about.pop("bgsub_lightning")), "version", "9"),
        (lambda about: about.update(threshold="0.5"), "threshold", "'0.5'"),
        (lambda about: about.update(threshold=float("nan")), "threshold", "nan"),
        (lambda about: about.update(threshold=2), "threshold", "2"),
        (lambda about: about.update(parts=["x.onnx"]), "parts", "['x.onnx']"),
        (lambda about: about.update(parts={"segmentation.forward": "/etc/passwd"}), "parts", "/etc/passwd"),
        (lambda about: about.update(parts={"segmentation.forward": "../x.onnx"}), "parts", "../x.onnx"),
        (lambda about: about.update(parts={"segmentation.__class__": "x.onnx"}), "parts", "__class__"),
        (lambda about: about.update(parts={"nope.forward": "x.onnx"}), "parts", "nope"),
        (lambda about: about.update(parts={}), "parts", "segmentation.forward"),
        (lambda about: about.update(system=5), "system", "5"),
        (lambda about: about.update(system="!!python/object:os.system x"), "system", "python"),
        (lambda about: about.update(system="a: ["), "system", "YAML"),
        (lambda about: about.update(more=1), "more", "unknown"),
    ],
)
def test_onnx(tmp_path: Path, exported: Path, change: Change, key: str, value: str) -> None:
    proto = onnx.load(exported)
    (entry,) = (each for each in proto.metadata_props if each.key == "bgsub_lightning")
    about = json.loads(entry.value)
    changed = change(about)
    entry.value = json.dumps(changed if isinstance(changed, list) else about)
    file = tmp_path / "x.onnx"
    onnx.save(proto, file)
    with pytest.raises(UserError) as raised:
        load_system(file)
    one_line(str(raised.value), file, key, value)


def test_onnx_of_another_network(tmp_path: Path, exported: Path) -> None:
    one, other = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 5, 8, 8]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "other", [one], [other])
    proto = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    proto.metadata_props.extend(onnx.load(exported).metadata_props)
    onnx.save(proto, tmp_path / "x.onnx")
    with pytest.raises(UserError, match=r"x\.onnx: "):
        Subtractor(load_system(tmp_path / "x.onnx"), "cpu").push(moving_square(1))


def test_the_command_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(tiny_system("FrameFcn"), tmp_path / "x.ckpt")
    content = torch.load(file, weights_only=True)
    weights(spoil)(content)
    torch.save(content, file)
    video = write_video(tmp_path / "v.mp4", moving_square(3))
    assert main(["segment", f"--source={video}", f"--out={tmp_path / 'o'}", f"--checkpoint={file}"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: {file}: state_dict.")
    assert len(line.splitlines()) == 1
    assert not (tmp_path / "o").exists()
