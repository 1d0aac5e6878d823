"""Every experiment that is shipped builds, is what its head says, and can be fitted."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import yaml

from bgsub_lightning.backgrounds.classical import TemporalMedian
from bgsub_lightning.backgrounds.subspace import Eigenbackground, IncrementalPcp
from bgsub_lightning.cli import main
from bgsub_lightning.core.config import merged_config
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import (
    Blur,
    ByteStream,
    Hop,
    Image,
    Jpeg,
    LightChange,
    PastedObjects,
    SensorNoise,
    Stage,
)
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.datasets.scene import select
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.runs.grid import Run, runs_of_file
from bgsub_lightning.splits import FirstHalf, HoldOut, RandomShares, SceneWise, Subset
from bgsub_lightning.synthetic import Plan, Rendered, lasiesta, limu, render_all, sbi2015
from bgsub_lightning.systems import AnyScene
from bgsub_lightning.systems.ae_ne import AeNe
from bgsub_lightning.systems.any_scene import EarlierFrame, SampleBanks
from bgsub_lightning.systems.any_scene.features import PLANES
from bgsub_lightning.systems.any_scene.network import COLOURS
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.baselines import BgsLibrarySubtractor, ClassicalSubtractor, ThresholdedDifference
from bgsub_lightning.systems.bmn_bsn import BmnBsn
from bgsub_lightning.systems.bsuv_net import BsuvNet
from bgsub_lightning.systems.cdn_medal import CdnMedal
from bgsub_lightning.systems.crossnet import CrossNet
from bgsub_lightning.systems.fgsegnet import FgSegNet
from bgsub_lightning.systems.recon_mcfcn import FrameFcn, ReconMcfcn
from bgsub_lightning.systems.recon_mcfcn.background import ReconstructedBackground
from bgsub_lightning.systems.seqfeednet import SeqFeedNet
from bgsub_lightning.systems.siamese import Siamese
from bgsub_lightning.training.callbacks import EarlyStopping
from bgsub_lightning.training.cli import TrainingCLI, run_trainer

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "experiments"
SYSTEMS_FOLDER = ROOT / "bgsub_lightning/systems"
PUBLISHED = ROOT / "bgsub_lightning/report/published"
EXPERIMENTS, CAMPAIGNS = (  # campaigns whose runs start from other experiments name no model
    sorted(path for path in FOLDER.glob("*.yaml") if ("model" in merged_config(path)) is has_model)
    for has_model in (True, False)
)


class Built(TrainingCLI):
    """Builds what a command would run, and does not run it."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


SYSTEMS: dict[str, type[BgsModule]] = {  # the beginning of an experiment's name → what it builds
    "ae_ne": AeNe,
    "any_scene": AnyScene,
    "bmn": BmnBsn,
    "bsuv_net": BsuvNet,
    "cdn": CdnMedal,
    "cnt": ClassicalSubtractor,
    "crossnet": CrossNet,
    "demo": BmnBsn,
    "fgsegnet": FgSegNet,
    "frame_difference": ThresholdedDifference,
    "gsoc": ClassicalSubtractor,
    "knn": ClassicalSubtractor,
    "lsbp": ClassicalSubtractor,
    "mog2": ClassicalSubtractor,
    "recon_mcfcn": ReconMcfcn,
    "recon_mcfcn_baseline2": FrameFcn,
    "seqfeednet": SeqFeedNet,
    "siamese": Siamese,
    "subsense": BgsLibrarySubtractor,
    "temporal_median": ThresholdedDifference,
    "threshold": ThresholdedDifference,
}


CONTRIB = {"cnt", "gsoc", "lsbp"}  # of opencv-contrib
VARIED = {  # small and scene-wise experiments of many scenes; not the papers' files, nor systems of one scene
    *("bmn_bsn_small", "bmn_bsn_real_subset", "bmn_bsn_appearance"),
    *("crossnet_small", "crossnet_real_subset", "crossnet_appearance"),
    *("siamese_scene_wise", "siamese_appearance"),
}


def system_of(name: str) -> type[BgsModule]:
    return SYSTEMS[max((beginning for beginning in SYSTEMS if name.startswith(beginning)), key=len)]


def build(name: str, folder: Path, *options: str) -> Built:
    command = "fit" if system_of(name).trainable else "test"
    cli = run_trainer(command, ["--config", str(FOLDER / f"{name}.yaml"), f"--run_dir={folder}", *options], Built)
    assert isinstance(cli, Built)
    return cli


