"""``scores.json``: the result of one test. Counts add up, so that every averaging can be computed from these files."""

from __future__ import annotations

import json
import re
from collections.abc import Sized
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.records import read_json
from bgsub_lightning.evaluation.extent import Extent, extent_of, missing_folds
from bgsub_lightning.metrics import COUNTS, DICE_COUNTS, THRESHOLDS, Averaging, Scores, scores, scores_at_thresholds
from bgsub_lightning.splits import Leakage

VERSION = 2

T = TypeVar("T", bound=Sized)


def _has(*lengths: int) -> AfterValidator:
    def check(value: T) -> T:
        if len(value) not in lengths:
            raise ValueError(f"should have {' or '.join(map(str, lengths))} items")
        return value

    return AfterValidator(check)


Count = Annotated[int, Field(ge=0)]
Counts = Annotated[list[Count], _has(len(COUNTS))]
DiceCounts = Annotated[list[Count], _has(0, len(DICE_COUNTS))]
AtThresholds = Annotated[list[Annotated[list[Count], _has(4)]], _has(0, len(THRESHOLDS))]
Key = Annotated[str, StringConstraints(pattern=r"^[^/]+/[^/]+$")]
"""``category/name`` of a video."""


@dataclass(frozen=True)
class VideoResult:
    """One video's part.

    Attributes:
        counts: TP, FP, FN, TN and shadow errors over its scored frames.
        frames: Number of scored frames.
        leakage: What training has seen of the video.
        draws: The counts of each single draw, where the system averages several.
        counts_with_training: The counts over the scored frames and those of the training part together, which is what
            the papers of some protocols report; empty for other protocols.
        frames_with_training: Number of these frames; 0 for other protocols.
        threshold_counts: TP, FP, FN and TN over the scored frames at each threshold of
            :data:`bgsub_lightning.metrics.THRESHOLDS`; empty in files of earlier versions.
        binary_truth: Whether more than a tenth of the scored masks with foreground have no unknown pixel (170) at its
            boundary, although the dataset has these labels: the video's metrics are of lower fidelity.
        dice: Sum of :data:`bgsub_lightning.metrics.DICE_COUNTS` over its scored frames; empty in files of earlier
            versions.
        dice_with_training: The same over the frames of ``counts_with_training``.
        threshold_dice: The same at each threshold; empty in files of earlier versions.
        base: What its frames were compared with, in systems that do so: the number of a frame, which is not scored, or
            an image file.
        departure: What shows that it is not the published dataset's own video, in words; empty: nothing does.
    """

    counts: Counts
    frames: Count
    leakage: Leakage
    draws: list[Counts] = field(default_factory=list)
    counts_with_training: Annotated[list[Count], _has(0, len(COUNTS))] = field(default_factory=list)
    frames_with_training: Count = 0
    binary_truth: bool = False
    threshold_counts: AtThresholds = field(default_factory=list)
    dice: DiceCounts = field(default_factory=list)
    dice_with_training: DiceCounts = field(default_factory=list)
    threshold_dice: AtThresholds = field(default_factory=list)
    base: int | str | None = None
    departure: str = ""


