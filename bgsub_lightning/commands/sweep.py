"""A sweep file of Weights & Biases, run on this machine by Optuna: no account, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.runs.arguments import OptionParser, count
from bgsub_lightning.runs.engine import execute, resumable
from bgsub_lightning.runs.search import SweepOptions, plan_search, show
from bgsub_lightning.runs.trials import TrialQueue, conclude, open_study

_HELP = f"""\
Run a sweep file of Weights & Biases without an account or a network: each trial is a `fit` in its own process.

  {PROGRAM} sweep sweeps/bmn_bsn_folds.yaml --data.init_args.root FOLDER
  {PROGRAM} sweep sweeps/bmn_bsn_search.yaml --trials 30 --workers 4
  {PROGRAM} sweep FILE --dry_run

The same command continues a sweep: finished trials are skipped, and killed trials are resumed. Several such commands in
one folder share its trials.
"""

_MORE = """\
all other options go to each `fit` (see `fit --help`); --ckpt_path FILE is the checkpoint that training starts from. An
option overrides a value that the file fixes, but must not set a parameter that the file searches. The file's --wandb is
ignored: W&B stays offline without --wandb online.

`method: grid` runs all combinations; `random` draws each trial by its number; `bayes` is Optuna's TPE, after a first
trial at random. `early_terminate` is Optuna's successive halving, with W&B's numbers: validations are counted, the
first decision is after min_iter of them (or max_iter / eta^s), the next after eta times as many, and at each the best
1/eta of the trials so far continue. A trial that is pruned keeps its files.

At the end there is a table of all trials, by the best value that each has logged, and parallel_coordinates.html in the
sweep's folder. Failed trials are listed; the others continue, and the exit status is 1.
"""


def parse_sweep(options: Sequence[str]) -> SweepOptions:
    """Parse the options of a sweep.

    Raises:
        UserError: If they do not fit.
    """
    usage = "FILE [--trials N] [--workers N] [--out FOLDER] [--dry_run] [OPTIONS]"
    parser = OptionParser("sweep", usage, _HELP, _MORE)
    parser.add_argument("file", type=Path, metavar="FILE", help="the sweep file, such as those in sweeps/")
    parser.add_argument(
        "--trials",
        type=count(),
        metavar="N",
        help="run no more than N trials. Default: run_cap of FILE, or the whole grid",
    )
    parser.add_argument(
        "--workers", type=count(), default=1, metavar="N", help="trials at a time, each on its own GPU. Default: 1"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder of the trials' run directories. Default: runs/NAME of FILE"
    )
    parser.add_argument("--dry_run", action="store_true", help="show what would be run, and run nothing")
    return SweepOptions(**parser.parse(options))


def run_sweep(command: str, options: Sequence[str]) -> None:
    """Run a sweep.

    Args:
        command: ``sweep``.
        options: The sweep file, its own options, and those of ``fit``.

    Raises:
        UserError: If the file or the options do not fit, the folder holds another sweep, or Optuna is missing.
        SystemExit: With status 1 if trials have failed, 130 after Ctrl-C or SIGTERM.
    """
    asked = parse_sweep(options)
    search = plan_search(asked)
    if asked.dry_run:
        show(search)
        return
    queue = TrialQueue(search, open_study(search))
    with resumable([command, *options]):
        execute(queue, asked.workers)
    if conclude(queue):
        raise SystemExit(1)
