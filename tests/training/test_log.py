"""The log of a run on a disk that becomes full."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import pytest
import yaml
from lightning.fabric.loggers import csv_logs

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.training.callbacks import RunLog


def rows(log: RunLog) -> list[dict[str, str]]:
    with (Path(log.log_dir) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_and_settings(tmp_path: Path) -> None:
    log = RunLog(tmp_path, name="csv")
    log.log_hyperparams({"lr": 0.1})
    log.log_hyperparams({"more": [1, 2]})
    log.log_metrics({"a": 1.0}, 0)
    log.save()
    log.log_metrics({"b": 2.0}, 1)
    log.save()
    assert rows(log) == [{"a": "1.0", "b": "", "step": "0"}, {"a": "", "b": "2.0", "step": "1"}]
    assert yaml.safe_load((Path(log.log_dir) / "hparams.yaml").read_text()) == {"lr": 0.1, "more": [1, 2]}
    assert sorted(path.name for path in Path(log.log_dir).iterdir()) == ["hparams.yaml", "metrics.csv"]


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("key", ["a", "new"])
def test_a_full_disk_cuts_no_row(before: int, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RunLog(tmp_path, name="csv")
    for i in range(before):
        log.log_metrics({"a": float(i)}, i)
        log.save()

    class Full(csv.DictWriter):  # type: ignore[type-arg]
        def writerows(self, rows: object) -> None:
            self.writer.writerow(["cut within"])
            raise OSError(errno.ENOSPC, "No space left on device")

    class Csv:
        DictWriter, DictReader = Full, csv.DictReader

    log.log_metrics({key: 9.0}, 9)
    monkeypatch.setattr(csv_logs, "csv", Csv)
    with pytest.raises(OSError, match="No space left"):
        log.save()
    if before:
        assert [row["step"] for row in rows(log)] == ["0", "1", "2"]
    else:
        assert not list(Path(log.log_dir).iterdir())


def test_columns_that_did_not_fit_are_added_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends with an error saves once more, when there may be room again."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = RunLog(tmp_path, name="csv")
    log.log_metrics({"b": 1.0}, 0)
    log.save()
    log.log_metrics({"a": 2.0}, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"metrics\.csv.*No space left"):
            log.save()
    assert rows(log) == [{"b": "1.0", "step": "0"}]
    log.finalize("failed")
    assert rows(log) == [{"a": "", "b": "1.0", "step": "0"}, {"a": "2.0", "b": "", "step": "1"}]
