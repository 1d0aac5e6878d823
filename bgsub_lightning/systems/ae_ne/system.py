"""AE-NE.

B. Sauvalle, A. de La Fortelle, "Autoencoder-based background reconstruction and foreground segmentation with background
noise estimation", WACV 2023 (arXiv:2112.08001).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range, check_whole
from bgsub_lightning.data import (
    EvaluationBatch,
    Image,
    SceneInputs,
    Span,
    Stage,
    StagePlan,
    TrainingBatch,
    UnlabelledImage,
)
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.splits import FrameSet
from bgsub_lightning.systems.ae_ne.background import AutoencoderBackground, Reconstructed
from bgsub_lightning.systems.ae_ne.loss import background_complexity, reconstruction_losses
from bgsub_lightning.systems.kinds import StagedSystem
from bgsub_lightning.systems.system import Threshold
from bgsub_lightning.systems.trainer_types import ScenesDataModule
from bgsub_lightning.systems.with_background import RecordedBackground

COMPLEX = 0.24
"""Complexity above which the authors train again, with the larger network and for longer: τ₀."""

_SEEN, _BATCH = 480, 32  # frames by which the complexity is found, and how many of them at once


class AeNeSystem(RecordedBackground, StagedSystem):
    """An autoencoder that learns the background of one scene from all of its frames, without labels.

    The few latent numbers have no place for what is seen in few frames, and where much is wrong the loss counts little.
    A fourth output learns which error is to be expected, as on water or leaves. What differs by more is foreground. The
    defaults are those of the authors' code; each scene has its own model.

    Stage ``settle`` continues where ``learn`` ends, with a smaller rate. Between them the complexity of the background
    is measured: where it is above 0.24, the authors train again, as ``experiments/ae_ne_complex.yaml`` does.

    Args:
        background: What gives the backgrounds; ``None``: the autoencoder for simple backgrounds at 320×240.
        learn: Numbers of the first stage.
        settle: Numbers of the second.
        strength: How much less counts in the loss what is not reconstructed: β.
        window: Width of a frame divided by the radius, in pixels, in which that is seen: r.
        noise: How many times the expected error is taken off a difference: α₂.
        contrast: Difference, summed over the channels, from which a pixel is foreground: so many 255ths of the mean
            brightness of the background, 255 α₁.
        closing: Height and width of the square of the morphological closing, odd; 1: none.
        opening: The same of the opening that follows.
        threshold: Probability above which a pixel is called foreground; 0.5 is the authors' rule.
    """

    background: AutoencoderBackground

    def __init__(
        self,
        background: AutoencoderBackground | None = None,
        learn: Stage = Stage(2_000, 32, 5e-4),
        settle: Stage = Stage(500, 32, 5e-5),
        strength: float = 6.0,
        window: int = 75,
        noise: float = 7.0,
        contrast: float = 96.0,
        closing: int = 5,
        opening: int = 7,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(LabelRule.TRAINING, threshold)
        check_range("model.init_args.", least=0, strength=strength, noise=noise)
        check_range("model.init_args.", above=0, contrast=contrast)
        check_whole("model.init_args.", least=1, most=10_000, window=window)
        check_whole("model.init_args.", least=1, most=99, closing=closing, opening=opening)
        for name, side in (("closing", closing), ("opening", opening)):
            if not side % 2:
                raise UserError(f"model.init_args.{name}: must be odd; got {side}.")
        self.save_hyperparameters(ignore=["background"])
        self.background = AutoencoderBackground() if background is None else background
        self.strength, self.window = strength, window
        self.noise, self.contrast = noise, contrast
        self.closing, self.opening = closing, opening
        self.complexity: float | None = None
        self.inputs = (Image(),)
        frames = (UnlabelledImage(),)
        self.plan = StagePlan(
            Span("learn", ("background",), learn, frames, learn.batch_size),
            Span("settle", ("background",), settle, frames, settle.batch_size, goes_on=True),
        )

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the weighted errors of the background and of its expected error."""
        image = self.background.at_its_size(batch["image"])
        return reconstruction_losses(image, self.background.network(image), self.strength, self.window)

    @torch.no_grad()
    def begin_stage(self, span: Span, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Find the complexity of the background when it is learnt, by the backgrounds of at most 480 frames."""
        if not span.goes_on or self.complexity is not None:  # which a run that is resumed in this stage has
            return
        chosen = np.random.default_rng(0).permutation(len(frames))[:_SEEN].tolist()
        backgrounds = []
        for start in range(0, len(chosen), _BATCH):
            places = [frames[index] for index in chosen[start : start + _BATCH]]
            images = [torch.from_numpy(pixels[scene].image(number)).to(self.device) for scene, number in places]
            shown = [image.movedim(-1, -3).to(self.dtype).div_(255)[None] for image in images]
            found = self.background.network(torch.cat([self.background.at_its_size(each) for each in shown]))[:, :3]
            backgrounds.append((found * 255).round().byte().cpu())
        self.complexity = background_complexity(torch.cat(backgrounds))
        console.print(f"Complexity of the background: {self.complexity:.2f}. {self._advice()}".rstrip())

    def begin_scene(self, scene: SceneInputs) -> Reconstructed:  # noqa: D102
        return self.background.begin_scene()

    def probability(self, context: Reconstructed, batch: EvaluationBatch) -> Tensor:
        """Return x / (x + α₁ · brightness), shape ``(1, B, H, W)``: above ½ where the authors' rule has foreground.

        x is three times what the mean absolute difference from the background exceeds α₂ times the expected error by,
        both in whole grey levels. Closing and opening of the probabilities are those of the masks at any threshold.
        """
        image = batch["image"]
        background, error = self.background.reconstruct(image)
        context.background, context.error = background[-1], error[-1]
        background, error = 255 * background.float(), (255 * error.float()).floor()
        difference = (255 * image.float() - background).abs().mean(1).floor()
        excess = 3 * (difference - self.noise * error).clamp(min=0)
        least = self.contrast / 255 * background.mean((1, 2, 3))[:, None, None]
        found = excess / (excess + least).clamp(min=torch.finfo(excess.dtype).tiny)
        found = -dilated(-dilated(found, self.closing), self.closing)
        return dilated(-dilated(-found, self.opening), self.opening)[None]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the complexity of the background."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["complexity"] = self.complexity

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read it."""
        super().on_load_checkpoint(checkpoint)
        self.complexity = checkpoint.get("complexity")

    def note(self, data: ScenesDataModule, all_unseen: bool) -> str:  # noqa: D102
        return f"{super().note(data, all_unseen)} {self._advice()}".strip()

    def _advice(self) -> str:
        is_small = self.background.complexity == "simple" and (self.complexity or 0) > COMPLEX
        return f"Above {COMPLEX} the paper trains as ae_ne_complex.yaml does." if is_small else ""


def dilated(images: Tensor, side: int) -> Tensor:
    """Return the largest value in a square around each pixel: grey dilation, of ``(B, H, W)``."""
    return F.max_pool2d(images[:, None], side, 1, side // 2)[:, 0]
