"""The log of a run, as CSV."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write


class RunLog(CSVLogger):
    """Lightning's, which leaves no cut file and no cut row on a full disk: ``metrics.csv`` and ``hparams.yaml``."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer."""
        if self._experiment is None:
            Path(self.root_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = _Writer(self.log_dir)
        return self._experiment


class _Writer(ExperimentWriter):
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

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        try:
            with atomic_write(path) as file:
                writer = csv.DictWriter(file, fieldnames=fieldnames)
                writer.writeheader()
                writer.writerows(rows)
        except UserError:
            self.metrics_keys = list(reader.fieldnames or ())  # the next save adds the new columns
            raise
        self._whole = path.stat().st_size
