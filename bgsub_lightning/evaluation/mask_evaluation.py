"""A folder of masks scored, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import claimed, refuse_links
from bgsub_lightning.core.text import join_some
from bgsub_lightning.core.version import versions
from bgsub_lightning.datasets import Problem, Reader, Scene
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.evaluation import gallery
from bgsub_lightning.evaluation.cdnet_stats import write_statistics, write_videos
from bgsub_lightning.evaluation.frame_scores import (
    FrameScore,
    Listed,
    dataset_of,
    read_frames,
    video_of,
    write_frames,
)
from bgsub_lightning.evaluation.mask_checks import Chosen, write_problems
from bgsub_lightning.evaluation.mask_files import MaskCounts, MaskFiles
from bgsub_lightning.evaluation.mask_record import MaskRecord
from bgsub_lightning.evaluation.testresult import TestResult, VideoResult
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import Leakage
from bgsub_lightning.splits.frameset import FrameSet
from bgsub_lightning.splits.leaks import worst


def frames_file(path: Path) -> Path:
    """Return the ``frames.csv`` of a run directory, or any other file that was named."""
    return path / "frames.csv" if path.is_dir() else path


def listed_frames(path: Path) -> Listed:
    """Read the ``frames.csv`` of a test, or of its run directory.

    Raises:
        UserError: If there is none, or it names no frame.
    """
    file = frames_file(path)
    try:
        listed = read_frames(file)
    except FileNotFoundError:
        raise UserError(f"--frames: {file}: there is no such file. `test` writes it in its run directory.") from None
    except UserError as error:
        raise UserError(f"--frames: {error}") from error
    if not listed:
        raise UserError(f"--frames: {file}: names no frame.")
    return listed


def frames_to_score(scenes: Sequence[Scene], listed: Listed | None, reader: Reader) -> Chosen:
    """Choose the frames that are listed, or all labelled ones, of those scenes that have any.

    Raises:
        UserError: If there is none, or a listed one is not labelled.
    """
    chosen: list[tuple[Scene, Sequence[int]]] = []
    for scene in scenes:
        numbers = list(scene.masks) if listed is None else sorted(listed.get(scene.key, ()))
        if unlabelled := [number for number in numbers if number not in scene.masks]:
            raise UserError(
                f"--frames: frame {unlabelled[0]} of {scene.key} has no ground truth in this copy of {reader.name}, as "
                f"have {len(unlabelled) - 1} others of it. Name the copy that was tested by --root."
            )
        if numbers:
            chosen.append((scene, numbers))
    if not chosen:
        names = join_some([scene.key for scene in scenes])
        raise UserError(f"There is nothing to score: no frame that is asked for is labelled, of {names}.")
    return chosen


@dataclass(frozen=True)
class ScoredMasks:
    """Masks, and what was counted in them.

    Attributes:
        files: The masks.
        chosen: Scenes with the frames that are scored.
        listed: What a test says of these frames; ``None``: all are test frames.
        counted: ``category/name`` → what was counted, and which masks are invalid.
    """

    files: MaskFiles
    chosen: Chosen
    listed: Listed | None
    counted: Mapping[str, MaskCounts]

    def frames(self, key: str) -> list[FrameScore]:
        """Return the scored frames of a video."""
        found = self.counted[key].frames
        if self.listed is None:
            return found
        return [frame._replace(is_test=self.listed[key][frame.number].is_test) for frame in found]

    def result(self, name: str, protocol: str, leakage: Leakage, record: MaskRecord | None = None) -> TestResult:
        """Return the metrics, as of a test of a system named ``masks``.

        Args:
            name: The result's.
            protocol: What the masks' maker trained and tested on, in words.
            leakage: What the maker had seen by the user's word.
            record: The maker's own, which stands unless it knows nothing or the user's word is worse.
        """
        tested = FrameSet.of(
            (scene, [frame.number for frame in self.frames(scene.key) if frame.is_test]) for scene, _ in self.chosen
        )
        recorded = record.leakage(tested) if record else {}
        found = {scene.key: _leakage(leakage, recorded.get(scene.key, "unknown")) for scene in tested.scenes}
        return TestResult(
            name=name,
            system="masks",
            **dataset_of(scene for scene, _ in self.chosen),
            protocol=protocol,
            fold=0,
            seed=0,
            leakage=worst(found.values()) if found else leakage,
            checkpoint=None,
            videos={
                scene.key: VideoResult(leakage=found[scene.key], **video_of(self.frames(scene.key), scene))
                for scene, _ in self.chosen
                if scene.key in found
            },
            device="",
            versions=versions(opencv=cv2.__version__, numpy=np.__version__),
            missing={key: counts.missing for key, counts in self.counted.items() if counts.missing},
        )

    def write(self, out: Path, result: TestResult, unexpected: Sequence[Problem]) -> None:
        """Write ``scores.json`` and all that goes with it into a folder."""
        frames = [frame for scene, _ in self.chosen for frame in self.frames(scene.key)]
        with claimed(out):
            for owned in ("stats", "gallery"):  # before anything is written
                refuse_links(out / owned, out)
            write_problems(out / "problems.csv", self.counted, unexpected)
            write_frames(out / "frames.csv", frames, self._trained_on)
            write_videos(out / "per_video.csv", result)
            write_statistics(out / "stats", result)
            pixels = {scene.key: SceneFrames(scene, None) for scene, _ in self.chosen}

            def prediction(frame: gallery.GalleryFrame) -> NDArray[np.bool_]:
                return np.asarray(self.files.read(pixels[frame.video].scene, frame.number) == MOVING)

            kept = gallery.chosen(
                gallery.GalleryFrame(each.video, each.number, tuple(each.counts)) for each in frames if each.is_test
            )
            gallery.clear_gallery(out / "gallery")
            gallery.write_pictures(out / "gallery", (frame for _, frame in kept), pixels, prediction)
            if kept:
                gallery.write_index(out / "gallery", kept)
            result.save(out / "scores.json")

    def _trained_on(self, frame: FrameScore) -> str:
        return "" if self.listed is None else self.listed[frame.video][frame.number].trained_on


def _leakage(given: Leakage, recorded: Leakage) -> Leakage:
    if "unknown" in (given, recorded):
        return given if recorded == "unknown" else recorded
    return worst((given, recorded))


def require_all(result: TestResult, out: Path) -> None:
    """Check that no frame lacks a mask.

    Raises:
        UserError: If one does; the result is in the folder all the same.
    """
    if result.partial:
        raise UserError(
            f"The result is partial: {sum(result.missing.values())} frames of {some(len(result.missing), 'video')} "
            f"have no mask that can be scored; they are named above and in {out / 'problems.csv'}. The others were "
            f"scored, and {out / 'scores.json'} is marked. To take it as it is: --allow_partial=true; to leave videos "
            f"out: --scene."
        )
