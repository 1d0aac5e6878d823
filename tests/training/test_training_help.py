"""The help of Lightning's commands."""

from __future__ import annotations

import pytest

from bgsub_lightning.cli import main

OURS = ("--config", "--run_dir", "--name", "--wandb", "--model", "--data", "--best.monitor", "--pictures.scenes")


def lines(capfd: pytest.CaptureFixture[str], *options: str) -> list[str]:
    with pytest.raises(SystemExit) as end:
        main(["fit", *options])
    assert end.value.code == 0
    return capfd.readouterr().out.splitlines()


def test_the_short_help_begins_with_our_options_and_names_the_whole_one(capfd: pytest.CaptureFixture[str]) -> None:
    told = lines(capfd, "--help")
    assert len(told) < 120
    text = "\n".join(told)
    assert all(text.index(f"{option} ") < text.index("--trainer.accelerator ") for option in OURS)
    for part in ("--trainer.max_epochs", "--trainer.logger", "--ckpt_path", "--help_all", "--model.help"):
        assert part in text
    assert "--trainer.detect_anomaly" not in text


def test_the_whole_help_has_all(capfd: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(lines(capfd, "--help_all"))
    for option in (*OURS, "--trainer.detect_anomaly", "--weights_only", "--trainer.accelerator"):
        assert option in text
