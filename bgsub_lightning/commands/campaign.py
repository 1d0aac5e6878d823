"""One experiment for each of several values: scenes, folds, seeds, any key; each run in its own process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.runs.arguments import OptionParser
from bgsub_lightning.runs.campaign import CampaignOptions, CampaignQueue, conclude, plan_campaign, show
from bgsub_lightning.runs.engine import execute, resumable
from bgsub_lightning.runs.grid import parse_grid

_HELP = f"""\
Run one experiment for each of several values, one after the other: `fit`, then `test`, each in its own process.

  {PROGRAM} campaign experiments/bmn_bsn.yaml --over fold=1,2,3
  {PROGRAM} campaign experiments/cdn_medal.yaml --over scene='baseline/*' --data.init_args.root FOLDER
  {PROGRAM} campaign FILE --over scene='*,!PTZ' --over seed=0,1,2 --dry_run
  {PROGRAM} campaign FILE --over model.init_args.lr=1e-3,1e-4 --trainer.max_steps=500
  {PROGRAM} campaign FILE --config parts/four_fold.yaml --over fold=1,2,3,4

The same command continues a campaign: finished runs are skipped, and killed runs are resumed. More values, or more runs
in the file, are added to what is there.
"""

_MORE = """\
all other options go to `fit` and `test` (see `fit --help`). --ckpt_path FILE is the checkpoint that training starts
from, or that is tested if nothing is trained; --ckpt_path best tests the best checkpoint. {run} in an option is the
run's name, as in --ckpt_path 'runs/other/{run}/checkpoints/last.ckpt'.

An experiment may list its runs itself, where they do not form a grid:

  campaign:
    commands: [test]            # default: [fit, test]
    runs:
      Bootstrap: {data.init_args.scene: Wallflower/Bootstrap, ckpt_path: runs/a/checkpoints/last.ckpt}
      Camouflage: {data.init_args.scene: Wallflower/Camouflage, ckpt_path: runs/b/checkpoints/last.ckpt}

`config` of a run names experiments that it starts from; `over: {seed: [0, 1]}` beside `runs` is a grid for all of them,
as --over is.

A table of all runs follows. Runs that test parts of a dataset (scenes, folds) are merged into one result, which
scores.json of the campaign's folder holds; other runs have a column each. Failed runs are listed at the end; the others
continue, and the exit status is 1.
"""


def parse_campaign(options: Sequence[str]) -> CampaignOptions:
    """Parse the options of a campaign.

    Raises:
        UserError: If they do not fit.
    """
    usage = (
        "FILE [--config PART] [--over NAME=VALUE[,VALUE…]] [--out FOLDER] [--only NAME[,NAME]] [--dry_run] [--results] "
        "[OPTIONS]"
    )
    parser = OptionParser("campaign", usage, _HELP, _MORE)
    parser.add_argument("file", type=Path, metavar="FILE", help="the experiment")
    parser.add_argument(
        "--config",
        dest="parts",
        action="append",
        default=[],
        type=Path,
        metavar="PART",
        help="a file whose values are laid over the experiment's, such as parts/four_fold.yaml; may be repeated",
    )
    parser.add_argument(
        "--over",
        dest="grid",
        action="append",
        default=[],
        type=parse_grid,
        metavar="NAME=VALUE[,VALUE…]",
        help="a run for each value; if repeated, for each combination. NAME is root, store, scene, fold or seed (of "
        "weights and batches alike), or any key in full. Values of scene are categories or patterns such as "
        "'baseline/*': each matching scene is a run, and !PATTERN takes scenes out again",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder of the runs' directories. Default: runs/NAME of FILE (and PART)",
    )
    parser.add_argument("--only", metavar="NAME[,NAME]", help="run only these; patterns such as 'fold_*'")
    parser.add_argument("--dry_run", action="store_true", help="show what would be run, and run nothing")
    parser.add_argument("--results", action="store_true", help="show the results so far, and run nothing")
    return CampaignOptions(**parser.parse(options))


def run_campaign(command: str, options: Sequence[str]) -> None:
    """Run a campaign.

    Args:
        command: ``campaign``.
        options: The experiment, its own options, and those of ``fit`` and ``test``.

    Raises:
        UserError: If the options do not fit, or the folder holds another campaign.
        SystemExit: With status 1 if runs have failed, 130 after Ctrl-C or SIGTERM.
    """
    asked = parse_campaign(options)
    campaign = plan_campaign(asked)
    if asked.dry_run:
        show(campaign)
        return
    if asked.results:
        conclude(campaign, {})
        return
    campaign.save()
    with resumable([command, *options]):
        queue = CampaignQueue(campaign)
        execute(queue)
    conclude(campaign, queue.failures)
    if queue.failures:
        raise SystemExit(1)