@pytest.mark.parametrize("name", [path.stem for path in EXPERIMENTS])
def test_experiment_builds(name: str, tmp_path: Path) -> None:
    if name == "subsense":
        pytest.importorskip("pybgs", reason="bgslibrary is not installed")
    if name in CONTRIB and not hasattr(cv2, "bgsegm"):
        with pytest.raises(UserError, match=f"{name.upper()}: .*opencv-contrib-python-headless"):
            build(name, tmp_path)
        return
    cli = build(name, tmp_path)
    assert cli.datamodule.inputs == cli.model.inputs
    assert type(cli.model) is system_of(name)
    assert cli.datamodule.plan is cli.model.plan
    assert cli.trainer.default_root_dir == str(tmp_path)
    if not isinstance(cli.model, AnyScene | BsuvNet | SeqFeedNet):  # which have their own transforms
        varied = [(type(each), getattr(each, "frames", "all")) for each in cli.datamodule.transforms]
        parts = [(each, "all") for each in (Blur, SensorNoise, Jpeg, LightChange)]
        assert varied == (parts if name in VARIED else [])
    # validation chooses where something is held out for it, as in the siamese system's paper and in no other; it ends
    # the training of FgSegNet_v2 at full size, and chooses nothing
    early, protocol = cli.trainer.early_stopping_callback, cli.datamodule.protocol
    assert isinstance(early, EarlyStopping)
    chooses = (
        early.patience < math.inf,
        cli.config[cli.subcommand].checkpoint == "best",
        cli.model.threshold_from_validation,
    )
    held_out = isinstance(protocol, RandomShares) or bool(protocol.validation.scenes or protocol.validation.fraction)
    held_out |= name == "siamese_sbi2015"  # by the run whose weights it tests
    if name in {"fgsegnet", "fgsegnet_25"}:
        assert chooses == (True, False, False)
    else:
        assert chooses == (held_out and name.startswith("siamese"),) * 3


RUNS = [(path.stem, run) for path in CAMPAIGNS for run in runs_of_file(path).runs]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "run"), RUNS, ids=[f"{name}-{run.name}" for name, run in RUNS])
def test_each_run_of_a_campaign_builds(name: str, run: Run, tmp_path: Path) -> None:
    if run.name in {"subsense", "lobster"}:
        pytest.importorskip("pybgs", reason="bgslibrary is not installed")
    command = "fit" if "fit" in runs_of_file(Path(run.files[0])).commands else "test"
    files = [f"--config={file}" for file in (*run.files, FOLDER / f"{name}.yaml")]
    options = [command, [*files, f"--run_dir={tmp_path}", *run.options], Built]
    if run.name in CONTRIB and not hasattr(cv2, "bgsegm"):
        with pytest.raises(UserError, match=f"{run.name.upper()}: .*opencv-contrib-python-headless"):
            run_trainer(*options)
        return
    cli = run_trainer(*options)
    assert isinstance(cli, Built)
    start = merged_config(*map(Path, run.files))
    assert f"{type(cli.model).__module__}.{type(cli.model).__name__}".startswith("bgsub_lightning.systems")
    assert type(cli.model).__name__ == start["model"]["class_path"].rpartition(".")[2]


@pytest.mark.slow
def test_systems_that_are_compared_where_scenes_are_unseen_are_trained_alike(tmp_path: Path) -> None:
    """The same scenes, seeds and variation of samples; nothing is held out."""
    path = FOLDER / "zero_shot.yaml"
    _, grid, runs = runs_of_file(path)
    assert grid == {"seed": ["0", "1", "2"]}
    assert len(runs) == 9
    seen = set()
    for run in runs:
        files = [f"--config={file}" for file in (*run.files, path)]
        cli = run_trainer("fit", [*files, f"--run_dir={tmp_path}", *run.options], Built)
        assert isinstance(cli, Built)
        data = cli.config["fit"].data.init_args
        alike = (data.reader, data.protocol, data.transforms, data.flip, data.augment, data.paste)
        seen.add(yaml.safe_dump([str(each) for each in alike]))
        assert not cli.model.threshold_from_validation
        assert cli.config["fit"].checkpoint == "last"
        assert cli.trainer.limit_val_batches == 0
    assert len(seen) == 1


ROW = re.compile(r"^\| (?P<setting>[^|]+) \| [^|]+ \| `(?P<key>[^`|]+)` \| `(?P<value>[^`|]+)` \|$", re.M)
PAPERS = sorted(path.parent.name for path in SYSTEMS_FOLDER.glob("*/README.md") if ROW.search(path.read_text()))


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """Values under dotted keys, and nested ones under those of their parents as well."""
    values = {key: node}
    for name, value in node.items() if isinstance(node, dict) else ():
        values |= flat(value, f"{key}.{name}" if key else name)
    return values


