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


def test_the_short_help_begins_with_the_first_options_and_names_the_whole_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = lines(capfd, "--help")
    assert len(output) < 120
    text = "\n".join(output)
    first = [line.split()[0] for line in text.split("\n\n")[2].splitlines()[1:] if line.startswith("  -")]
    assert len(first) == 10
    assert {"--data", "--model", "--run_dir", "--ckpt_path", "--trainer.accelerator", "--trainer.max_epochs"} < {*first}
    for part in (*OURS, "--trainer.logger", "--trainer.precision", "--help_all", "--model.help"):
        assert part in text
    for part in ("--trainer.detect_anomaly", "-->", "other options", "--best CONFIG"):
        assert part not in text


def test_the_whole_help_has_all(capfd: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(lines(capfd, "--help_all"))
    for option in (*OURS, "--trainer.detect_anomaly", "--weights_only", "--trainer.accelerator"):
        assert option in text
