"""SeqFeedNet.

Y.-S. Huang, J.-M. Guo, Y.-X. Yang, "SeqFeedNet: sequential feature feedback network for background subtraction", WACV
2026.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bgsub_lightning.backgrounds import SceneContext, as_bytes, median_before
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_choice, check_range
from bgsub_lightning.core.steps import together
from bgsub_lightning.data import (
    EmptyBackground,
    EvaluationBatch,
    EvaluationStream,
    FrameGroup,
    GroupBackground,
    GroupMasks,
    SceneInputs,
    TrainingBatch,
)
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.frames.running_median import RunningMedian
from bgsub_lightning.losses import batch_jaccard
from bgsub_lightning.systems.bsuv_unet import Normalisation
from bgsub_lightning.systems.decay import cosine_decay
from bgsub_lightning.systems.kinds import SuccessiveSystem
from bgsub_lightning.systems.seqfeednet.network import FEATURES, SeqNetwork, without_foreground
from bgsub_lightning.systems.seqfeednet.weights import PublishedWeights
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import Passes, Threshold, identity
from bgsub_lightning.systems.trainer_types import OptimizerLRScheduler, ScenesDataModule

Updates = Literal["each", "once"]
"""When weights change: the second network's with the loss of each frame of a group, and all of them with the last
frame's, as in the paper; or all of them once for a group, with the sum of the losses."""