def numbers(cli: Built) -> dict[str, Any]:
    """The resolved configuration, and under ``parameters of PART`` how many a part of the model has."""
    config = yaml.safe_load(cli._parser(cli.subcommand).dump(cli.config[cli.subcommand], skip_none=False))
    parts = {f"parameters of {name}".removesuffix(" of "): part for name, part in cli.model.named_modules()}
    return flat(config) | {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def table_of(paper: str) -> dict[str, Any]:
    """The numbers of the table in a paper's README: key → value."""
    readme = (SYSTEMS_FOLDER / paper / "README.md").read_text()
    return {row["key"]: yaml.safe_load(row["value"]) for row in ROW.finditer(readme)}


def test_the_links_of_a_papers_readme_stay_in_the_package() -> None:
    """A reader of the wheel has no other files."""
    for readme in SYSTEMS_FOLDER.glob("*/README.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", readme.read_text()):
            target = (readme.parent / link).resolve()
            assert target.is_file(), link
            assert target.is_relative_to(SYSTEMS_FOLDER.parent.resolve()), link


@pytest.mark.parametrize("paper", PAPERS)
def test_the_experiment_of_a_paper_is_the_table_of_its_readme(paper: str, tmp_path: Path) -> None:
    table, found = table_of(paper), numbers(build(paper, tmp_path))
    assert len(table) > 15
    assert {key: found.get(key, "no such key") for key in table} == table


@pytest.mark.parametrize("paper", PAPERS)
def test_the_papers_numbers_are_the_defaults_of_its_system(paper: str) -> None:
    """All but those of CDN-GM, whose source of backgrounds is an argument, and the choice by validation."""
    arguments = inspect.signature(system_of(paper)).parameters.values()
    defaults = {each.name: each.default for each in arguments}
    found = flat({name: asdict(value) if is_dataclass(value) else value for name, value in defaults.items()})
    table = {key: value for key, value in table_of(paper).items() if key.startswith("model.") and value != "validation"}
    expected = {key.removeprefix("model.init_args."): value for key, value in table.items() if "background" not in key}
    assert len(expected) > 5
    plain = {
        key: list(value) if isinstance(value, tuple) else getattr(value, "name", value) for key, value in found.items()
    }
    assert {key: plain[key] for key in expected} == expected


def test_each_published_paper_has_such_a_table() -> None:
    """Those of the four that are not the five's are among the records."""
    published = {path.stem for path in PUBLISHED.glob("*.yaml") if (SYSTEMS_FOLDER / path.stem).is_dir()}
    assert published | {"ae_ne", "bsuv_net", "fgsegnet", "seqfeednet"} == {*PAPERS}


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_folds_of_bmn_bsn_are_the_papers_experiment(fold: int) -> None:
    expected = merged_config(FOLDER / "bmn_bsn.yaml")
    expected["data"]["init_args"]["fold"] = fold
    assert merged_config(FOLDER / f"bmn_bsn_fold{fold}.yaml") == expected


def test_cdn_medal_authors_is_what_its_head_says(tmp_path: Path) -> None:
    model = build("cdn_medal_authors", tmp_path).model
    network = model.background.network
    assert (network.components, network.history, network.spread) == (3, 240, "variance")
    torch.testing.assert_close(torch.tensor([network.slope, model.slope]), torch.tensor([1 / 6, 1 / 6]))
    assert model.plan.spans[1].stage == Stage(25_000, 8, 5e-3)
    assert (model.sigmoid, model.labels, model.threshold) == ("hard", LabelRule.CDN_MEDAL, 0.3)


def test_readings_of_cdn_medal_see_as_many_pixels_and_windows(tmp_path: Path) -> None:
    _, _, runs = runs_of_file(FOLDER / "cdn_medal_readings_small.yaml")
    plans = {each.name: build("cdn_medal_readings_small", tmp_path, *each.options).model.plan.spans for each in runs}
    assert [span.name for span in plans.pop("median")] == ["difference"]
    stages = {name: density.stage for name, (density, _) in plans.items()}
    many = [stages.pop(name) for name in ("more_steps", "more_steps_slower")]
    assert {stage.steps * stage.batch_size for stage in stages.values()} == {600 * 2048}
    assert {stage.steps / stage.repeat for stage in stages.values()} == {75}
    assert {(stage.steps * stage.batch_size, stage.steps / stage.repeat) for stage in many} == {(4 * 600 * 2048, 300)}


def test_cdn_medal_small_differs_where_its_head_says(tmp_path: Path) -> None:
    paper, small = (numbers(build(name, tmp_path)) for name in ("cdn_medal", "cdn_medal_small"))
    leaves = {key for key, value in (paper | small).items() if not isinstance(value, dict)}
    different = {key.rpartition("init_args.")[2] for key in leaves if paper.get(key) != small.get(key)}
    stages = {f"density.{name}" for name in ("steps", "batch_size", "lr", "decay", "repeat")}
    stages |= {"difference.steps", "difference.decay"}
    assert different - {"name"} == {*stages, "drawn", "trainer.val_check_interval"}


def test_ae_ne_complex_is_what_the_authors_train_next(tmp_path: Path) -> None:
    simple, further = (build(name, tmp_path).model for name in ("ae_ne", "ae_ne_complex"))
    assert [sum(p.numel() for p in model.parameters()) for model in (simple, further)] == [3_877_480, 13_881_224]
    for model, steps in ((simple, 2_500), (further, 24_000)):
        learn, settle = model.plan
        assert (learn.stage.steps, learn.stage.steps + settle.stage.steps) == (4 * steps // 5, steps)
        assert settle.stage == replace(learn.stage, steps=settle.stage.steps, lr=learn.stage.lr / 10)


def test_ae_ne_small_differs_where_its_head_says(tmp_path: Path) -> None:
    full, small = (numbers(build(name, tmp_path)) for name in ("ae_ne", "ae_ne_small"))
    settings = {key: value for key, value in (full | small).items() if not key.startswith("parameters")}
    leaves = {key for key, value in settings.items() if not isinstance(value, dict)}
    different = {key.rpartition("init_args.")[2] for key in leaves if full.get(key) != small.get(key)}
    stages = {f"{stage}.{name}" for stage in ("learn", "settle") for name in ("steps", "batch_size", "lr")}
    assert different - {"name"} == {*stages, "size", "width", "closing", "opening"}


# of table I: intervals, CmDFF, CS-Focal, focal, L1
TABLE_1 = {
    "row01_all": ((1, 5, 10), True, True, False, True),
    "row02_tau_1_5": ((1, 5), True, True, False, True),
    "row03_tau_1": ((1,), True, True, False, True),
    "row04_tau_1_no_cmdff_focal": ((1,), False, False, True, False),
    "row05_tau_1_no_cmdff_focal_l1": ((1,), False, False, True, True),
    "row06_focal_l1": ((1, 5, 10), True, False, True, True),
    "row07_cs_focal": ((1, 5, 10), True, True, False, False),
    "row08_focal": ((1, 5, 10), True, False, True, False),
    "row09_l1": ((1, 5, 10), True, False, False, True),
    "row10_no_flow": ((), True, True, False, True),
    "row11_no_cmdff": ((1, 5, 10), False, True, False, True),
}


def test_ablations_are_the_rows_of_table_1(tmp_path: Path) -> None:
    _, _, runs = runs_of_file(FOLDER / "crossnet_ablations.yaml")
    assert [run.name for run in runs] == list(TABLE_1)
    assert runs_of_file(FOLDER / "crossnet_ablations_small.yaml").runs == runs
    for run in runs:
        model = build("crossnet_ablations", tmp_path, *run.options, "--model.init_args.width=1").model
        taus, filters, cs_focal, focal, l1 = TABLE_1[run.name]
        assert model.inputs == ((Image(), Hop(taus)) if taus else (Image(),))
        assert hasattr(model.network.decoder[0], "fuse") is filters
        by_scale, plain = (model.focal_weight > 0 and model.beta == beta for beta in ("paper", "off"))
        assert (by_scale, plain, model.l1_weight > 0) == (cs_focal, focal, l1)


@pytest.mark.parametrize(("name", "row"), [("crossnet_no_flow", 10), ("crossnet_no_cmdff", 11)])
def test_single_ablations_are_those_rows(name: str, row: int, tmp_path: Path) -> None:
    run = runs_of_file(FOLDER / "crossnet_ablations.yaml").runs[row - 1]
    alone = build(name, tmp_path, "--model.init_args.width=1").model
    assert alone.hparams == build("crossnet", tmp_path, *run.options, "--model.init_args.width=1").model.hparams


def test_baseline2_is_the_second_step_on_the_frame_alone(tmp_path: Path) -> None:
    for suffix in ("", "_small"):
        frame, both = (build(f"recon_mcfcn{part}{suffix}", tmp_path).model for part in ("_baseline2", ""))
        assert isinstance(frame, FrameFcn)
        assert isinstance(both, ReconMcfcn)
        assert frame.segmentation.channels == 3
        assert frame.segmentation.conv1_1.out_channels == both.segmentation.conv1_1.out_channels
        assert (frame.size, frame.loss_size) == (both.size, both.loss_size)
        own, (_, second, third) = frame.plan.spans[0].stage, (span.stage for span in both.plan)
        assert (own.batch_size, own.lr, own.decay) == (second.batch_size, second.lr, second.decay)
        assert own.steps == second.steps + (third.steps if suffix else 0)


@pytest.mark.parametrize("suffix", ["", "_small"])
def test_joint_training_is_compared_with_as_many_steps_of_the_second_network(suffix: str, tmp_path: Path) -> None:
    name = f"recon_mcfcn_joint{suffix}"
    _, _, runs = runs_of_file(FOLDER / f"{name}.yaml")
    assert [run.name for run in runs] == ["joint_mean", "joint_sum", "segmentation_alone"]
    initial = "--initial_weights=after_segment.ckpt"
    mean, total, alone = (build(name, tmp_path, *run.options, initial) for run in runs)
    (joint,) = mean.model.plan
    assert [joint] == list(total.model.plan) == [replace(alone.model.plan.spans[1], first=0)]
    weights = [cli.model.segmentation_weight for cli in (mean, total)]
    assert weights == [1, math.prod(len(range(0, mean.model.size, 8)) for _ in "ij")]
    of_joint = [getattr(joint.stage, key) for key in ("steps", "batch_size", "lr", "decay")]
    segment = alone.model.plan.at(0)
    assert segment.learns == ("segmentation",)
    assert [getattr(segment.stage, key) for key in ("steps", "batch_size", "lr", "decay")] == of_joint
    assert alone.trainer.max_steps == joint.stage.steps


def test_siamese_scene_wise_differs_in_the_protocol_alone(tmp_path: Path) -> None:
    paper, honest = (build(name, tmp_path) for name in ("siamese", "siamese_scene_wise"))
    assert isinstance(honest.datamodule.protocol, SceneWise)
    assert honest.datamodule.protocol.exclude == paper.datamodule.protocol.exclude
    assert honest.datamodule.protocol.validation.scenes == 4
    assert honest.model.hparams == paper.model.hparams
    assert honest.datamodule.size == paper.datamodule.size


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("median", TemporalMedian),
        ("pca", Eigenbackground),
        ("rpca", IncrementalPcp),
        ("reconstruction", ReconstructedBackground),
    ],
)
def test_backgrounds_are_compared_alike(name: str, source: type, tmp_path: Path) -> None:
    """By the same threshold, in the protocol of the system that they are compared with."""
    cli = build(f"threshold_{name}", tmp_path)
    assert type(cli.model.background) is source
    assert cli.model.threshold == 0.15
    assert isinstance(cli.datamodule.protocol, FirstHalf)
    assert cli.datamodule.size is None
    if source is ReconstructedBackground:
        assert sum(p.numel() for p in cli.model.parameters()) == 14_038_403


