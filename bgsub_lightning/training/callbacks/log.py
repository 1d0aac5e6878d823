"""The log of a run, as CSV."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.core.saving import save_hparams_to_yaml

from bgsub_lightning.core.compat.lightning import CsvLog, CsvWriter
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write


class RunLog(CsvLog):
    """Lightning's, which leaves no cut file and no cut row on a full disk: ``metrics.csv`` and ``hparams.yaml``."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer."""
        return self.writer or self.set_writer(_Writer(self.log_dir))


class _Writer(CsvWriter):
    def log_hparams(self, params: dict[str, Any]) -> None:
        self.hparams.update(params)
        with tempfile.TemporaryDirectory() as folder:  # what cannot be said in YAML is left out by Lightning
            file = Path(folder) / self.NAME_HPARAMS_FILE
            save_hparams_to_yaml(file, self.hparams)
            text = file.read_text()
        with atomic_write(Path(self.log_dir) / self.NAME_HPARAMS_FILE) as written:
            written.write(text)

    def save(self) -> None:
        path = Path(self.metrics_file_path)
        self._whole = path.stat().st_size if path.is_file() else 0
        try:
            super().save()
        except OSError:
            if self._whole:
                with path.open("r+b") as file:
                    file.truncate(self._whole)
            else:
                path.unlink(missing_ok=True)
            raise

    def rewrite(self, columns: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        try:
            with atomic_write(path) as file:
                writer = csv.DictWriter(file, fieldnames=columns)
                writer.writeheader()
                writer.writerows(rows)
        except UserError:
            self.metrics_keys = list(reader.fieldnames or ())  # the next save adds the new columns
            raise
        self._whole = path.stat().st_size
