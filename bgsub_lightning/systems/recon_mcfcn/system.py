"""Two-stage reconstruction and segmentation.

X. Zhao, Y. Chen, M. Tang, J. Wang, "Joint background reconstruction and foreground segmentation via a two-stage
convolutional neural network", ICME 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import (
    EvaluationBatch,
    Image,
    SceneInputs,
    Span,
    Stage,
    StagePlan,
    TrainingBatch,
    TruthBackground,
)
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.systems.pretrained import Pretrained, Sgd
from bgsub_lightning.systems.recon_mcfcn.fcn import SEGMENT, FcnSystem
from bgsub_lightning.systems.recon_mcfcn.loss import squared_error
from bgsub_lightning.systems.recon_mcfcn.reconstruction import BackgroundReconstruction
from bgsub_lightning.systems.resizing import resize
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import Threshold, identity


@dataclass
class Reconstruction(SceneContext):
    """Pictures of a scene; answers do not depend on them.

    Attributes:
        trained_truth: Ground-truth background of the last training frame, shape ``(3, H, W)``, range [0, 1].
        restored: The background of the last frame, shape ``(3, 128, 128)``, range [0, 1].
    """

    trained_truth: Tensor | None
    restored: Tensor | None = None

    def pictures(self) -> dict[str, Tensor]:  # noqa: D102
        shown = {"ground truth of a training frame": self.trained_truth, "reconstruction": self.restored}
        return {title: picture for title, picture in shown.items() if picture is not None}


class ReconMcfcnSystem(FcnSystem):
    """A clean background by an encoder-decoder, then a fully convolutional network over the frame and that background.

    Three steps: ``reconstruct`` trains the first network, ``segment`` the second with the first fixed, ``joint`` both,
    the first with its batch normalisation on running statistics: a batch of one has none over a vector.

    Args:
        bottleneck: Length of the vector between encoder and decoder.
        width: Channels of the encoder's first layers; the others scale with it.
        mcfcn_width: Channels of VGG's first layers; the others scale with it.
        size: Height and width of the second network's input, 8k + 1.
        reconstruct: Numbers of step 1; the defaults of all three are the paper's (section 3.3).
        segment: Numbers of step 2.
        joint: Numbers of step 3.
        segmentation_weight: λ of equation 3: what L_seg is multiplied by in step 3, next to L_rec. Equation 2 prints a
            sum over pixels, as equation 1 does; here L_seg is their mean, which suits the rate of step 2. The sum is
            the number of outputs as λ: 14,641 at the paper's size of 961, 961 at 241.
        loss_size: Where L_seg is taken: on the output grid of the network with nearest labels, as DeepLab does, or at
            ``size``, with logits resized.
        sgd: How both networks learn.
        pretrained: What the second network begins with.
        first_layer: What the first layer of 6 channels begins with: newly drawn, as in the paper, or the pretrained
            layer for the frame and zeros for the background.
        begin: Begin with this stage, without those before it, and with the weights of an earlier run, such as its
            ``after_reconstruct.ckpt``: ``--initial_weights``. Where it is ``segment``, the second network begins with
            ``pretrained`` all the same, if that names weights.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground; 0.5 is the argmax; or ``"validation"``, see
            :class:`BgsModule`.
    """

    def __init__(
        self,
        bottleneck: int = 512,
        width: int = 64,
        mcfcn_width: int = 64,
        size: int = 961,
        reconstruct: Stage = Stage(20_000, 4, 1e-4),
        segment: Stage = SEGMENT,
        joint: Stage = Stage(3_000, 1, 1e-5),
        segmentation_weight: float = 1.0,
        loss_size: Literal["grid", "full"] = "grid",
        sgd: Sgd = Sgd(),
        pretrained: Pretrained = Pretrained(),
        first_layer: Literal["normal", "frame"] = "normal",
        begin: Literal["reconstruct", "segment", "joint"] = "reconstruct",
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(6, mcfcn_width, size, loss_size, sgd, pretrained, labels, threshold)
        self.save_hyperparameters(ignore=["labels", "begin"])  # not the origin of a run
        if reconstruct.batch_size < 2:
            raise UserError(
                f"model.init_args.reconstruct.batch_size: batch normalisation over a vector needs 2 frames, got "
                f"{reconstruct.batch_size}."
            )
        check_range("model.init_args.", least=1, bottleneck=bottleneck, width=width)
        check_range("model.init_args.", above=0, segmentation_weight=segmentation_weight)
        self.reconstruction = sized(BackgroundReconstruction, bottleneck, width)
        self.segmentation_weight = segmentation_weight
        self.begin = begin
        self.first_layer = first_layer
        self._trained_truth: Tensor | None = None
        both = (Image(), TruthBackground())
        plan = StagePlan(
            Span("reconstruct", ("reconstruction",), reconstruct, both, reconstruct.batch_size),
            Span("segment", ("segmentation",), segment, (Image(),), segment.batch_size),
            Span(
                "joint",
                ("reconstruction", "segmentation"),
                joint,
                both,
                joint.batch_size,
                running_statistics=("reconstruction",),
            ),
        )
        self.plan = plan.beginning(begin)

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"segmentation.forward": identity, "reconstruction.forward": identity}

    @property
    def keeps_vgg(self) -> bool:
        """Not where the second stage begins with pretrained weights, after the reconstruction of another run."""
        return self.begin != "segment" or self.pretrained.weights is None

    def require_initial_weights(self) -> None:
        """Check that the first stage begins: a later one needs what the stages before it have learnt.

        Raises:
            UserError: If it does not.
        """
        if self.begin != "reconstruct":
            raise UserError(
                f"model.init_args.begin: to begin with {self.begin}, name a checkpoint whose networks are trained so "
                f"far by --initial_weights FILE, such as after_reconstruct.ckpt of an earlier run."
            )

    def add_to_initial_weights(self) -> None:  # noqa: D102
        if not self.keeps_vgg:
            super().begin_fit()

    def background(self, image: Tensor) -> Tensor:
        """Restore backgrounds, shape ``(B, 3, 128, 128)``, range [-1, 1], of frames ``(B, 3, H, W)`` in [0, 1]."""
        return self.reconstruction.restore(image)

    def forward(self, image: Tensor) -> Tensor:  # noqa: D102
        return self._subtract(image, self.background(image))

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:  # noqa: D102
        image, learns = batch["image"], self.span.learns
        with torch.set_grad_enabled("reconstruction" in learns):
            background = self.background(image)
        terms = {}
        if "reconstruction" in learns:
            truth = batch["truth_background"]
            self._trained_truth = truth[-1]
            terms["reconstruction"] = squared_error(background, 2 * resize(truth, background.shape[-2:]) - 1)
        if "segmentation" in learns:
            weight = self.segmentation_weight if "reconstruction" in learns else 1.0
            terms["segmentation"] = weight * self.segmentation_loss(self._subtract(image, background), batch)
        return terms

    def begin_scene(self, scene: SceneInputs) -> Reconstruction:  # noqa: D102
        return Reconstruction(self._trained_truth)

    def probability(self, context: Reconstruction, batch: EvaluationBatch) -> Tensor:  # noqa: D102
        image = batch["image"]
        background = self.background(image)
        context.restored = (background[-1] + 1) / 2
        return self._probability_of(self._subtract(image, background), image)

    def _subtract(self, image: Tensor, background: Tensor) -> Tensor:
        """Segment frames by their backgrounds, which a fixed bilinear layer enlarges (section 3.4)."""
        return self.segment(self.resized(image), self.resized((background + 1) / 2))
