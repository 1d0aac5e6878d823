"""The log of a training, from the CSV files of its run directory."""

from __future__ import annotations

from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_csv

Curve = list[tuple[int, float]]
"""Steps and values."""

_FIX = "Delete the file, and the report leaves its curves out."


def learning_curves(run: Path) -> dict[str, Curve]:
    """Read the curves of a run's training and validation, as one even if the run was stopped and continued.

    Lightning's ``CSVLogger`` begins a new version each time a run is started. A version that begins at a step which an
    earlier one has passed, because the run was continued from a checkpoint before it, replaces what follows there.

    Args:
        run: The run directory.

    Returns:
        Name, such as ``train/loss/total`` or ``val/f_measure``, → its curve; nothing where nothing was logged.

    Raises:
        UserError: If a log cannot be read.
    """
    curves: dict[str, Curve] = {}
    for path in sorted((run / "csv").glob("version_*/metrics.csv"), key=_version):
        found = _read(path)
        if not found:
            continue
        begin = min(curve[0][0] for curve in found.values())
        curves = {name: [point for point in curve if point[0] < begin] for name, curve in curves.items()}
        for name, curve in found.items():
            curves.setdefault(name, []).extend(curve)
    return {name: curve for name, curve in sorted(curves.items()) if curve}


def thinned(curve: Curve, most: int = 300) -> Curve:
    """Average neighbouring points of a long curve, so that there are at most so many."""
    size = -(-len(curve) // most)
    if size < 2:
        return curve
    parts = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(part[len(part) // 2][0], sum(value for _, value in part) / len(part)) for part in parts]


def _version(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("version_")
    return (int(number) if number.isdecimal() else 0, number)


def _read(path: Path) -> dict[str, Curve]:
    """The columns of training and validation; a test's have no steps."""
    curves: dict[str, Curve] = {}
    try:
        for row in read_csv(path, _FIX, is_log=True):
            for name, value in row.items():
                if name.startswith(("train/", "val/")) and value:
                    curves.setdefault(name, []).append((int(row["step"]), float(value)))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: is no log of a training ({error!r}). {_FIX}") from error
    return {name: sorted(curve, key=lambda point: point[0]) for name, curve in curves.items()}
