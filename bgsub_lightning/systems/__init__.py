"""Systems, each in its folder: network, loss, training rule, state of a scene; next to them what they share.

Each has two halves. ``BmnBsnSystem`` is all of it that needs no trainer. ``BmnBsn``, which configurations name, is the
same as a LightningModule. A half is imported when it is first used, so that inference imports no Lightning.
"""

from typing import TYPE_CHECKING

import torch

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.data.stages import Stage
from bgsub_lightning.systems.kinds import StagedSystem, SuccessiveSystem, UntrainedSystem
from bgsub_lightning.systems.pretrained import Pretrained, Sgd
from bgsub_lightning.systems.system import BgsSystem, identity

_PAPERS = {
    "ae_ne": ["AeNe"],
    "any_scene": ["AnyScene"],
    "baselines": ["ClassicalSubtractor", "BgsLibrarySubtractor", "ThresholdedDifference"],
    "bmn_bsn": ["BmnBsn"],
    "bsuv_net": ["BsuvNet"],
    "cdn_medal": ["CdnMedal"],
    "crossnet": ["CrossNet"],
    "fgsegnet": ["FgSegNet"],
    "recon_mcfcn": ["FrameFcn", "ReconMcfcn"],
    "seqfeednet": ["SeqFeedNet"],
    "siamese": ["Siamese"],
}

if TYPE_CHECKING:
    from bgsub_lightning.systems.ae_ne import AeNe, AeNeSystem
    from bgsub_lightning.systems.any_scene import AnyScene, AnySceneSystem
    from bgsub_lightning.systems.base import BgsModule
    from bgsub_lightning.systems.baselines import (
        BgsLibrarySubtractor,
        BgsLibrarySubtractorSystem,
        ClassicalSubtractor,
        ClassicalSubtractorSystem,
        ThresholdedDifference,
        ThresholdedDifferenceSystem,
    )
    from bgsub_lightning.systems.bmn_bsn import BmnBsn, BmnBsnSystem
    from bgsub_lightning.systems.bsuv_net import BsuvNet, BsuvNetSystem
    from bgsub_lightning.systems.cdn_medal import CdnMedal, CdnMedalSystem
    from bgsub_lightning.systems.crossnet import CrossNet, CrossNetSystem
    from bgsub_lightning.systems.fgsegnet import FgSegNet, FgSegNetSystem
    from bgsub_lightning.systems.recon_mcfcn import FrameFcn, FrameFcnSystem, ReconMcfcn, ReconMcfcnSystem
    from bgsub_lightning.systems.seqfeednet import SeqFeedNet, SeqFeedNetSystem
    from bgsub_lightning.systems.siamese import Siamese, SiameseSystem
    from bgsub_lightning.systems.staged import StagedModule
    from bgsub_lightning.systems.successive import SuccessiveModule
    from bgsub_lightning.systems.untrained import UntrainedModule
else:
    __getattr__ = when_used(
        __name__,
        {
            **{room: [half for name in names for half in (name, f"{name}System")] for room, names in _PAPERS.items()},
            "base": ["BgsModule"],
            "staged": ["StagedModule"],
            "successive": ["SuccessiveModule"],
            "untrained": ["UntrainedModule"],
        },
    )

__all__ = [
    "AeNe",
    "AeNeSystem",
    "AnyScene",
    "AnySceneSystem",
    "BgsLibrarySubtractor",
    "BgsLibrarySubtractorSystem",
    "BgsModule",
    "BgsSystem",
    "BmnBsn",
    "BmnBsnSystem",
    "BsuvNet",
    "BsuvNetSystem",
    "CdnMedal",
    "CdnMedalSystem",
    "ClassicalSubtractor",
    "ClassicalSubtractorSystem",
    "CrossNet",
    "CrossNetSystem",
    "FgSegNet",
    "FgSegNetSystem",
    "FrameFcn",
    "FrameFcnSystem",
    "ReconMcfcn",
    "ReconMcfcnSystem",
    "SeqFeedNet",
    "SeqFeedNetSystem",
    "Siamese",
    "SiameseSystem",
    "StagedModule",
    "StagedSystem",
    "SuccessiveModule",
    "SuccessiveSystem",
    "ThresholdedDifference",
    "ThresholdedDifferenceSystem",
    "UntrainedModule",
    "UntrainedSystem",
    "identity",
]

torch.serialization.add_safe_globals([Stage, Sgd, Pretrained])  # checkpoints keep them among the hyperparameters
