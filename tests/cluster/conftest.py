"""A SLURM cluster for the tests that need one, or the reason why there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from slurm_cluster import NEEDED, Cluster, slurm_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of two nodes with two cores each."""
    if os.geteuid() != 0:
        pytest.skip("the daemons of SLURM need root")
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"needs SLURM (apt-get install slurm-wlm slurm-client munge): no {', '.join(missing)}")
    with slurm_cluster() as running:
        yield running
