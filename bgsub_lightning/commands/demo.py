"""The whole way of a frame on synthetic scenes."""

from __future__ import annotations

from pathlib import Path

from bgsub_lightning.commands.synthesize import synthesize
from bgsub_lightning.commands.training import run_trainer
from bgsub_lightning.console import console
from bgsub_lightning.errors import UserError
from bgsub_lightning.results import TestResult, table


def demo(out: Path = Path("demo"), steps: int = 800, seed: int = 0) -> None:
    """Train BMN-BSN on synthetic scenes, test it on scenes that it has not seen, and compare it with MOG2.

    Args:
        out: Where data and runs are written; they are made once, and a second demo continues or shows them.
        steps: Steps of training, 4 samples each.
        seed: Seed of the scenes, the weights and the batches.

    Raises:
        UserError: If the experiments of the repository are not at hand, or the folder cannot be used.
    """
    experiments = Path(__file__).parents[2] / "experiments"
    if not experiments.is_dir():
        raise UserError(f"{experiments}: the demo needs the experiments of the repository; run it in a clone.")
    root = out / f"scenes_seed{seed}"
    run, mog2_run = out / f"bmn_bsn_seed{seed}_steps{steps}", out / f"mog2_seed{seed}"
    console.rule("1. Scenes: a synthetic twin of CDnet2014")
    synthesize(root, width=160, height=120, unlabelled=40, labelled=40, seed=seed)
    data = [f"--data.init_args.root={root}", f"--data.init_args.seed={seed}"]
    ours = ["--config", str(experiments / "demo.yaml"), f"--run_dir={run}", *data]
    console.rule("2. Training: BMN-BSN on two of three folds")
    if not (run / "finished.json").is_file():
        length = [f"--trainer.max_steps={steps}", f"--model.init_args.decay_steps={steps}"]
        run_trainer("fit", [*ours, *length, f"--seed_everything={seed}", "--ckpt_path=last"])
    console.rule("3. Test: the third fold, whose scenes were never seen")
    run_trainer("test", [*ours, "--scores.show=false"])
    mog2 = ["--config", str(experiments / "mog2.yaml"), f"--run_dir={mog2_run}", *data]
    run_trainer("test", [*mog2, "--scores.show=false"])
    console.rule("Result")
    console.print(table([TestResult.load(run), TestResult.load(mog2_run)]))
    console.print(
        f"Picture of frames, truth, predictions and confusions: {run / 'pictures' / 'test.png'}\n"
        "With footage of your own in CDnet2014's layout (see README), or with CDnet2014 itself:\n"
        "  .venv/bin/python -m bgsub_lightning fit --config experiments/bmn_bsn_small.yaml "
        "--data.init_args.root FOLDER",
        soft_wrap=True,
    )