def test_any_scene_is_what_its_head_says(tmp_path: Path) -> None:
    cli = build("any_scene", tmp_path)
    model, data = cli.model, cli.datamodule
    assert sum(parameter.numel() for parameter in model.parameters()) == 194_660
    assert model.inputs == (ByteStream(), EarlierFrame(), SampleBanks())
    assert (model.decay_steps, model.threshold) == (cli.trainer.max_steps, 0.4)
    assert model.initial_weights is None
    assert type(model.configure_optimizers()["optimizer"]) is torch.optim.AdamW
    assert isinstance(data.reader, Rendered)
    assert (data.size, data.crop.size) == (None, 128)
    assert isinstance(data.protocol, Subset)
    keys = [plan.key for plan in data.reader.plans]
    parts = [select(keys, patterns, "") for patterns in (data.protocol.train, data.protocol.validation.named)]
    assert sorted([*parts[0], *parts[1]]) == sorted(keys)
    assert not {*parts[0]} & {*parts[1]}
    assert all(key.endswith("_s90") for key in parts[1])


def test_ablations_of_any_scene_are_what_they_say() -> None:
    """The lists that a campaign must write out are those of the system and of its experiment."""
    read = lambda name: yaml.safe_load((FOLDER / name).read_text())  # noqa: E731
    runs = read("any_scene_ablations.yaml")["campaign"]["runs"]
    hidden = {name: run.get("model.init_args.hidden", []) for name, run in runs.items()}
    assert hidden["frame_and_background"] == list(PLANES[COLOURS:])
    banks = {*hidden["no_blind_bank"], *hidden["no_locked_bank"], *hidden["no_motion"]}
    assert banks == {*PLANES[COLOURS:]}
    own = runs["own_variations"]["data.init_args.transforms"]
    assert own == read("parts/data_rendered.yaml")["init_args"]["transforms"]


