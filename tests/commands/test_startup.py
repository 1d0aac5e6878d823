"""What the command line imports; which room may import which is in pyproject.toml, and `make test` checks it."""

from __future__ import annotations

import subprocess
import sys


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from bgsub_lightning.cli import main; main(['--help']); "
        "print({'torch', 'lightning', 'numpy', 'cv2', 'jsonargparse', 'rich'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "set()"
    assert "fit --config experiments/bmn_bsn_fold1.yaml" in told
