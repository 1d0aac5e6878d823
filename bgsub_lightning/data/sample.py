"""The contract of a batch: every key, its shape, type and range, as modules see it on the device.

On their way from the loader to the device images are uint8 with their channels last, as OpenCV and the store have them;
:meth:`ScenesDataModule.on_after_batch_transfer` makes of them what stands here.
"""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor


class TrainingBatch(TypedDict, total=False):
    """Frames of any scenes, all at the input size. Which inputs there are is the module's choice (``inputs``)."""

    image: Tensor
    """Target frames, shape ``(B, 3, H, W)``, float32, range [0, 1], RGB, in memory format channels-last; uint8,
    range [0, 255], where the module's input is a :class:`ByteStream`. A batch of :class:`UnlabelledImage` has neither
    mask nor flip."""
    references: Tensor
    """N frames of each target's unlabelled part, shape ``(B, N, 3, H, W)``, float32, range [0, 1]."""
    hop: Tensor
    """Hierarchical optical flow of the target frames, shape ``(B, T, H, W)``, float32, range [0, 1]: the length of the
    flow to each of T earlier frames, from the longest interval to the shortest; 8/255 is a pixel of the frames' own
    size, 0 is no motion, 1 is 32 pixels or more."""
    earlier: Tensor
    """A frame a little before each target, shape ``(B, 3, H, W)``, uint8."""
    samples: Tensor
    """Samples of two banks of a background model, oldest first: ``(B, 2, N, 3, H, W)``, uint8, range [0, 255]."""
    background: Tensor
    """The background of each target frame, as ``image``."""
    truth_background: Tensor
    """The background of each target frame according to the masks, as ``image``."""
    empty: Tensor
    """The empty background of each target's scene, as ``image``."""
    recent: Tensor
    """The median of the frames before each target, or before the first frame of its group, as ``image``."""
    frames: Tensor
    """G frames of each target's video at a constant gap, the target among them: shape ``(B, G, 3, H, W)``, float32,
    range [0, 1]."""
    masks: Tensor
    """Their masks: grey levels, shape ``(B, G, H, W)``, uint8; 170 (unknown) all over where there is none."""
    map: Tensor
    """Map of possible foreground in each target frame, shape ``(B, 1, H, W)``, float32, range [0, 1]."""
    recent_map: Tensor
    """Map of possible foreground in ``recent``, likewise."""
    empty_map: Tensor
    """Map of possible foreground in ``empty``, likewise."""
    base_image: Tensor
    """Another training frame of each target's scene, as ``image``."""
    base_mask: Tensor
    """Its mask, as ``mask``."""
    history: Tensor
    """Histories of P pixels of one window of frames, oldest first: shape ``(B, T, 3, P)``, float32, range [0, 1]; a
    batch of them has neither mask nor flip."""
    mask: Tensor
    """Grey levels of the masks, shape ``(B, H, W)``, uint8; a label rule says what they mean."""
    scene: Tensor
    """Positions of the scenes, shape ``(B,)``, int64."""
    number: Tensor
    """Frame numbers, shape ``(B,)``, int64."""
    flip: Tensor
    """Which samples are mirrored, shape ``(B,)``, bool; done when a module sees the batch."""


class SceneInputs(TypedDict, total=False):
    """Inputs that are loaded once per scene."""

    references: Tensor
    """D draws of N frames of the scene, fixed by (seed, scene): shape ``(D, N, 3, H, W)``."""
    base_image: Tensor
    """The base image of the scene, shape ``(1, 3, H, W)``, as in training."""
    empty: Tensor
    """The empty background of the scene, shape ``(1, 3, H, W)``; absent of a camera that moves."""
    recent: Tensor
    """The median of the frames before its labelled part, shape ``(1, 3, H, W)``."""


class EvaluationBatch(SceneInputs, total=False):
    """Frames of one scene, in order. The first batch of a scene holds its :class:`SceneInputs`, and no other does."""

    image: Tensor
    """As in training."""
    hop: Tensor
    """As in training."""
    ground_truth: Tensor
    """The masks at the frames' own size: grey levels, shape ``(B, h, w)``, uint8; 170 (unknown) all over for frames
    that are not labelled. Absent in prediction."""
    roi: Tensor
    """The region of interest at the frames' own size, shape ``(h, w)``, bool."""
    is_scored: Tensor
    """Which frames belong to the evaluated set, shape ``(B,)``, bool; systems that carry state see the others too."""
    also_scored: Tensor
    """Which of these are training frames, scored in addition to the test frames because the protocol's papers do so:
    shape ``(B,)``, bool. In tests alone."""
    scene: int
    """Position of the scene."""
    number: Tensor
    """Frame numbers, shape ``(B,)``, int64."""
    first_in_scene: bool
    """Whether this is the scene's first batch in this process."""
    last_in_scene: bool
    """Whether it is the last."""