@dataclass(frozen=True)
class TestResult:
    """The result of one test.

    Attributes:
        name: Name of the run.
        system: Class of the module.
        dataset: Name of the dataset; see :attr:`bgsub_lightning.datasets.Scene.dataset`.
        protocol: What the protocol tests, in words.
        fold: The fold that was tested.
        seed: The datamodule's seed.
        leakage: The least honest of the videos'.
        checkpoint: File of the weights; ``None`` for a system without any.
        videos: ``category/name`` → its part.
        device: What it ran on.
        versions: Package → version.
        remark: What a table must say as well.
        threshold: Probability above which a pixel was called foreground; ``None`` in files of earlier versions, and for
            masks that were made elsewhere.
        threshold_from: What chose it, such as ``validation on held-out frames``; empty: the configuration names it.
        missing: ``category/name`` → number of frames that should have been scored and were not; of a partial
            result a video has no part in ``videos`` if none of its frames could.
        frames_shown: Number of frames that the system was shown, scored or not, on all processes; 0 for masks that were
            made elsewhere.
        seconds: How long that took, loading and counting included; of several tests together, their sum.
        origin: Who rendered the dataset, in words; empty: it was filmed, as far as is known.
        untested: Runs of a campaign, other than folds, that are missing from the merged result.
        parameters: Number of the system's parameters; ``None`` where it has none, or a test did not count them.
        flop_per_frame: Operations of its evaluation of a frame of 320×240, two for each multiply-add, without what is
            computed once per scene; ``None`` where they were not counted.
    """

    __test__ = False  # no test case, whatever pytest thinks of the name

    name: str
    system: str
    dataset: str
    protocol: str
    fold: int
    seed: int
    leakage: Leakage
    checkpoint: str | None
    videos: dict[Key, VideoResult]
    device: str
    versions: dict[str, str]
    remark: str = ""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    threshold_from: str = ""
    missing: dict[Key, Count] = field(default_factory=dict)
    frames_shown: Count = 0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    origin: str = ""
    untested: list[str] = field(default_factory=list)
    parameters: Count | None = None
    flop_per_frame: Count | None = None

    @property
    def frames(self) -> dict[str, int]:
        """``category/name`` → number of scored frames."""
        return {key: video.frames for key, video in self.videos.items()}

    @property
    def frames_per_second(self) -> float | None:
        """Frames shown per second; ``None`` if it was not measured."""
        return self.frames_shown / self.seconds if self.seconds else None

    @property
    def gflop_per_frame(self) -> float | None:
        """10⁹ operations per frame of 320×240; ``None`` where they were not counted."""
        return None if self.flop_per_frame is None else self.flop_per_frame / 1e9

    @property
    def extent(self) -> Extent:
        """Whether its metrics over all videos are overall ones, and what is said where they are not."""
        return extent_of(self.name, [*missing_folds(self.protocol), *self.untested])

    @property
    def partial(self) -> bool:
        """Whether frames that should have been scored were not."""
        return bool(self.missing)

    def scores(self, averaging: Averaging = "video", skip_silent: bool = False, with_training: bool = False) -> Scores:
        """Compute the metrics; without Mean Dice if an earlier version made the test.

        Args:
            averaging: How they come about.
            skip_silent: Give no precision where nothing was called foreground, as tables do. Otherwise, as in the file,
                0/0 is 1 there.
            with_training: Over the frames of the training part as well; then they are no measure of generalisation.
        """
        parts = {
            key: (video.counts_with_training, video.dice_with_training)
            if with_training and video.counts_with_training
            else (video.counts, video.dice)
            for key, video in self.videos.items()
        }
        dice = {key: part for key, (_, part) in parts.items()}
        counts = {key: part for key, (part, _) in parts.items()}
        return scores(counts, averaging, dice if all(dice.values()) else None, skip_silent)

    @property
    def training_frames(self) -> int:
        """Number of frames of the training part that were scored as well; 0 where the protocol asks for none."""
        return sum(
            video.frames_with_training - video.frames for video in self.videos.values() if video.counts_with_training
        )

    def scores_of_draws(self) -> list[Scores]:
        """Compute the metrics of each single draw; empty where the system makes one."""
        count = min((len(video.draws) for video in self.videos.values()), default=0)
        return [scores({key: video.draws[i] for key, video in self.videos.items()}) for i in range(count)]

    def scores_at_thresholds(self, averaging: Averaging = "video", skip_silent: bool = False) -> list[Scores]:
        """Compute the metrics at each of :data:`bgsub_lightning.metrics.THRESHOLDS`.

        Args:
            averaging: How they come about.
            skip_silent: See :meth:`scores`.

        Raises:
            UserError: If the test was made by a version that did not count at thresholds.
        """
        if not all(video.threshold_counts for video in self.videos.values()):
            raise UserError(
                f"{self.name}: its scores.json has no counts at other thresholds than its own, because `evaluate` "
                f"wrote it from masks, or an earlier version of bgsub_lightning. Run the test again."
            )
        counts = {key: video.threshold_counts for key, video in self.videos.items()}
        dice = {key: video.threshold_dice for key, video in self.videos.items()}
        return scores_at_thresholds(counts, averaging, dice if all(dice.values()) else None, skip_silent)

    def save(self, path: Path) -> None:
        """Write the file, under a temporary name first."""
        derived = {"frames_per_second": self.frames_per_second, "metrics": asdict(self.scores())}
        content = {"version": VERSION, "counts": COUNTS, **asdict(self), **derived}
        if self.training_frames:
            content["metrics_with_training"] = asdict(self.scores(with_training=True))
        with atomic_write(path) as file:
            file.write(_numbers_in_lines(json.dumps(content, indent=1)) + "\n")

    @classmethod
    def load(cls, path: Path) -> TestResult:
        """Read a file, or the ``scores.json`` of a run directory.

        Raises:
            UserError: If there is none, or it is not one of ours.
        """
        file = path / "scores.json" if path.is_dir() else path
        try:
            stored = read_json(file, _ScoresFile, "Run the test again.")
        except FileNotFoundError:
            raise UserError(f"{file}: there is no such file. Run `test` with --run_dir {path} first.") from None
        if not stored.videos:
            raise UserError(
                f"{file}: videos: must hold at least one video. Run the test again, with all of its batches."
            )
        return cls(**{each.name: getattr(stored, each.name) for each in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class _ScoresFile(TestResult):
    """The content of the file: with its version, and what follows from the rest."""

    version: Literal[2]
    counts: list[str]
    metrics: dict[str, Any]
    metrics_with_training: dict[str, Any] | None = None
    frames_per_second: float | None = None


def _numbers_in_lines(text: str) -> str:
    """Write each list of numbers in a line, not one number a line."""
    return re.sub(r"\[\n[\d,\s]+\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text)
