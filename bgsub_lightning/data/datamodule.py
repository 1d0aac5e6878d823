"""The one datamodule: source × protocol × inputs × augmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from bgsub_lightning.core.console import console, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.run_info import INPUT_SIZE
from bgsub_lightning.core.text import join_some
from bgsub_lightning.data.augment import A, ClipAugmentation
from bgsub_lightning.data.batches import EvaluationBatches, TrainingBatches
from bgsub_lightning.data.crops import Crop, SpatioTemporalCrop
from bgsub_lightning.data.dataset import EvaluationDataset, TrainingDataset, ready
from bgsub_lightning.data.frame_group import FrameGroup
from bgsub_lightning.data.inputs import Hop, Input, Stream
from bgsub_lightning.data.pasting import VOC_HOMEPAGE, VocObjects, has_foreground
from bgsub_lightning.data.sequence_crop import SequenceCrop
from bgsub_lightning.data.shared_memory import SharedMemoryLoader
from bgsub_lightning.data.stages import Span, StagedLoader, StageHook, StagePlan
from bgsub_lightning.data.transforms import SampleTransform
from bgsub_lightning.data.workers import begin_worker
from bgsub_lightning.datasets import CDnet2014, Reader, with_mask_code
from bgsub_lightning.datasets.depth import checked_range, with_range
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.scene import UnknownSceneError
from bgsub_lightning.frames import DisFlow, FlowMethod, FrameStore, SceneFrames, fill, fill_flow
from bgsub_lightning.splits import FrameSet, Protocol, Split

_PURPOSE = {"fit": "train on", "validate": "validate", "test": "test", "predict": "predict"}


class ScenesDataModule(LightningDataModule):
    """Frames of scenes, for any system under any protocol.

    Args:
        inputs: What the module needs; the command line takes it from ``model.inputs``.
        protocol: Which frames train, validate and test.
        plan: The stages of a module that is trained in some; the command line takes it from ``model.plan``. A stage has
            its own batch size.
        root: The dataset's folder; ``None`` takes it from the reader's environment variable (``CDNET2014_ROOT``).
        reader: Which dataset it is.
        store: Folder that keeps decoded frames; what it lacks is written before the run. ``None``: no store.
        scene: Use only this or these categories or patterns of ``category/video``; ``None``: all.
        fold: Which fold is tested, from 1, where the protocol has folds.
        seed: Seed of the order of frames, of what is random in samples, and of the protocol. ``None``: 0; the command
            line takes it from ``--seed_everything``, and that from this one, whichever is set.
        size: Width and height of the networks' input in pixels; ``None``: each scene's own, which must be one for all
            that share a batch of training.
        batch_size: Training samples per process and step.
        eval_batch_size: Frames per process and step in evaluation.
        num_workers: Worker processes of each loader.
        augment: An albumentations pipeline, applied alike to all frames of a training sample; ``None``: nothing.
        flip: Probability that a training sample is mirrored, on the device.
        paste: Objects, or a folder in the layout of PASCAL VOC 2012 that holds some, for protocols that paste them into
            the training frames of scenes whose training part has no foreground: the target frames, and no other input.
        allow_training_frames: Test on frames that the checkpoint was trained on, and say so, instead of refusing.
        crop: Square window of the frames that a training sample shows, at the frames' own scale, the same for all its
            frames or not; ``None``: all of them.
        transforms: Variations of training samples that know the target from the past, applied in their order. On an
            accelerator, the pointwise ones at the end of the list are computed there, to the same bits.
        mask_code: How masks are written, such as ``BINARY`` for black and white, or 0 and 1; ``None``: as the
            reader says.
        range: Grey levels of frames of 16 bits that become 0 and 255; ``None``: by each scene's first frames (see
            :func:`bgsub_lightning.datasets.depth.range_of`).
        flow: What computes the optical flow of systems that see it. With a store, what that lacks is computed before
            the run (or ahead, by the command ``flow``); without one, whenever a frame is loaded.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        protocol: Protocol,
        root: Path | None = None,
        reader: Reader = CDnet2014(),  # noqa: B008 (it has no state)
        store: Path | None = None,
        scene: list[str] | str | None = None,
        fold: int = 1,
        seed: int | None = None,
        size: tuple[int, int] | None = INPUT_SIZE,
        batch_size: int = 1,
        eval_batch_size: int = 8,
        num_workers: int = 2,
        augment: A.Compose | None = None,
        flip: float = 0.0,
        allow_training_frames: bool = False,
        plan: StagePlan | None = None,
        paste: VocObjects | Path | None = None,
        flow: FlowMethod = DisFlow(),  # noqa: B008 (it cannot be changed)
        crop: Crop | SpatioTemporalCrop | SequenceCrop | None = None,
        transforms: Sequence[SampleTransform] = (),
        mask_code: MaskCode | None = None,
        range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        check_range("data.init_args.", least=1, most=65_536, batch_size=batch_size, eval_batch_size=eval_batch_size)
        check_range("data.init_args.", least=0, most=1, flip=flip)
        check_range("data.init_args.", least=16, most=8192, size=size)
        check_range("data.init_args.", least=0, most=256, num_workers=num_workers)
        check_range("data.init_args.", least=0, below=2**32, seed=seed)
        if paste is not None and not protocol.pastes_objects:
            raise UserError(
                f"data.init_args.paste: {type(protocol).__name__} pastes no objects into training frames, as "
                f"bgsub_lightning.splits.FirstHalf does. Leave the option out."
            )
        self.inputs = tuple(inputs)
        self.protocol = protocol
        self.plan = plan
        self.root = root
        self.reader = reader
        self.store = FrameStore(store) if store else None
        self.scene = [scene] if isinstance(scene, str) else scene
        self.fold = fold
        self.seed = seed or 0
        self.size = (size[0], size[1]) if size else None
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.augment = augment
        self.flip = flip
        self.paste = paste
        self.flow = flow
        self.crop = crop
        self.transforms = tuple(transforms)
        self.mask_code = mask_code
        self.range = None if range is None else checked_range(range, "data.init_args.range")
        self.allow_training_frames = allow_training_frames
        self._frames: dict[str, FrameSet] = {}
        self._inputs: dict[str, tuple[Input, ...]] = {}

    @cached_property
    def split(self) -> Split:
        """The protocol's split of the dataset's scenes.

        Raises:
            UserError: If the dataset is not there, or the protocol cannot be applied to it.
        """
        scenes = self.reader.scenes(self.reader.locate(self.root), self.scene)
        scenes = with_mask_code(with_range(scenes, self.range, "data.init_args.range"), self.mask_code)
        try:
            return self.protocol.split(scenes, self.fold, self.seed)
        except UnknownSceneError as error:
            if self.scene is None:
                raise
            raise UserError(
                f"{error.option}: {error.pattern!r} is no video and no category of those that data.init_args.scene "
                f"leaves ({join_some(self.scene)}). {error.hint}"
            ) from error

    @property
    def streams(self) -> bool:
        """Whether the system carries state from frame to frame."""
        return any(isinstance(entry, Stream) for entry in self.inputs)

    @cached_property
    def pasted(self) -> dict[str, VocObjects]:
        """Keys of the scenes into whose training frames objects are pasted → the objects.

        Raises:
            UserError: If there is such a scene and nothing to paste, or the folder holds no objects.
        """
        if not self.protocol.pastes_objects:
            return {}
        bare = [
            (scene, numbers)
            for scene, numbers in self.frames_of("fit")
            if not has_foreground(SceneFrames(scene, self.size, self.store), numbers)
        ]
        if not bare:
            return {}
        if self.paste is None:
            scene, numbers = bare[0]
            raise UserError(
                f"{scene.dataset} {scene.key}: no foreground in its {len(numbers)} training frames, so there is "
                f"nothing to learn. Name a folder in the layout of PASCAL VOC 2012 by "
                f"--data.init_args.paste=FOLDER, and objects of it are pasted into the frames (to be had from "
                f"{VOC_HOMEPAGE}); or leave the scene out by data.init_args.scene."
            )
        objects = self.paste if isinstance(self.paste, VocObjects) else VocObjects(self.paste)
        return {scene.key: objects for scene, _ in bare}

    def frames_of(self, stage: str) -> FrameSet:
        """Return the frames of a stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.

        Those of ``"predict"`` are the whole temporal ROI of the test scenes, labelled or not. Those of ``"test"`` are
        the test frames, without those of the training part that the split scores as well.

        Raises:
            UserError: If there are none.
        """
        if stage not in self._frames:
            split = self.split
            if stage == "predict":
                frames = FrameSet.of((scene, filter(scene.is_evaluated, scene.frames)) for scene in split.test_scenes)
            else:
                frames = {"fit": split.train, "validate": split.validation, "test": split.test}[stage]
            if not len(frames):
                raise UserError(
                    f"data.init_args.protocol: there is no {'' if stage == 'predict' else 'labelled '}frame to "
                    f"{_PURPOSE[stage]} ({self.protocol.describe(self.fold)}). Choose scenes that have some, by name "
                    f"with bgsub_lightning.splits.Subset."
                )
            self._frames[stage] = frames
        return self._frames[stage]

    def inputs_of(self, stage: str) -> tuple[Input, ...]:
        """Return the inputs as an evaluation has them: ``"validate"``, ``"test"`` or ``"predict"``.

        Raises:
            UserError: If one cannot choose what it loads once per scene.
        """
        if stage not in self._inputs:
            frames = self._chosen_among(stage)
            pixels = [SceneFrames(scene, self.size, self.store) for scene in frames.scenes]
            self._inputs[stage] = tuple(entry.chosen(pixels, frames, self.seed) for entry in self.inputs)
        return self._inputs[stage]

    def bases_of(self, stage: str) -> dict[str, int | Path]:
        """Return what each scene's frames are compared with, in systems that do so: key → frame or image file."""
        return {key: base for entry in self.inputs_of(stage) for key, base in entry.bases().items()}

    @property
    def masks_seen(self) -> FrameSet:
        """The frames whose masks training sees: those that it draws, and what inputs show with them."""
        seen = self.split.train
        for entry in self.inputs:
            seen = seen.joined(entry.masks_seen(self.split))
        return seen

    def prepare_data(self) -> None:
        """Check the scenes of the run, say what is odd about them, and write what the store lacks of them.

        Raises:
            UserError: If a scene cannot be used.
        """
        stage = str(self.trainer.state.fn.value) if self.trainer and self.trainer.state.fn else "fit"
        parts = [self.frames_of(part) for part in (("fit", "validate") if stage == "fit" else (stage,))]
        scenes = list({scene.key: scene for part in parts for scene in part.scenes}.values())
        for scene in scenes:
            for entry in self._all_inputs:
                entry.validate(scene)
        self._require_frames(stage)
        self._require_truth(stage)
        if warnings := [problem for scene in scenes for problem in scene.problems]:
            more = f" ({len(warnings) - 1} more like this; `prepare` lists them)" if len(warnings) > 1 else ""
            warn(f"{warnings[0]}{more}")
        if stage == "fit" and self.pasted:
            console.print(
                f"No foreground in the training frames of {', '.join(self.pasted)}: objects of "
                f"{next(iter(self.pasted.values())).root} are pasted into them.",
                soft_wrap=True,
            )
        if self.store:
            pixels = [SceneFrames(scene, self.size, self.store, self.flow) for scene in scenes]
            fill(pixels)
            taus = sorted({tau for entry in self._all_inputs if isinstance(entry, Hop) for tau in entry.taus})
            fill_flow(pixels, taus, None if self.num_workers else 1)

    def _chosen_among(self, stage: str) -> FrameSet:
        """Return the frames among which inputs choose what an evaluation loads once per scene."""
        frames = self.frames_of(stage)
        if stage == "test":
            return frames
        # prediction has what the same frames would be tested with, validation what is known
        known = dict(self.split.test if stage == "predict" else self.split.train)
        return FrameSet.of((scene, known.get(scene, numbers)) for scene, numbers in frames)

    def _require_frames(self, stage: str) -> None:
        """Check that the frames of training, and what is chosen for an evaluation, can serve the inputs."""
        if stage == "fit":
            for inputs in [span.inputs for span in self.plan] if self.plan else [self.inputs]:
                for entry in inputs:
                    entry.require_training(inputs[0].drawn_from(self.split))
        for entry in self.inputs:
            entry.require_evaluation(self._chosen_among("validate" if stage == "fit" else stage))

    def _require_truth(self, stage: str) -> None:
        """Check that a validation has something to count."""
        if stage not in {"fit", "validate"} or not self.trainer or not self.trainer.limit_val_batches:
            return
        if all(scene.masks.keys().isdisjoint(numbers) for scene, numbers in self.frames_of("validate")):
            raise UserError(
                f"trainer.limit_val_batches: there is no labelled frame to validate with "
                f"({self.protocol.describe(self.fold)}); got {self.trainer.limit_val_batches}. Set it to 0."
            )

    def train_dataloader(self) -> SharedMemoryLoader | StagedLoader:
        """Batches of the contract :class:`TrainingBatch`."""
        frames = self.frames_of("fit")
        if self.plan:
            for span in self.plan:  # all of them before the first begins
                self._training_size(span.inputs[0].drawn_from(self.split), span.draws)
            return StagedLoader(self.plan, self._stage, lambda: self._reached()[1])
        inputs = [entry for entry in self.inputs if entry.in_training]
        self._prepare(inputs, frames)
        batches = TrainingBatches(frames, self.batch_size, self._reached, self.seed, *self._process)
        batches.length = self._batches_of_run(len(batches))
        return self._training(inputs, batches)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches of the contract :class:`EvaluationBatch`, and so the two below."""
        return self._evaluation("validate")

    def test_dataloader(self) -> DataLoader[dict[str, Any]]:  # noqa: D102
        return self._evaluation("test")

    def predict_dataloader(self) -> DataLoader[dict[str, Any]]:  # noqa: D102
        return self._evaluation("predict")

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Make of uint8 with channels last what :mod:`bgsub_lightning.data.sample` says, on the device."""
        return ready(batch, self._all_inputs, self._dtype)

    def _batches_of_run(self, epoch: int) -> int | None:
        """Return the batches of the whole run, for epochs of so many; ``None``: no end is set."""
        if self.trainer is None:
            return None
        limit = self.trainer.limit_train_batches
        epoch = min(epoch, limit if isinstance(limit, int) else int(epoch * (1.0 if limit is None else limit)))
        by_steps = self.trainer.max_steps * self.trainer.accumulate_grad_batches
        by_epochs = (self.trainer.max_epochs or -1) * epoch
        return min((each for each in (by_steps, by_epochs) if each > 0), default=None)

    def _stage(self, span: Span, done: int) -> SharedMemoryLoader:
        """Make what a stage's inputs read, then the loader of what is left of it after ``done`` steps."""
        frames = span.inputs[0].drawn_from(self.split)
        self._prepare(span.inputs, frames, span)
        process, steps = self._process, span.stage.steps
        seed = self.seed + span.first  # each stage has its own order
        batches = TrainingBatches(frames, span.draws, lambda: (done, done), seed, *process, steps, span.stage.repeat)
        return self._training(span.inputs, batches)

    def _require_crop(self, inputs: Sequence[Input], frames: FrameSet) -> None:
        """Check that inputs and scenes can be cropped."""
        if self.crop and (unfit := [entry for entry in inputs if not entry.labelled]):
            raise UserError(
                f"data.init_args.crop: serves inputs that are frames; got {type(unfit[0]).__name__} among the "
                f"system's. Set it to null."
            )
        for scene in frames.scenes if self.crop else ():
            cast("Crop", self.crop).require(SceneFrames(scene, self.size))

    def _prepare(self, inputs: Sequence[Input], frames: FrameSet, span: Span | None = None) -> None:
        """Make what training samples of a run, or of one stage of it, are read from."""
        for entry in inputs:
            entry.begin_training(self.split)
        self._require_crop(inputs, frames)
        pixels = [SceneFrames(scene, self.size, self.store) for scene in frames.scenes]
        if not self.trainer:
            for entry in inputs if self.store else ():
                entry.prepare(pixels, frames, cast("FrameStore", self.store))
            return
        own = FrameStore(Path(self.trainer.default_root_dir) / "store")  # for what depends on the run's weights
        for turn in (True, False):  # the first process writes, the others find what it wrote
            if self.trainer.is_global_zero is turn:
                for entry in inputs:
                    entry.prepare(pixels, frames, self.store or own)
                if span:
                    cast("StageHook", self.trainer.lightning_module).begin_stage(span, pixels, frames, own)
            self.trainer.strategy.barrier()

    def _training(self, inputs: Sequence[Input], batches: TrainingBatches) -> SharedMemoryLoader:
        size = self._training_size(batches.frames, batches.batch_size)
        pixels = [SceneFrames(scene, size, self.store, self.flow) for scene in batches.frames.scenes]
        changing = [type(each).__name__ for each in self.transforms if each.changes_mask]
        if changing and any(isinstance(entry, FrameGroup) for entry in inputs):
            raise UserError(
                f"data.init_args.transforms: {changing[0]} changes the mask of one frame, and the system learns from "
                f"groups of frames. Leave it out; data.init_args.crop: SequenceCrop puts objects into groups."
            )
        if self.crop:
            self.crop.prepare(pixels, self.masks_seen, self.seed)
        for transform in self.transforms:
            transform.prepare(pixels, batches.frames, self.seed)
        sizes = [(self.crop.size, self.crop.size)] if self.crop else [each.size for each in pixels]
        images = sum(math.prod(entry.shape((1, 1))[:-3]) for entry in inputs if entry.labelled and entry.colour)
        planes = sum(math.prod(entry.shape((1, 1))) for entry in inputs if not entry.colour)
        augment = ClipAugmentation(self.augment, images, planes) if self.augment and images else None
        sample = max(w * h + sum(math.prod(entry.shape((w, h))) for entry in inputs) for w, h in sizes)
        last = list(takewhile(lambda transform: transform.pointwise, reversed(self.transforms)))
        on_device = len(last) if self.trainer and self.trainer.strategy.root_device.type != "cpu" else 0
        return SharedMemoryLoader(
            TrainingDataset(pixels, inputs, augment, self.flip, self.pasted, self.crop, self.transforms, on_device),
            batches,
            batch_bytes=batches.batch_size * sample,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def _training_size(self, frames: FrameSet, batch_size: int) -> tuple[int, int] | None:
        """Return the size of the frames that samples show; ``None``: each scene's own.

        Raises:
            UserError: If frames of several sizes would meet, in a batch or by a transform.
        """
        joining = [type(each).__name__ for each in self.transforms if each.joins_scenes]
        if batch_size > 1:
            joining.append("a batch")
        sizes = sorted({scene.size for scene in frames.scenes})
        if self.size or self.crop or not joining:
            return self.size
        if len(sizes) > 1:
            raise UserError(
                f"data.init_args.size: the scenes to train on have frames of several sizes "
                f"({', '.join(f'{w}×{h}' for w, h in sizes)}), which {joining[0]} cannot join. Name one: [320, 240]."
            )
        return sizes[0]

    @property
    def _all_inputs(self) -> tuple[Input, ...]:
        return self.inputs + (self.plan.inputs if self.plan else ())

    def _evaluation(self, stage: str) -> DataLoader[dict[str, Any]]:
        also_scored = self.split.train_frames_scored if stage == "test" else None
        scored = self.frames_of(stage).joined(also_scored or FrameSet())
        shown = scored
        if self.streams:
            shown = FrameSet.of((scene, [n for n in scene.frames if n <= numbers[-1]]) for scene, numbers in scored)
        pixels = [SceneFrames(scene, self.size, self.store, self.flow) for scene in shown.scenes]
        if stage != "predict" and (bases := self.bases_of(stage)):
            scored = FrameSet.of((scene, {*numbers} - {bases[scene.key]}) for scene, numbers in scored)
        batches = EvaluationBatches(shown, self.eval_batch_size, *self._process, whole_scenes=self.streams)
        return DataLoader(
            EvaluationDataset(pixels, self.inputs_of(stage), scored, self.seed, stage != "predict", also_scored),
            batch_size=None,
            sampler=batches,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=begin_worker,
        )

    def _reached(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 0
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        return progress.total.ready, progress.current.ready

    @property
    def _dtype(self) -> torch.dtype:
        """The type of the module's weights, which a `-true` precision of the trainer changes."""
        return self.trainer.lightning_module.dtype if self.trainer else torch.float32  # type: ignore[return-value]

    @property
    def _process(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
