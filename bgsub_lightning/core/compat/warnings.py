"""Warnings of other packages that a normal run would print, and that say nothing about it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Expected(NamedTuple):
    """A warning that is not shown.

    Attributes:
        message: How it begins, a regular expression.
        why: Why it says nothing about the run.
        until: When this entry can go.
    """

    message: str
    why: str
    until: str


EXPECTED = (
    Expected(
        r"\s*(By default only one JsonargparseDeprecationWarning|.* was deprecated in v4)",
        "Lightning 2.6 calls instantiate_classes and add_instantiator of jsonargparse",
        "Lightning calls their successors; jsonargparse 5 lacks them, and pyproject.toml excludes it",
    ),
    Expected(
        r"`isinstance\(treespec, LeafSpec\)` is deprecated",
        "Lightning 2.6 asks so with torch 2.13, in CombinedLoader",
        "Lightning asks treespec.is_leaf()",
    ),
    Expected(
        "The '.*' does not have many workers which may be a bottleneck",
        "num_workers is the user's choice, and the store needs few",
        "Lightning has a switch for it",
    ),
    Expected(
        "This DataLoader will create .* worker processes in total",
        "more workers than cores are the user's choice as well",
        "PyTorch has a switch for it",
    ),
    Expected(
        "The number of training batches .* is smaller than the logging interval",
        "the interval counts on over epochs",
        "Lightning compares it with the run's batches",
    ),
    Expected(
        "The `srun` command is available on your system but is not used",
        "`submit` writes it into its scripts, and outside of them a run needs none",
        "Lightning warns only in a job of SLURM",
    ),
    Expected(
        "`torch.jit.script_method` is deprecated",
        "inductor of torch 2.13 imports it, for --compile.backend",
        "PyTorch has removed it from inductor",
    ),
    Expected(
        r"The \.grad attribute of a Tensor that is not a leaf Tensor",
        "dynamo of torch 2.13 looks at the inputs of networks, for --compile.backend",
        "dynamo asks is_leaf first",
    ),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings of :data:`EXPECTED`; all others stay."""
    with warnings.catch_warnings():
        for expected in EXPECTED:
            warnings.filterwarnings("ignore", message=expected.message)
        yield


@contextmanager
def exporting() -> Iterator[None]:
    """Show no warning: those of torch.onnx are about the exporter, change with each release, and are in the hundreds.

    What an export is worth is measured: its answers are compared with the system's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
