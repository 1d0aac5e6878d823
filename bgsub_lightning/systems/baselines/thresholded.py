"""The threshold-based classifier, by which backgrounds are compared: what differs from one is foreground.

X. Zhao, Y. Chen, M. Tang, J. Wang, "Joint background reconstruction and foreground segmentation via a two-stage
convolutional neural network", ICME 2017, section 4.2.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundContext, BackgroundSource
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch, SceneInputs, Stream
from bgsub_lightning.systems.kinds import UntrainedSystem
from bgsub_lightning.systems.with_background import WithBackground


class ThresholdedDifferenceSystem(WithBackground, UntrainedSystem):
    """Any background, and a threshold on what differs from it.

    It sees every frame of a scene, from the first. The paper measures backgrounds by it, with the threshold that is
    best between 0 and 0.5; it does not say how the channels are joined: here by the largest of their differences.

    A source with weights takes them from a checkpoint of any system whose background comes from such a source, with the
    record of what they were trained on.

    Args:
        background: What gives the backgrounds.
        threshold: Difference above which a pixel is foreground; frames have the range [0, 1].
    """

    def __init__(self, background: BackgroundSource, threshold: float = 0.15) -> None:
        super().__init__(threshold=threshold)
        self.save_hyperparameters(ignore=["background"])
        self.inputs = (Stream(),)
        self.background = background

    def require_weights(self) -> None:  # noqa: D102
        if self.state_dict() and not self.trained_on:
            raise UserError(
                f"model.init_args.background: {type(self.background).__name__} has weights, and none were given. Name "
                f"by --ckpt_path FILE a checkpoint of a system that was trained with it."
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take of another system's weights those of the background; see :meth:`BgsSystem.on_load_checkpoint`."""
        found = self.background.weights_of(checkpoint.get("state_dict", {}))
        own = self.background.state_dict()
        if own.keys() <= found.keys():
            checkpoint["state_dict"] = {f"background.{name}": found[name] for name in own}
        super().on_load_checkpoint(checkpoint)

    def begin_scene(self, scene: SceneInputs) -> BackgroundContext:  # noqa: D102
        return self.background.begin_scene()

    def probability(self, context: BackgroundContext, batch: EvaluationBatch) -> Tensor:
        """Return the largest absolute difference of the three channels, shape ``(1, B, H, W)``, range [0, 1]."""
        image = batch["image"]
        difference = (image - self.background.push(context, image)).abs().amax(1)
        return difference.float().mul(255).round_().div_(255)[None]  # both are of 8 bits: no rounding at the threshold
