"""No file runs code: neither by its pickles nor by the classes that it names."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import yaml
from live_systems import moving_square, save, tiny_system, write_video

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import load_system
from bgsub_lightning.inference.onnx import export_system
from bgsub_lightning.systems.weights import damage, load_state_dict, read_checkpoint

EVIL = "bgsub_lightning.systems.FrameFcn"  # where a class of this package is named


class Runs:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        import os

        return os.mkdir, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def elsewhere(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that makes a folder when it is imported, and that can be."""
    (tmp_path / "elsewhere_.py").write_text(
        f"import os; os.mkdir({str(mark)!r})\n"
        "from bgsub_lightning.systems import FrameFcn\n"
        "class Net(FrameFcn):\n    def __init__(self, inner: object = None) -> None:\n"
        "        super().__init__(mcfcn_width=1, size=33)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "elsewhere_", raising=False)
    return "elsewhere_"


@pytest.mark.parametrize("place", ["top", "optimizer_states", "callbacks", "state_dict", "system"])
@pytest.mark.parametrize("force", [False, True])
def test_a_checkpoint_is_not_unpickled(
    place: str, force: bool, tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if force:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = save(tiny_system("FrameFcn"), tmp_path / "x.ckpt")
    content: Any = torch.load(path, weights_only=True)
    content = Runs(mark) if place == "top" else content | {place: [Runs(mark)]}
    torch.save(content, path)
    assert "mkdir" in str(damage(path))
    for read in (read_checkpoint, load_system, load_state_dict):
        with pytest.raises(UserError, match=r"x\.ckpt: .*mkdir"):
            read(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [[1], torch.zeros(3), 5, "text"])
def test_a_checkpoint_of_something_else(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=rf"x\.ckpt: .*{type(content).__name__}"):
        load_system(tmp_path / "x.ckpt")


@pytest.mark.parametrize("name", ["x.ckpt", "x.pth"])
def test_an_archive_that_would_fill_the_memory(name: str, tmp_path: Path) -> None:
    path = save(tiny_system("FrameFcn"), tmp_path / name)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/zeros", bytes(50 << 20))
    assert path.stat().st_size < 10 << 20
    assert "52,4" in str(damage(path))
    for read in (read_checkpoint, load_state_dict):
        with pytest.raises(UserError, match=rf"{name}: .*declares [\d,]+ bytes"):
            read(path)


def record(class_path: Any, **arguments: Any) -> str:
    return yaml.safe_dump({"model": {"class_path": class_path, "init_args": arguments}, "size": None, "flow": None})


RECORDS: dict[str, Callable[[str], str]] = {
    "class": lambda module: record(f"{module}.Net"),
    "of the standard library": lambda module: record("subprocess.Popen", args=["true"]),
    "by an import of ours": lambda module: record("bgsub_lightning.core.files.os.system", command="true"),
    "function": lambda module: record("os.system", command="true"),
    "nested": lambda module: record(EVIL, weights={"class_path": f"{module}.Net"}),
    "text of an argument": lambda module: record(EVIL, weights=f"{{class_path: {module}.Net}}"),
    "flow": lambda module: record(EVIL).replace("flow: null", f"flow: {{class_path: {module}.Net}}"),
    "flow as text": lambda module: record(EVIL).replace("flow: null", f"flow: {module}.Net"),
    "flow in a file": lambda module: record(EVIL).replace("flow: null", "flow: evil.yaml"),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_class_of_elsewhere_is_not_imported(
    kind: str, elsewhere: str, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.yaml").write_text(f"class_path: {elsewhere}.Net\n")
    system = replace(tiny_system("FrameFcn"), model_config=RECORDS[kind](elsewhere))
    with pytest.raises(UserError):
        load_system(save(system, tmp_path / "x.ckpt"))
    assert not mark.exists()
    assert elsewhere not in sys.modules


def test_an_onnx_file_imports_nothing_of_elsewhere(elsewhere: str, mark: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    export_system(tiny_system("FrameFcn"), path)
    proto = onnx.load(str(path))
    about = json.loads(proto.metadata_props[0].value) | {"system": record(f"{elsewhere}.Net")}
    onnx.helper.set_model_props(proto, {"bgsub_lightning": json.dumps(about)})
    onnx.save(proto, str(path))
    with pytest.raises(UserError, match=rf"x\.onnx: .*class_path {elsewhere}\.Net.*--modules {elsewhere}"):
        load_system(path)
    assert not mark.exists()
    assert load_system(path, [elsewhere]).modules == (elsewhere,)


@pytest.mark.parametrize("as_file", [True, False])
def test_a_module_that_is_named(
    as_file: bool, elsewhere: str, mark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(replace(tiny_system("FrameFcn"), model_config=record(f"{elsewhere}.Net")), tmp_path / "x.ckpt")
    video = write_video(tmp_path / "v.mkv", moving_square(3))
    options = ["segment", f"--checkpoint={path}", f"--source={video}", f"--out={tmp_path / 'out'}", "--device=cpu"]
    assert main(options) == 2
    assert f"--modules {elsewhere}" in capsys.readouterr().err
    assert not mark.exists()
    if as_file:
        sys.path.remove(str(tmp_path))
    assert main([*options, f"--modules={tmp_path / elsewhere}.py" if as_file else f"--modules={elsewhere}"]) == 0
    assert mark.is_dir()
    mark.rmdir()
    assert len(load_system(path, [str(tmp_path / f"{elsewhere}.py")]).modules) == 1  # it is not executed again
    assert not mark.exists()
    del sys.modules[elsewhere]


@pytest.mark.parametrize("named", ["no_such_module", "no_such.py", "a b", "broken_.py", "os.py"])
def test_modules_that_cannot_be(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_.py").write_text("1 / 0")
    (tmp_path / "os.py").touch()
    with pytest.raises(UserError, match=rf"--modules: .*{named}"):
        load_system("MOG2", [named])
    assert "broken_" not in sys.modules
