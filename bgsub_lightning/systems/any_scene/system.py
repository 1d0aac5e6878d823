"""AnyScene: foreground of any fixed camera, by a network that was trained on rendered scenes.

No paper: a background model of samples as in ViBe and SuBSENSE (O. Barnich, M. Van Droogenbroeck, IEEE TIP 2011;
P.-L. St-Charles et al., IEEE TIP 2015) gives its statistics to a U-Net, which takes the place of their thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.steps import together
from bgsub_lightning.data import ByteStream, EvaluationBatch, SceneInputs, TrainingBatch
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.losses import batch_dice, image_dice, masked_binary_cross_entropy
from bgsub_lightning.synthetic import Rendered
from bgsub_lightning.systems.any_scene.features import PLANES, planes
from bgsub_lightning.systems.any_scene.inputs import EarlierFrame, SampleBanks
from bgsub_lightning.systems.any_scene.network import AnySceneNetwork, normalised, stacked
from bgsub_lightning.systems.any_scene.stream import Rules, SceneStream, Seen
from bgsub_lightning.systems.any_scene.weights import shipped as shipped_weights
from bgsub_lightning.systems.decay import cosine_decay, decay_groups
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import BgsSystem, Passes, Threshold, identity
from bgsub_lightning.systems.trainer_types import OptimizerLRScheduler, ScenesDataModule


class AnySceneSystem(BgsSystem):
    """A background model of samples, and a small network that judges what it finds.

    In training the samples are drawn from the frames before the target, as the model would hold them; in use the model
    sees every frame of a scene, from the first, and keeps foreground out of one of its two banks by the network's mask.

    Args:
        widths: Channels of the network at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        lr: Largest learning rate of AdamW.
        weight_decay: Its weight decay.
        decay_all: Whether it acts on biases and normalisation as well, as it did on the shipped weights.
        decay_steps: Steps over which the rate falls to zero along a cosine: the length of the run. 0: it is constant.
        rules: How a stream is watched.
        hidden: Names of planes that the network does not see, for ablations; see
            :data:`bgsub_lightning.systems.any_scene.features.PLANES`.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground; 0.4 was chosen on the development scenes, see
            ``docs/any_scene.md``. Or ``"validation"``, see :class:`BgsModule`.

    Raises:
        UserError: If there is no plane of such a name.
    """

    checkpoint_keys = ("hidden",)
    size_divisor = 16

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 32, 48, 64),
        lr: float = 3e-3,
        weight_decay: float = 1e-3,
        decay_all: bool = True,
        decay_steps: int = 0,
        rules: Rules = Rules(),  # noqa: B008 (it cannot be changed)
        hidden: Sequence[str] = (),
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.4,
    ) -> None:
        super().__init__(labels, threshold)
        check_range("model.init_args.", least=1, widths=widths)
        check_range("model.init_args.", above=0, lr=lr)
        check_range("model.init_args.", least=0, weight_decay=weight_decay, decay_steps=decay_steps)
        if unknown := [name for name in hidden if name not in PLANES]:
            raise UserError(f"model.init_args.hidden: no such plane; got {unknown[0]!r}. Choose among {PLANES}.")
        self.save_hyperparameters(ignore=["labels", "rules"])
        self.hparams["hidden"] = list(hidden)
        self.inputs = (ByteStream(), EarlierFrame(), SampleBanks())
        self.network: AnySceneNetwork = sized(AnySceneNetwork, len(PLANES), widths).to(  # type: ignore[call-overload]
            memory_format=torch.channels_last
        )
        self.lr, self.weight_decay, self.decay_all, self.decay_steps = lr, weight_decay, decay_all, decay_steps
        self.rules = rules
        shown = torch.tensor([name not in hidden for name in PLANES], dtype=torch.uint8)
        self.register_buffer("_shown", shown[:, None, None], persistent=False)

    @classmethod
    def shipped(cls) -> Path:  # noqa: D102
        return shipped_weights()

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.forward": identity}

    def forward(self, found: Tensor) -> Tensor:
        """Return logits, ``(B, H, W)``, for planes, ``(B, 14, H, W)``, uint8."""
        shown = found * cast("Tensor", self._shown) if self.hparams["hidden"] else found
        return self.network(normalised(shown).to(self.dtype))  # type: ignore[no-any-return]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Cross-entropy, half of the Dice loss of the batch, and .3 of that of each image."""
        locked, blind = batch["samples"].unbind(1)
        found = planes(batch["image"], batch["earlier"], locked, blind)
        logits, target = self(found), self.target(batch["mask"])
        return {
            "cross_entropy": masked_binary_cross_entropy(logits, target, "logistic"),
            "batch_dice": 0.5 * batch_dice(logits, target),
            "image_dice": 0.3 * image_dice(logits, target),
        }

    def begin_scene(self, scene: SceneInputs) -> SceneStream:  # noqa: D102
        return SceneStream(self.rules)

    def probability(self, context: SceneStream, batch: EvaluationBatch) -> Tensor:
        """Return the probability of foreground at the size that the stream is worked on at, ``(1, B, h, w)``.

        Frames are shown to the network together up to the next one whose mask the background model needs: the same
        answers, however they are put in batches.
        """
        return together([self.passes(context, batch)], lambda shown: [self.network_pass(*shown)])[0]

    def passes(self, context: SceneStream, batch: EvaluationBatch) -> Passes:
        """Answer as :meth:`probability` does; the background model works here, and the network with the caller."""
        frames = batch["image"].movedim(-3, -1).cpu().numpy()
        found: list[NDArray[np.float32]] = []
        waiting: list[Seen] = []
        for frame in frames:
            seen, mask = context.see(frame), None
            waiting.append(seen)
            if seen.is_due:
                judged = yield from self._judged(waiting)
                found += map(context.in_place, judged, waiting)
                mask, waiting = judged[-1] > self.threshold, []
            context.learn(seen, mask)
        if waiting:
            found += map(context.in_place, (yield from self._judged(waiting)), waiting)
        return torch.from_numpy(stacked(found)).to(batch["image"].device)[None]

    def network_pass(self, shown: Tensor) -> Tensor:
        """Return the probability of foreground, ``(n, h, w)``, float32, for planes, ``(n, 14, h, w)``, uint8."""
        return torch.sigmoid(self(shown.to(self.device)).float())

    @staticmethod
    def _judged(waiting: Sequence[Seen]) -> Generator[Tensor, Tensor, list[NDArray[np.float32]]]:
        found = yield torch.from_numpy(stacked([seen.planes for seen in waiting]))
        return list(found.cpu().numpy())

    def note(self, data: ScenesDataModule, all_unseen: bool) -> str:
        """Say what the weights were trained on, where that is rendered scenes alone."""
        seen = {key.partition(":")[0] for key in self.trained_on}
        if seen != {Rendered.name} or not all_unseen:
            return ""
        if all(scene.origin for scene in data.frames_of("test").scenes):
            return "The scenes are from the same renderer that trained it: others, but made in the same way."
        return "The weights were trained on rendered scenes alone: every real scene is unseen."

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, with a short warm-up."""
        whole = [{"name": "network", "params": list(self.parameters())}]
        optimizer = torch.optim.AdamW(decay_groups(whole, self.weight_decay, self.decay_all), self.lr)
        return cosine_decay(optimizer, self.decay_steps, warm_up=40)
