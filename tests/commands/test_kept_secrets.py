"""No password is stored, and no identifier leads out of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bgsub_lightning.cli import main

SECRET = "s3cret"
URL = f"http://user:{SECRET}@127.0.0.1:9/x.pth"


def files_with(tmp_path: Path, name: str = SECRET) -> list[Path]:
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in {"given.yaml", "tiny.yaml"}]
    return [path for path in files if name.encode() in path.read_bytes()]


def test_a_fit_refuses_an_address_with_a_password(run: Any, fails: Any, tmp_path: Path) -> None:
    given = tmp_path / "given.yaml"
    given.write_text(
        f"model: {{class_path: bgsub_lightning.systems.ReconMcfcn, init_args: {{pretrained: {{weights: '{URL}'}}}}}}\n"
    )
    for options in (
        ["--model=ReconMcfcn", f"--model.init_args.pretrained.weights={URL}"],
        [
            "--model=ReconMcfcn",
            f"--model.init_args.pretrained.weights={URL}",
            "--model.init_args.pretrained.weights=null",
        ],
        ["--config", str(given)],
    ):
        message = fails(run("fit", *options))
        assert "http://user:***@127.0.0.1:9/x.pth" in message
        assert SECRET not in message
    assert not files_with(tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["campaign", "sweep"])
def test_so_do_campaigns_and_sweeps(
    command: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = tmp_path / "given.yaml"
    if command == "sweep":
        given.write_text(
            f"method: grid\nmetric: {{name: val/f_measure, goal: maximize}}\nprogram: x\n"
            f"parameters: {{model.init_args.pretrained.weights: {{values: ['{URL}']}}}}\n"
        )
        assert main(["sweep", str(given), "--out", "out"]) == 2
    else:
        assert (
            main(["campaign", str(tiny), "--over", f"model.init_args.pretrained.weights={URL},null", "--out", "out"])
            == 2
        )
    assert SECRET not in "".join(capsys.readouterr())
    assert not files_with(tmp_path)


def test_a_message_about_weights_hides_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", f"--source=rtsp://me:{SECRET}@127.0.0.1:9/", "--out=x", "--checkpoint=MOG2"]) == 2
    assert SECRET not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["WANDB_SWEEP_ID", "WANDB_RUN_ID"])
def test_ids_stay_in_their_folder(
    name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for variable in ("WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.setenv(variable, "../../x" if variable == name else "abc")
    message = fails(main(["fit", "--config", str(tiny), "--trainer.max_steps=1"]))
    assert name in message
    assert "../../x" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "here", "tiny.yaml"]