@pytest.mark.parametrize("name", ["any_scene_quick", "any_scene_fine_tuned"])
def test_shorter_fits_of_any_scene_decay_to_their_end(name: str, tmp_path: Path) -> None:
    cli, whole = build(name, tmp_path), build("any_scene", tmp_path)
    assert cli.model.decay_steps == cli.trainer.max_steps < whole.trainer.max_steps
    pastes = [any(isinstance(each, PastedObjects) for each in run.datamodule.transforms) for run in (cli, whole)]
    assert pastes == [name == "any_scene_quick", True]  # a few labelled frames may have no object to cut out
    assert {*map(type, cli.datamodule.transforms)} <= {*map(type, whole.datamodule.transforms)}
    assert cli.model.initial_weights == (cli.model.shipped() if name == "any_scene_fine_tuned" else None)
    assert cli.model.hparams["widths"] == whole.model.hparams["widths"]


@pytest.mark.parametrize("name", [*(f"{paper}_small" for paper in PAPERS), "mog2"])
def test_the_fields_protocol_is_laid_over_any_experiment(name: str, tmp_path: Path) -> None:
    part = f"--config={FOLDER / 'parts/four_fold.yaml'}"
    alone, field = build(name, tmp_path), build(name, tmp_path, part, "--data.init_args.fold=2")
    held_out = HoldOut(fraction=0.2, frames=0) if name == "fgsegnet_small" else HoldOut()  # which it needs
    expected = SceneWise(4, exclude=[], frames=200, drawn="fgsegnet", validation=held_out)
    protocol = field.datamodule.protocol
    assert (type(protocol), field.datamodule.fold) == (SceneWise, 2)
    assert vars(protocol) == vars(expected)
    assert protocol.describe(2) == "fold 2 of 4, 200 frames per training scene (FgSegNet's list)"
    assert field.model.hparams == alone.model.hparams
    assert vars(field.datamodule).keys() == vars(alone.datamodule).keys()
    arguments = "{folds: 4, exclude: [], frames: 200, drawn: fgsegnet}"
    line = f"--data.init_args.protocol={{class_path: SceneWise, init_args: {arguments}}}"
    assert vars(build(name, tmp_path, line).datamodule.protocol) == vars(expected)


