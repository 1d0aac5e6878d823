"""notebooks/: each runs from its first cell to its last, and is kept as it ran, with small outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {"my_video": 0, "new_network": 1, "compare": 3}
"""Name → the tests that it makes: a command that fails stops no notebook, and what it printed is captured."""
FILES = sorted(ROOT.glob("notebooks/*.ipynb"))
MOST_BYTES = 200_000


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_three() -> None:
    assert {each.stem for each in FILES} == {*NOTEBOOKS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_kept_as_it_ran(file: Path) -> None:
    assert file.stat().st_size < MOST_BYTES
    cells = code_cells(json.loads(file.read_text()))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbclient  # here, as other tests need neither a kernel nor its packages
    import nbformat

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    notebook = nbformat.read(file, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    assert len([*tmp_path.glob("notebook_data/*/scores.json")]) == NOTEBOOKS[file.stem]
    kept = code_cells(json.loads(file.read_text()))
    for now, before in zip(code_cells(notebook), kept, strict=True):
        assert bool(now["outputs"]) == bool(before["outputs"]), now["source"]
