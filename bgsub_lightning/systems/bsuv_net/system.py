"""BSUV-Net 2.0 and Fast BSUV-Net 2.0.

M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net 2.0: spatio-temporal data augmentations for video-agnostic supervised
background subtraction", IEEE Access 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bgsub_lightning.backgrounds import SceneContext, as_bytes, median_before
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import (
    EmptyBackground,
    EvaluationBatch,
    ForegroundMaps,
    RecentBackground,
    SceneInputs,
    Stream,
    TrainingBatch,
)
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.frames.running_median import RunningMedian
from bgsub_lightning.losses import batch_jaccard
from bgsub_lightning.splits import published_record
from bgsub_lightning.systems.bsuv_net.network import BsuvNetwork
from bgsub_lightning.systems.bsuv_net.weights import load_published
from bgsub_lightning.systems.decay import cosine_decay
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import BgsSystem, Threshold, identity
from bgsub_lightning.systems.trainer_types import OptimizerLRScheduler, ScenesDataModule


@dataclass
class BsuvContext(SceneContext):
    """The backgrounds of a scene.

    Attributes:
        recent: The median of the newest frames.
        trailing: The median of more of them, which is the empty background of a camera that moves.
        empty: The empty background, shape ``(3, H, W)``, range [0, 1]; ``None``: the camera moves.
        backgrounds: What the newest frame was compared with, empty and recent, ``(2, 3, H, W)``.
    """

    recent: RunningMedian
    trailing: RunningMedian
    empty: Tensor | None
    backgrounds: Tensor | None = field(default=None, init=False)

    def see(self, image: Tensor) -> Tensor:
        """Take the next frame, ``(3, H, W)``; return what it is compared with, ``(2, 3, H, W)``, range [0, 1]."""
        frame = as_bytes(image)
        recent = median_before(self.recent, frame, image)
        empty = self.empty if self.empty is not None else median_before(self.trailing, frame, image)
        self.recent.push(frame)
        if self.empty is None:
            self.trailing.push(frame)
        self.backgrounds = torch.stack([empty.to(image), recent])
        return self.backgrounds

    def follow(self, before: SceneContext) -> None:
        """Keep the recent frames, where the empty background is another."""
        if isinstance(before, BsuvContext):
            self.recent, self.trailing = before.recent, before.trailing

    def pictures(self) -> dict[str, Tensor]:
        """Show both backgrounds."""
        return {} if self.backgrounds is None else dict(zip(("background", "recent"), self.backgrounds, strict=True))

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        medians = {"recent": self.recent, "trailing": self.trailing}
        return {name: [torch.from_numpy(each.copy()) for each in of.arrays] for name, of in medians.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        for name, of in (("recent", self.recent), ("trailing", self.trailing)):
            of.extend(each.cpu().numpy() for each in state[name])


class BsuvNetSystem(BgsSystem):
    """One network for all scenes, which compares a frame with two backgrounds: an empty one, and a recent one.

    The defaults are those of Fast BSUV-Net 2.0; with ``maps`` it is BSUV-Net 2.0. What makes it work on unseen scenes
    are variations that break the alignment of the three images: ``data.init_args.crop`` and ``transforms``.

    Args:
        width: Channels of the first block of the network.
        maps: Folders of maps of what could be foreground in each of the three images; ``None``: Fast BSUV-Net 2.0.
        history: Frames of the recent background.
        empty: The empty background.
        lr: Learning rate of Adam.
        weight_decay: Weight decay, added to the gradient.
        decay_steps: Steps over which the rate falls to zero along a cosine: the length of the run. 0: it is constant,
            as in the authors' code.
        weights: File or URL of weights that the authors' code has exported. A fit begins with them; a test without a
            checkpoint uses them. They were trained on all of CDnet2014.
        labels: What the grey levels of a mask mean in training: shadows, unknown and non-ROI are ignored.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    size_divisor = 16
    tests_weights = True

    def __init__(
        self,
        width: int = 64,
        maps: ForegroundMaps | None = None,
        history: int = 100,
        empty: EmptyBackground | None = None,
        lr: float = 1e-4,
        weight_decay: float = 1e-2,
        decay_steps: int = 0,
        weights: str | None = None,
        labels: LabelRule = LabelRule.BMN_BSN,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(labels, threshold)
        check_range("model.init_args.", least=1, width=width)
        check_range("model.init_args.", least=1, most=10_000, history=history)
        check_range("model.init_args.", above=0, lr=lr)
        check_range("model.init_args.", least=0, weight_decay=weight_decay, decay_steps=decay_steps)
        self.save_hyperparameters(ignore=["labels", "maps", "empty", "weights"])
        self.empty = empty or EmptyBackground()
        self.history = history
        self.maps = maps
        of_maps = maps.inputs(self.empty) if maps else ()
        self.inputs = (Stream(), self.empty, RecentBackground(history), *of_maps)
        self.network: BsuvNetwork = sized(BsuvNetwork, width, maps is not None).to(  # type: ignore[call-overload]
            memory_format=torch.channels_last
        )
        self.lr, self.weight_decay, self.decay_steps = lr, weight_decay, decay_steps
        self.weights = weights

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.unet.core": identity}

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(B, H, W)``, for the images of :meth:`BsuvNetwork.forward`."""
        return self.network(images)  # type: ignore[no-any-return]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """The Jaccard loss of the whole batch."""
        logits = self(self._together(batch, batch["empty"], batch["recent"], batch["image"]))
        return {"segmentation": batch_jaccard(logits, self.target(batch["mask"]))}

    def begin_scene(self, scene: SceneInputs) -> BsuvContext:  # noqa: D102
        empty = scene["empty"][0] if "empty" in scene else None  # else the camera moves, or each frame has its own
        return BsuvContext(RunningMedian(self.history), RunningMedian(self.empty.history), empty)

    def probability(self, context: BsuvContext, batch: EvaluationBatch) -> Tensor:
        """Return the probability of the frames that are scored, shape ``(1, B, H, W)``; 0 for those that only pass."""
        images, scored = batch["image"], batch["is_scored"]
        empty, recent = torch.stack([context.see(image) for image in images]).unbind(1)
        if any(entry.key == "empty" and entry.per_frame for entry in self.inputs):
            empty = batch["empty"]
        found = images.new_zeros(len(images), *images.shape[-2:])
        if bool(scored.any()):
            together = self._together(batch, empty, recent, images)[scored]
            found[scored] = torch.sigmoid(self(together).float()).to(found.dtype)
        return found[None]

    @staticmethod
    def _together(batch: Mapping[str, Any], *images: Tensor) -> Tensor:
        """Join the images of a batch, each after its map if there are maps."""
        maps = [batch[key] for key in ("empty_map", "recent_map", "map") if key in batch]
        parts = [each for pair in zip(maps, images, strict=True) for each in pair] if maps else images
        return torch.cat(list(parts), 1)

    def validate(self, data: ScenesDataModule) -> None:  # noqa: D102
        smallest = min(data.crop.size if data.crop else 32, *(data.size or (32, 32)))
        if smallest < 32 and data.batch_size < 2:
            raise UserError(
                f"data.init_args.batch_size: must be at least 2 for samples of {smallest} pixels, which leave one "
                f"value to normalise; got {data.batch_size}. Raise it, or the size."
            )

    def begin_fit(self) -> None:  # noqa: D102
        if self.weights is not None:
            load_published(self.network.unet, self.weights)
            self.trained_on = published_record()

    def note(self, data: ScenesDataModule, all_unseen: bool) -> str:
        """Name what the scores of others may not have: chosen backgrounds, and maps."""
        maps = f"The maps of foreground are those of {self.maps.frame.name}." if self.maps else ""
        return f"{maps} {self.empty.note}".strip()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, with weight decay in the gradient, on biases and normalisation as well."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        return cosine_decay(optimizer, self.decay_steps)