def test_any_scene_scene_wise_tests_as_bmn_bsn_does(tmp_path: Path) -> None:
    data, paper = build("any_scene_scene_wise", tmp_path).datamodule, build("bmn_bsn_fold1", tmp_path).datamodule
    assert isinstance(data.protocol, SceneWise)
    assert vars(data.protocol) == vars(paper.protocol)
    assert type(data.reader) is CDnet2014  # not Rendered, which is one


# tests of weights on another dataset: the videos of its twin, and the experiment that trains the weights
UNTOUCHED: dict[str, tuple[list[Plan], str]] = {
    "crossnet_lasiesta": ([*lasiesta.plan(1, ["O_MC", "O_CL", "I_OC", "I_MC"])], "crossnet"),
    "crossnet_limu": ([*limu.plan()[:1]], "crossnet"),
    "siamese_sbi2015": ([plan for plan in sbi2015.plan() if plan.name == "HighwayI"], "siamese"),
}


def trained(system: str) -> list[str]:
    """Name the experiments of a system that train it."""
    return [path.stem for path in EXPERIMENTS if path.stem.startswith(system) and path.stem not in UNTOUCHED]


def on_real_subset(name: str) -> bool:
    return name.endswith(("real_subset", "appearance"))


def name_as_real_subset(root: Path) -> None:
    """Give four synthetic videos the names of the four real ones of ``parts/data_real_subset.yaml``."""
    for key in ("baseline/highway", "cameraJitter/traffic", "dynamicBackground/canoe", "baseline/pedestrians"):
        path = root / key
        next(each for each in sorted(path.parent.iterdir()) if each.name != "highway").rename(path)


TWIN = ("--width=64", "--height=48", "--labelled=8", "--categories=[baseline]")
CROSSNET: dict[str, object] = {"model.init_args.width": 1}
SIAMESE: dict[str, object] = {
    "data.init_args.size": "[32, 24]",
    "model.init_args.width": 2,
    "model.init_args.channels": 2,
    "model.init_args.depth": 2,
    "model.init_args.metric.steps": 2,
    "model.init_args.segment.steps": 2,
}
RECON = {  # what shrinks the experiments of recon_mcfcn: their options by what the systems have
    ReconMcfcn: {
        "bottleneck": 8,
        "width": 4,
        "reconstruct": "{steps: 3, batch_size: 2}",
        "segment.steps": 2,
        "joint.steps": 2,
    },
    FrameFcn: {"segment.steps": 4},
}


HALVES = ("--trainer.val_check_interval=0.5",)
TWO_STEPS = ("--trainer.max_steps=2", "--trainer.val_check_interval=2")


