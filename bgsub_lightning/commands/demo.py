"""The whole way of a frame on synthetic scenes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.commands.synthesize import synthesize
from bgsub_lightning.core.console import console
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.shipped import shipped
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.evaluation.drawing import comparison_panel
from bgsub_lightning.frames import write_png
from bgsub_lightning.report.terminal import table
from bgsub_lightning.training.callbacks import Pictures
from bgsub_lightning.training.cli import TrainingCLI, run_trainer


def demo(out: Path = Path("demo"), steps: int = 800, seed: int = 0) -> None:
    """Train BMN-BSN on synthetic scenes, and test it on others next to MOG2 and AnyScene.

    Args:
        out: Where data and runs are written; they are made once, and a second demo continues or shows them.
        steps: Steps of training, 4 samples each.
        seed: Seed of the scenes, the weights and the batches.

    Raises:
        UserError: If the folder cannot be used.
    """
    check_range("--", least=1, steps=steps)
    check_range("--", least=0, below=2**32, seed=seed)
    root = out / f"scenes_seed{seed}"
    run = out / f"bmn_bsn_seed{seed}_steps{steps}"
    console.rule("1. Scenes: a synthetic twin of CDnet2014")
    synthesize(root, width=160, height=120, unlabelled=40, labelled=40, seed=seed)
    data = [f"--data.init_args.root={root}", f"--data.init_args.seed={seed}"]
    ours = ["--config", str(shipped("experiments") / "demo.yaml"), f"--run_dir={run}", *data]
    console.rule("2. Training: BMN-BSN on two of three folds")
    if not (run / "finished.json").is_file():
        length = [f"--trainer.max_steps={steps}", f"--model.init_args.decay_steps={steps}"]
        run_trainer("fit", [*ours, *length, f"--seed_everything={seed}", "--ckpt_path=last"])
    console.rule("3. Test: the third fold, whose scenes were never seen")
    runs = {"BMN-BSN": run}
    tests = {"BMN-BSN": run_trainer("test", [*ours, "--scores.show=false"])}
    for name, experiment in (("MOG2", "mog2"), ("AnyScene", "any_scene_scene_wise")):
        runs[name] = out / f"{experiment}_seed{seed}"
        options = ["--config", str(shipped("experiments") / f"{experiment}.yaml"), f"--run_dir={runs[name]}", *data]
        tests[name] = run_trainer("test", [*options, "--scores.show=false"])
    picture = out / f"demo_seed{seed}.png"
    write_png(picture, _beside(tests))
    console.rule("Result, on synthetic scenes")
    console.print(table([TestResult.load(each) for each in runs.values()]))
    console.print(
        f"The systems beside each other, on synthetic scenes: {picture}\n"
        "AnyScene comes with its weights; these scenes are from the same renderer that trained it.\n"
        "With footage of your own in CDnet2014's layout (see docs/datasets.md), or with CDnet2014 itself:\n"
        f"  {PROGRAM} fit --config bmn_bsn_small.yaml --data.init_args.root FOLDER",
        soft_wrap=True,
    )


def _beside(tests: Mapping[str, TrainingCLI]) -> NDArray[np.uint8]:
    """Draw the same frames as each system has them: its confusion with the truth."""
    shown = {name: _pictures(test).shown for name, test in tests.items()}
    first = next(iter(shown.values()))
    rows = []
    for key, frame in sorted(first.items()):
        comparison = frame.panels[""]
        images = [comparison["frame"], comparison["truth"]]
        images += [list(of_system[key].panels[""].values())[-1] for of_system in shown.values()]
        rows.append((f"synthetic: {frame.caption.partition(':')[0]}", images))
    return comparison_panel(rows, ["frame", "truth", *shown])


def _pictures(test: TrainingCLI) -> Pictures:
    return next(each for each in test.trainer.callbacks if isinstance(each, Pictures))  # type: ignore[attr-defined]