@dataclass
class SeqContext(SceneContext):
    """State of a scene.

    Attributes:
        trailing: The median of the frames before, which is the empty background of a camera that moves.
        empty: The empty background, shape ``(3, H, W)``, range [0, 1]; ``None``: the camera moves.
        recent: What the camera showed before the first frame, likewise; ``None``: nothing, so that it is that frame.
        features: The features of the last frame, ``(9, H, W)``; ``None`` before the first, and so the next.
        background: The last frame without its foreground, ``(3, H, W)``, normalised.
        shown: The newest empty background.
    """

    trailing: RunningMedian
    empty: Tensor | None
    recent: Tensor | None
    features: Tensor | None = field(default=None, init=False)
    background: Tensor | None = field(default=None, init=False)
    shown: Tensor | None = field(default=None, init=False)

    def see(self, image: Tensor) -> Tensor:
        """Take the next frame, ``(3, H, W)``, range [0, 1]; return the empty background, likewise."""
        if self.empty is not None:
            self.shown = self.empty.to(image)
        else:
            frame = as_bytes(image)
            self.shown = median_before(self.trailing, frame, image)
            self.trailing.push(frame)
        return self.shown

    def follow(self, before: SceneContext) -> None:
        """Keep the features, where the empty background is another."""
        if isinstance(before, SeqContext):
            self.trailing, self.features, self.background = before.trailing, before.features, before.background

    def pictures(self) -> dict[str, Tensor]:
        """Show the empty background."""
        return {} if self.shown is None else {"background": self.shown}

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        kept = {"features": self.features, "background": self.background, "shown": self.shown}
        state: dict[str, Any] = {name: value for name, value in kept.items() if value is not None}
        return {**state, "trailing": [torch.from_numpy(each.copy()) for each in self.trailing.arrays]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.features, self.background = state.get("features"), state.get("background")
        self.shown = state.get("shown")
        self.trailing.extend(each.cpu().numpy() for each in state["trailing"])


class SeqFeedNetSystem(SuccessiveSystem):
    """One model for all scenes, which keeps features of a scene and renews them frame by frame.

    A network makes the features of a frame of those of the last one and of what that showed without its foreground; it
    does not see the frame itself. A second network judges the frame by them, next to the empty background. The defaults
    are the paper's, as its authors' code has them.

    Args:
        width: Channels of the first block of both networks.
        group: Frames of a training sample.
        gap: Largest gap between two of them at the beginning of a run and at its end, in frames.
        updates: See :data:`Updates`.
        norm: What normalises the features: the statistics of batches, as in the paper, or of each image. With the
            former, features of a test can grow from frame to frame until the networks have learnt for long.
        history: Frames of the recent background, which the first features are built from.
        empty: The empty background.
        lr: Learning rate of Adam.
        decay_steps: Batches over which the rate falls to zero along a cosine: the length of the run. 0: it is constant,
            as in the authors' code.
        weights: Weights that the authors have published: a fit begins with them, and a test works with them that names
            no checkpoint.
        labels: What the grey levels of a mask mean in training: unknown and non-ROI are ignored.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    size_divisor = 16
    tests_weights = True

    def __init__(
        self,
        width: int = 64,
        group: int = 7,
        gap: tuple[int, int] = (3, 200),
        updates: Updates = "each",
        norm: Normalisation = "batch",
        history: int = 100,
        empty: EmptyBackground | None = None,
        lr: float = 1e-4,
        decay_steps: int = 0,
        weights: PublishedWeights | None = None,
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(labels, threshold)
        check_range("model.init_args.", least=1, width=width)
        check_range("model.init_args.", least=1, most=10_000, history=history)
        check_range("model.init_args.", above=0, lr=lr)
        check_range("model.init_args.", least=0, decay_steps=decay_steps)
        check_choice("model.init_args.", Updates, updates=updates)
        check_choice("model.init_args.", Normalisation, norm=norm)
        if weights is not None and norm != "batch":
            raise UserError(
                f"model.init_args.norm: must be batch for published weights, model.init_args.weights; got {norm}."
            )
        self.save_hyperparameters(ignore=["labels", "empty", "weights"])
        self.empty = empty or EmptyBackground()
        frames = FrameGroup(group, (gap[0], gap[1]))
        self.inputs = (EvaluationStream(), self.empty, GroupBackground(frames, history), frames, GroupMasks(frames))
        self.network: SeqNetwork = sized(SeqNetwork, width, norm)
        for each in (self.network.sequence, self.network.foreground):
            each.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.updates = updates
        self.lr, self.decay_steps = lr, decay_steps
        self.weights = weights

    @property
    def steps_each(self) -> bool:  # noqa: D102
        return self.updates == "each"

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        networks = ("initial.forward", "sequence.core", "foreground.core")
        return {f"network.{each}": identity for each in networks}

    @property
    def compile_targets(self) -> list[nn.Module]:  # noqa: D102
        return [self.network.initial, self.network.sequence, self.network.foreground]

    def successive_losses(self, batch: TrainingBatch) -> Generator[Tensor, None, Tensor]:
        """Yield the Jaccard loss of each frame of the groups, of the whole batch; return that of the last.

        The judging network gets the features of all frames but the last without their gradient. The features of a frame
        keep that of the features before, back to the first ones.
        """
        network, target = self.network, self.target(batch["masks"])
        images, empty = network.normalised(batch["frames"]), network.normalised(batch["empty"])
        features = network.begin(network.before(batch["empty"], batch["recent"], batch["frames"][:, 0]))
        background = empty
        for place in range(images.shape[1] - 1):
            features = network.advance(features, background)
            logits = network.judge(features.detach(), images[:, place], empty)
            background = without_foreground(images[:, place], logits)
            yield batch_jaccard(logits, target[:, place])
        features = network.advance(features, background)
        return batch_jaccard(network.judge(features, images[:, -1], empty), target[:, -1])

    def begin_scene(self, scene: SceneInputs) -> SeqContext:  # noqa: D102
        empty, recent = (scene[key][0] if key in scene else None for key in ("empty", "recent"))
        return SeqContext(RunningMedian(self.empty.history), empty, recent)

    def probability(self, context: SeqContext, batch: EvaluationBatch) -> Tensor:
        """Return the probability of each frame, shape ``(1, B, H, W)``: each is shown by itself, after the last."""
        return together([self.passes(context, batch)], lambda shown: [self.network_pass(*shown)])[0]

    def passes(self, context: SeqContext, batch: EvaluationBatch) -> Passes:
        """Answer as :meth:`probability` does; both networks work with the caller, for a frame of each scene."""
        found = []
        for image in batch["image"]:
            empty = context.see(image)
            images = self.network.normalised(image), self.network.normalised(empty)
            if context.features is None or context.background is None:
                recent = image if context.recent is None else context.recent.to(image)
                first = self.network.before(empty[None], recent[None], image[None])
                context.features, context.background = (yield first)[0], images[1]
            state = context.features.to(image.device), context.background.to(image.device)
            answer = (yield torch.cat([*state, *images])[None])[0].to(image.device)
            context.features, logits = answer[:FEATURES], answer[FEATURES]
            context.background = without_foreground(images[0][None], logits[None])[0]
            found.append(torch.sigmoid(logits))
        return torch.stack(found)[None]

    def network_pass(self, shown: Tensor) -> Tensor:
        """Return features and logits, ``(n, 10, H, W)``, for what is kept of a scene and a frame of it.

        Args:
            shown: Features, background, frame and empty background, ``(n, 18, H, W)``; see :class:`SeqNetwork`. Or the
                inputs of the first features, ``(n, 9, H, W)``: the answer is those features.
        """
        shown = shown.to(self.device)
        if shown.shape[1] == FEATURES:
            return self.network.begin(shown)
        features, background, image, empty = torch.split(shown, [FEATURES, 3, 3, 3], 1)
        features = self.network.advance(features, background)
        return torch.cat([features, self.network.judge(features, image, empty)[:, None]], 1)

    def begin_fit(self) -> None:  # noqa: D102
        if self.weights is not None:
            self.weights.load_into(self.network)
            self.trained_on = self.weights.record

    def note(self, data: ScenesDataModule, all_unseen: bool) -> str:
        """Say what a test is not comparable for."""
        chosen = "The published weights may have been chosen on the test videos." if self.weights else ""
        return f"{chosen} {self.empty.note}".strip()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, with two groups: the judging network, and those of the features; see :class:`SuccessiveModule`."""
        features = [*self.network.initial.parameters(), *self.network.sequence.parameters()]
        groups = [
            {"name": "foreground", "params": list(self.network.foreground.parameters())},
            {"name": "features", "params": features},
        ]
        return cosine_decay(torch.optim.Adam(groups, lr=self.lr), self.decay_steps)