def fit_test_predict(
    name: str, tmp_path: Path, given: dict[str, object], steps: Sequence[str], predicts: bool = True
) -> Path:
    """Fit, test and predict with an experiment on the videos in ``data``; return its run directory."""
    folder = tmp_path / "run"
    given = {"data.init_args.root": tmp_path / "data", **given, "run_dir": folder, "wandb": "disabled"}
    options = ["--config", str(FOLDER / f"{name}.yaml"), *(f"--{key}={value}" for key, value in given.items())]
    assert main(["fit", *options, *steps, "--trainer.log_every_n_steps=1"]) == 0
    assert main(["test", *options]) == 0
    assert (folder / "scores.json").is_file()
    if predicts:
        assert main(["predict", *options]) == 0
        assert list((folder / "results").rglob("bin*.png"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in EXPERIMENTS if path.stem.startswith("recon")])
def test_recon_mcfcn_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    assert main(["synthesize", str(tmp_path / "data"), *TWIN, "--unlabelled=4"]) == 0
    given = {
        "data.init_args.store": tmp_path / "store",
        "data.init_args.scene": "baseline",
        "model.init_args.mcfcn_width": 4,
        "model.init_args.size": 49,
        **{f"model.init_args.{key}": value for key, value in RECON[system_of(name)].items()},
    }
    fit_test_predict(name, tmp_path, given, HALVES)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in EXPERIMENTS if path.stem.startswith("threshold")])
