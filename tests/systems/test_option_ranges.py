"""No number of an option crashes a part, or makes it take memory: it is right, or refused by its name and value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bgsub_lightning.backgrounds.classical import PreviousFrame, TemporalMedian
from bgsub_lightning.backgrounds.samples import SampleMedian
from bgsub_lightning.backgrounds.subspace import Eigenbackground, IncrementalPcp
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import (
    ColourJitter,
    Crop,
    EmptyBackground,
    Hop,
    RecentBackground,
    SceneObjects,
    ScenesDataModule,
    SequenceCrop,
    SpatioTemporalCrop,
    Stage,
)
from bgsub_lightning.data.transforms import (
    Colours,
    IgnoreIndistinct,
    IntermittentObjects,
    LightDifference,
    PastedObjects,
    SensorNoise,
    Sway,
)
from bgsub_lightning.datasets import LASIESTA
from bgsub_lightning.frames import DisFlow, FarnebackFlow, LucasKanadeFlow
from bgsub_lightning.splits import HoldOut, LabelBudget, SceneWise
from bgsub_lightning.synthetic.rendered import Rendered
from bgsub_lightning.systems import AnyScene
from bgsub_lightning.systems.ae_ne import AeNe, AutoencoderBackground
from bgsub_lightning.systems.any_scene.stream import Rules
from bgsub_lightning.systems.bmn_bsn import BmnBsn
from bgsub_lightning.systems.bmn_bsn.network import BmnBsnNetwork
from bgsub_lightning.systems.bsuv_net import BsuvNet
from bgsub_lightning.systems.cdn_medal import CdnMedal
from bgsub_lightning.systems.cdn_medal.background import DensityBackground
from bgsub_lightning.systems.crossnet import CrossNet
from bgsub_lightning.systems.crossnet.raft import RaftFlow
from bgsub_lightning.systems.fgsegnet import FgSegNet
from bgsub_lightning.systems.pretrained import Sgd
from bgsub_lightning.systems.recon_mcfcn import FrameFcn, ReconMcfcn
from bgsub_lightning.systems.recon_mcfcn.background import ReconstructedBackground
from bgsub_lightning.systems.seqfeednet import SeqFeedNet
from bgsub_lightning.systems.siamese import Siamese
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.training.callbacks import BestCheckpoint, EarlyStopping, LastCheckpoint, Pictures

Build = Callable[..., Any]

COUNT = (-1, 0)
RATE = (-1.0, 0.0, math.nan, math.inf)
SHARE = (-0.1, 1.1, math.nan, math.inf)
LEAST_0 = (-1.0, math.nan, math.inf)
HUGE = 10**12


def data(**settings: Any) -> ScenesDataModule:
    return ScenesDataModule((), SceneWise(), **settings)


WRONG: list[tuple[Build, str, tuple[Any, ...]]] = [
    (AeNe, "strength", LEAST_0),
    (AeNe, "window", COUNT),
    (AeNe, "noise", LEAST_0),
    (AeNe, "contrast", RATE),
    (AeNe, "closing", (*COUNT, 4, HUGE)),
    (AeNe, "opening", (*COUNT, 2, HUGE)),
    (AutoencoderBackground, "size", ((15, 240), (320, 1216), (320,))),
    (AutoencoderBackground, "complexity", ("auto", None)),
    (AutoencoderBackground, "width", (*COUNT, 5_000, HUGE)),
    (AutoencoderBackground, "latents", (*COUNT, HUGE)),
    (BmnBsn, "references", (*COUNT, HUGE)),
    (BmnBsn, "maps", (*COUNT, HUGE)),
    (BmnBsn, "channels", (*COUNT, HUGE, 10**30)),
    (BmnBsn, "depth", (*COUNT, 50, HUGE)),
    (BmnBsn, "reference_draws", (*COUNT, HUGE)),
    (BmnBsn, "lr", RATE),
    (BmnBsn, "decay_steps", (-1,)),
    (BmnBsn, "threshold", (-0.1, 1.0, math.nan, math.inf)),
    (CdnMedal, "threshold", SHARE),
    (Stage, "repeat", COUNT),
    (Stage, "steps", COUNT),
    (Stage, "batch_size", (*COUNT, HUGE)),
    (Stage, "lr", RATE),
    (CrossNet, "width", (*COUNT, HUGE)),
    (CrossNet, "taus", ([0], [-1], [math.nan])),
    (CrossNet, "dropout", SHARE),
    (CrossNet, "alpha", SHARE),
    (CrossNet, "gamma", LEAST_0),
    (CrossNet, "lr", RATE),
    (CrossNet, "betas", ((0.9, 1.0), (-0.1, 0.9), (math.nan, 0.9))),
    (CrossNet, "focal_weight", LEAST_0),
    (CrossNet, "l1_weight", LEAST_0),
    (FgSegNet, "width", (*COUNT, HUGE)),
    (FgSegNet, "freeze", (-1, 5)),
    (FgSegNet, "lr", RATE),
    (FgSegNet, "alpha", (-0.1, 1.0, math.nan)),
    (FgSegNet, "patience", COUNT),
    (FrameFcn, "mcfcn_width", (*COUNT, HUGE)),
    (FrameFcn, "size", (*COUNT, 8 * HUGE + 1)),
    (Sgd, "momentum", (-1.0, 1.0, math.nan)),
    (Sgd, "weight_decay", LEAST_0),
    (ReconMcfcn, "bottleneck", (*COUNT, HUGE)),
    (ReconMcfcn, "width", (*COUNT, HUGE)),
    (ReconMcfcn, "segmentation_weight", RATE),
    (Siamese, "width", (*COUNT, HUGE)),
    (Siamese, "channels", (*COUNT, HUGE)),
    (Siamese, "depth", (*COUNT, 50, HUGE)),
    (Siamese, "tolerance", (-1.0, 2.0, math.nan)),
    (AnyScene, "widths", ((0, 1, 1, 1), (8, 8, 8, HUGE))),
    (AnyScene, "lr", RATE),
    (AnyScene, "weight_decay", LEAST_0),
    (AnyScene, "decay_steps", (-1,)),
    (Rules, "restless", LEAST_0),
    (Rules, "restart", (0.0, *SHARE)),
    (Rules, "warm_up", (-1,)),
    (Rules, "work_height", COUNT),
    (DensityBackground, "components", (*COUNT, HUGE)),
    (ReconstructedBackground, "width", (*COUNT, HUGE)),
    (PreviousFrame, "interval", (*COUNT, HUGE)),
    (TemporalMedian, "history", (*COUNT, HUGE)),
    (TemporalMedian, "every", COUNT),
    (SampleMedian, "count", (*COUNT, HUGE)),
    (SampleMedian, "stride", (*COUNT, 3)),
    (Eigenbackground, "frames", (*COUNT, HUGE)),
    (Eigenbackground, "every", COUNT),
    (IncrementalPcp, "rank", (*COUNT, HUGE)),
    (IncrementalPcp, "shrinkage", LEAST_0),
    (IncrementalPcp, "window", (*COUNT, HUGE)),
    (data, "batch_size", (*COUNT, HUGE)),
    (data, "eval_batch_size", (*COUNT, HUGE)),
    (data, "num_workers", (-1, HUGE)),
    (data, "flip", SHARE),
    (data, "seed", (-1, 2**32)),
    (data, "size", ((8, 8), (-1, 64), (HUGE, HUGE))),
    (BsuvNet, "width", (*COUNT, HUGE)),
    (BsuvNet, "history", COUNT),
    (BsuvNet, "lr", RATE),
    (BsuvNet, "weight_decay", LEAST_0),
    (BsuvNet, "decay_steps", (-1,)),
    (SeqFeedNet, "width", (*COUNT, HUGE)),
    (SeqFeedNet, "group", (*COUNT, HUGE)),
    (SeqFeedNet, "gap", ((0, 3), (5, 2), (1, HUGE))),
    (SeqFeedNet, "history", COUNT),
    (SeqFeedNet, "lr", RATE),
    (SeqFeedNet, "norm", ("group", None)),
    (SeqFeedNet, "decay_steps", (-1,)),
    (EmptyBackground, "frames", (*COUNT, HUGE)),
    (EmptyBackground, "history", COUNT),
    (RecentBackground, "history", (*COUNT, HUGE)),
    (SpatioTemporalCrop, "shift", SHARE),
    (SpatioTemporalCrop, "pan", SHARE),
    (SpatioTemporalCrop, "most_pan", LEAST_0),
    (SpatioTemporalCrop, "frames", COUNT),
    (SequenceCrop, "resize", SHARE),
    (SequenceCrop, "moving_past", SHARE),
    (SequenceCrop, "most_shift", LEAST_0),
    (SceneObjects, "p", SHARE),
    (SceneObjects, "most", COUNT),
    (SceneObjects, "least", COUNT),
    (SceneObjects, "per_scene", COUNT),
    (ColourJitter, "brightness", SHARE),
    (ColourJitter, "hue", SHARE),
    (LightDifference, "offset", LEAST_0),
    (IntermittentObjects, "behind", SHARE),
    (SensorNoise, "grey", SHARE),
    (Crop, "size", (*COUNT, HUGE)),
    (Crop, "scale", ((0.0, 1.0), (2.0, 1.0), (1.0, math.inf))),
    (Crop, "tries", (*COUNT, HUGE)),
    (Crop, "anywhere", SHARE),
    (Sway, "p", SHARE),
    (Sway, "jitter", ((-1.0, 1.0), (0.0, math.nan))),
    (Colours, "grey", SHARE),
    (PastedObjects, "ghost", SHARE),
    (PastedObjects, "least", COUNT),
    (IgnoreIndistinct, "share", SHARE),
    (SensorNoise, "sigma", ((0.0, 1.0), (1.0, math.inf))),
    (Hop, "taus", ((0,), (math.inf,))),
    (FarnebackFlow, "levels", (*COUNT, HUGE)),
    (FarnebackFlow, "pyr_scale", (0.0, 1.0, math.nan)),
    (FarnebackFlow, "poly_sigma", RATE),
    (LucasKanadeFlow, "spacing", (*COUNT, HUGE)),
    (RaftFlow, "updates", (*COUNT, HUGE)),
    (SceneWise, "folds", (1, *COUNT)),
    (HoldOut, "scenes", (-1,)),
    (HoldOut, "fraction", (-0.1, 1.0, math.nan)),
    (LabelBudget, "frames", (*COUNT, math.nan, math.inf)),
    (LASIESTA, "opening", (-1,)),
    (Rendered, "frames", (*COUNT, HUGE)),
    (Rendered, "size", ((0, 240), (HUGE, HUGE))),
    (Rendered, "workers", (*COUNT, HUGE)),
    (Rendered, "videos", ({}, {-1: 1}, {1: HUGE})),
    (EarlyStopping, "patience", COUNT),
    (EarlyStopping, "min_delta", LEAST_0),
    (LastCheckpoint, "every_n_train_steps", COUNT),
    (Pictures, "scenes", (-1,)),
]
REST: dict[Build, dict[str, Any]] = {Stage: {"steps": 1, "batch_size": 1, "lr": 1.0}}


@pytest.mark.parametrize(("build", "name", "values"), WRONG, ids=lambda each: getattr(each, "__name__", None))
def test_wrong_numbers_are_refused(build: Build, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(UserError) as raised:
            build(**{**REST.get(build, {}), name: value})
        assert len(str(raised.value).splitlines()) == 1
        assert name in str(raised.value) or "at most 1,000,000,000 parameters" in str(raised.value)


def test_a_look_at_the_size_changes_no_number() -> None:
    torch.manual_seed(3)
    plain = BmnBsnNetwork(2, 2, 4, 2)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    looked_at = sized(BmnBsnNetwork, 2, 2, 4, 2)
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(plain.parameters(), looked_at.parameters(), strict=True):
        assert torch.equal(one, other)


def test_right_numbers_are_taken() -> None:
    BmnBsn(references=1, maps=1, channels=1, depth=8)
    data(num_workers=0, flip=1, size=(16, 16), seed=2**32 - 1)
    DisFlow()
    Rules(restless=0, restart=1, warm_up=0)
    EarlyStopping(patience=None)
    BestCheckpoint()
