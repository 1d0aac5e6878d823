"""Every experiment that is shipped builds, is what its head says, and can be fitted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bgsub_lightning.cli import main
from bgsub_lightning.commands.training import TrainingCLI, run_trainer
from bgsub_lightning.data import Image, References
from bgsub_lightning.modules import BmnBsn, ClassicalSubtractor
from bgsub_lightning.sampling import SceneWise
from bgsub_lightning.scenes.labels import LabelRule

FOLDER = Path(__file__).parents[1] / "experiments"
EXPERIMENTS = sorted(FOLDER.glob("*.yaml"))


class Built(TrainingCLI):
    """Builds what a command would run, and does not run it."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def build(name: str, folder: Path) -> Built:
    command = "test" if "mog2" in name or "knn" in name else "fit"
    cli = run_trainer(command, ["--config", str(FOLDER / f"{name}.yaml"), f"--run_dir={folder}"], Built)
    assert isinstance(cli, Built)
    return cli


@pytest.mark.parametrize("name", [path.stem for path in EXPERIMENTS])
def test_experiment_builds(name: str, tmp_path: Path) -> None:
    cli = build(name, tmp_path)
    assert cli.datamodule.inputs == cli.model.inputs
    assert isinstance(cli.model, ClassicalSubtractor if "mog2" in name or "knn" in name else BmnBsn)
    assert cli.trainer.default_root_dir == str(tmp_path)


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_bmn_bsn_is_the_paper(fold: int, tmp_path: Path) -> None:
    cli = build(f"bmn_bsn_fold{fold}", tmp_path)
    model, data = cli.model, cli.datamodule
    assert sum(parameter.numel() for parameter in model.parameters()) == 62_097_102
    assert model.inputs == (Image(), References(16, 1))
    assert model.network.bmn.head.out_channels == 12
    assert model.network.bsn.down[0][0].out_channels == 64
    assert model.labels is LabelRule.BMN_BSN
    optimizer = model.configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 1e-5
    assert (cli.trainer.max_epochs, cli.trainer.max_steps) == (5, -1)
    assert (data.size, data.batch_size, data.flip, data.augment, data.fold) == ((320, 240), 1, 0.0, None, fold)
    assert isinstance(data.protocol, SceneWise)
    assert (data.protocol.folds, data.protocol.exclude, data.protocol.val_scenes) == (3, ("PTZ",), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in EXPERIMENTS if path.stem.startswith(("bmn", "demo"))])
def test_experiment_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert main(["synthesize", str(root), "--width=96", "--height=72", "--unlabelled=17", "--labelled=2"]) == 0
    if "real_subset" in name:
        for category, video in (("baseline", "highway"), ("cameraJitter", "traffic"), ("dynamicBackground", "canoe")):
            next((root / category).iterdir()).rename(root / category / video)
        next(path for path in (root / "baseline").iterdir() if path.name != "highway").rename(
            root / "baseline/pedestrians"
        )
    options = [
        "--config",
        str(FOLDER / f"{name}.yaml"),
        f"--data.init_args.root={root}",
        f"--run_dir={tmp_path / 'run'}",
    ]
    options += ["--data.init_args.size=[48, 32]", "--model.init_args.channels=4", "--wandb=disabled"]
    if "small" in name or "subset" in name:
        options += [f"--data.init_args.store={tmp_path / 'store'}"]
    steps = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1"]
    assert main(["fit", *options, *steps]) == 0
    assert main(["test", *options]) == 0
    assert (tmp_path / "run/scores.json").is_file()