def test_threshold_can_be_tested(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert main(["synthesize", str(root), *TWIN, "--unlabelled=17"]) == 0
    options = [f"--data.init_args.root={root}", "--data.init_args.scene=baseline", "--wandb=disabled"]
    checkpoint = []
    if name == "threshold_reconstruction":
        settings = {"mcfcn_width": 4, "size": 49, **RECON[ReconMcfcn]}
        shrunk = [f"--model.init_args.{key}={value}" for key, value in settings.items()]
        few = [*shrunk, "--trainer.max_steps=3", "--trainer.log_every_n_steps=1", f"--run_dir={tmp_path / 'fit'}"]
        few += [f"--data.init_args.store={tmp_path / 'store'}"]
        assert main(["fit", "--config", str(FOLDER / "recon_mcfcn.yaml"), *options, *few]) == 0
        checkpoint = [f"--ckpt_path={tmp_path / 'fit/checkpoints/after_reconstruct.ckpt'}"]
        checkpoint += [
            f"--model.init_args.background.init_args.{key}={settings[key]}" for key in ("bottleneck", "width")
        ]
    if name == "threshold_density":
        options.append("--data.init_args.protocol.init_args.frames=3")
        few = ["--model.init_args.density.steps=2", "--trainer.max_steps=2", "--trainer.limit_val_batches=0"]
        few += [f"--data.init_args.store={tmp_path / 'store'}", f"--run_dir={tmp_path / 'fit'}"]
        assert main(["fit", "--config", str(FOLDER / "cdn_medal_small.yaml"), *options, *few]) == 0
        checkpoint = [f"--ckpt_path={tmp_path / 'fit/checkpoints/after_density.ckpt'}"]
    if name == "threshold_autoencoder":
        small = ["size=[64, 48]", "width=4"]
        few = [f"--model.init_args.{stage}.steps=1" for stage in ("learn", "settle")]
        few += [f"--model.init_args.{stage}.batch_size=4" for stage in ("learn", "settle")]
        few += [f"--model.init_args.background.init_args.{each}" for each in small]
        few += [f"--data.init_args.store={tmp_path / 'store'}", f"--run_dir={tmp_path / 'fit'}"]
        assert main(["fit", "--config", str(FOLDER / "ae_ne.yaml"), *options, *few]) == 0
        checkpoint = [f"--ckpt_path={tmp_path / 'fit/checkpoints/last.ckpt'}"]
        checkpoint += [f"--model.init_args.background.init_args.{each}" for each in small]
    command = ["--config", str(FOLDER / f"{name}.yaml"), *options, *checkpoint, f"--run_dir={tmp_path / 'run'}"]
    assert main(["test", *command]) == 0
    assert (tmp_path / "run/scores.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["any_scene", "any_scene_quick"])
def test_any_scene_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    given = {
        "data.init_args.store": tmp_path / "store",
        "data.init_args.reader.init_args.videos": "{11: 1, 90: 1, 91: 1}",
        "data.init_args.reader.init_args.categories": "[baseline]",
        "data.init_args.reader.init_args.frames": 24,
        "data.init_args.reader.init_args.size": "[96, 72]",
        "data.init_args.protocol.init_args.test": "['*_s91']",
        "data.init_args.crop.init_args.size": 32,
        "data.init_args.batch_size": 2,
        "model.init_args.widths": "[2, 2, 2, 2]",
    }
    fit_test_predict(name, tmp_path, given, TWO_STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cdn_medal", "cdn_medal_authors", "cdn_medal_small"])
def test_cdn_medal_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    """With its own frames, because the published list is of the real sequences."""
    size = ["--width=64", "--height=48", "--unlabelled=17", "--labelled=8"]
    assert main(["synthesize", str(tmp_path / "data"), *size]) == 0
    given = {
        "data.init_args.store": tmp_path / "store",
        "data.init_args.scene": "baseline",
        "data.init_args.protocol.init_args.drawn": "balanced",
        "data.init_args.protocol.init_args.frames": 3,
        "model.init_args.density.steps": 2,
        "model.init_args.difference.steps": 2,
    }
    fit_test_predict(name, tmp_path, given, HALVES)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in EXPERIMENTS if path.stem.startswith(("bmn", "demo"))])
def test_experiment_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert main(["synthesize", str(root), "--width=96", "--height=72", "--unlabelled=17", "--labelled=2"]) == 0
    if on_real_subset(name):
        name_as_real_subset(root)
    given: dict[str, object] = {"data.init_args.size": "[48, 32]", "model.init_args.channels": 4}
    if "small" in name or on_real_subset(name):
        given["data.init_args.store"] = tmp_path / "store"
    fit_test_predict(name, tmp_path, given, TWO_STEPS, predicts=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", trained("crossnet"))
def test_crossnet_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    given = {"data.init_args.store": tmp_path / "store", "data.init_args.batch_size": 2, **CROSSNET}
    if on_real_subset(name):
        assert main(["synthesize", str(root), "--width=64", "--height=48", "--unlabelled=4", "--labelled=8"]) == 0
        name_as_real_subset(root)
    else:
        assert main(["synthesize", str(root), *TWIN, "--unlabelled=4"]) == 0
        given["data.init_args.protocol.init_args.fraction"] = 0.3
    folder = fit_test_predict(name, tmp_path, given, TWO_STEPS)
    assert (folder / "pictures/test_inner.png").is_file() is (name != "crossnet_no_cmdff")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seqfeednet", "seqfeednet_small"])
def test_seqfeednet_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    """Under folds of rendered scenes, whose frames no list names."""
    assert main(["synthesize", str(tmp_path / "data"), *TWIN, "--unlabelled=4"]) == 0
    given: dict[str, object] = {
        "data.init_args.store": tmp_path / "store",
        "data.init_args.protocol.init_args.folds": 2,
        "data.init_args.protocol.init_args.frames": 4,
        "data.init_args.protocol.init_args.drawn": "random",
        "data.init_args.crop.init_args.size": 32,
        "data.init_args.size": "null",
        "data.init_args.batch_size": 2,
        "model.init_args.width": 2,
    }
    fit_test_predict(name, tmp_path, given, TWO_STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", trained("siamese"))
def test_siamese_can_be_fitted_and_tested(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert main(["synthesize", str(root), "--width=64", "--height=48", "--unlabelled=2", "--labelled=10"]) == 0
    if on_real_subset(name):
        name_as_real_subset(root)
    folder = fit_test_predict(name, tmp_path, {"data.init_args.store": tmp_path / "store", **SIAMESE}, HALVES)
    assert all(isinstance(video.base, int) for video in TestResult.load(folder).videos.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", UNTOUCHED)
def test_weights_can_be_tested_on_another_dataset(name: str, tmp_path: Path) -> None:
    plan, source = UNTOUCHED[name]
    root, other = tmp_path / "data", tmp_path / "other"
    assert main(["synthesize", str(root), "--width=64", "--height=48", "--labelled=10", "--categories=[baseline]"]) == 0
    list(render_all(other, plan, (64, 48), 5, 8, 1))
    smaller = CROSSNET if source == "crossnet" else SIAMESE
    options = [f"--{key}={value}" for key, value in smaller.items()] + ["--wandb=disabled"]
    run, run_on_other = tmp_path / "run", tmp_path / "run_on_other"
    few = ["--trainer.max_steps=2", f"--data.init_args.store={tmp_path / 'store'}", "--trainer.limit_val_batches=0"]
    few += ["--data.init_args.batch_size=2", "--trainer.log_every_n_steps=1"]
    few += ["--checkpoint=last", "--early_stopping.patience=null", "--model.init_args.threshold=0.5"]
    config = ["--config", str(FOLDER / f"{source}.yaml"), f"--data.init_args.root={root}", f"--run_dir={run}"]
    assert main(["fit", *config, *options, *few]) == 0
    config = ["--config", str(FOLDER / f"{name}.yaml"), f"--data.init_args.root={other}", f"--run_dir={run_on_other}"]
    checkpoint = f"--ckpt_path={run / 'checkpoints/last.ckpt'}"
    assert main(["test", *config, *options, checkpoint, "--model.init_args.threshold=0.5"]) == 0
    found = TestResult.load(run_on_other)
    assert {video.leakage for video in found.videos.values()} == {"unseen scenes"}
    assert {video.rpartition("/")[2] for video in found.videos} == {each.name for each in plan}
