"""A scene: one video of a dataset, as paths and numbers."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.origin import Origin, origin_of

Range = tuple[float, float]
"""Grey levels of frames deeper than 8 bits that become 0 and 255; see :mod:`bgsub_lightning.datasets.depth`."""


@dataclass(frozen=True)
class Problem:
    """Something about a scene's files that a user should know.

    Attributes:
        severity: An ``"error"`` keeps the scene from being used; a ``"warning"`` says what was done about it.
        file: The file or folder.
        what: What is wrong with it.
        fix: What to do, or what was done.
    """

    severity: Literal["error", "warning"]
    file: Path
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}. {self.fix}"


@dataclass(frozen=True, eq=False)
class Scene:
    """One video of a dataset.

    Attributes:
        dataset: Name of the dataset; ``synthetic NAME`` of one that was rendered in its layout.
        category: Category of the video.
        name: Name of the video.
        size: Width and height of its frames in pixels.
        frames: Frame number → image file, in ascending order.
        masks: Frame number → ground-truth file, in ascending order; the *labelled* frames, and no others.
        evaluated: First and last frame number of the part that a submission must hold masks for (both inclusive).
        references: Numbers of the frames that can be references: those that come before the labelled part, and those
            that open a sequence of a dataset that labels every frame.
        roi: Image that is not 0 inside the region of interest; ``None``: the whole frame.
        problems: What was found wrong.
        mask_code: How its masks are written.
        background: The dataset's own image of the empty scene; ``None``: it has none.
        origin: Who rendered it; ``None``: it was filmed, as far as is known.
        departure: What shows that it is not the published dataset's own, in words; empty: nothing does.
        range: What of its frames becomes 0 and 255; ``None``: they have 8 bits.
    """

    dataset: str
    category: str
    name: str
    size: tuple[int, int]
    frames: Mapping[int, Path]
    masks: Mapping[int, Path]
    evaluated: tuple[int, int]
    references: tuple[int, ...]
    roi: Path | None = None
    problems: tuple[Problem, ...] = ()
    mask_code: MaskCode = MaskCode.CDNET
    background: Path | None = None
    origin: Origin | None = None
    departure: str = ""
    range: Range | None = None

    @property
    def key(self) -> str:
        """``category/name``, by which configurations and results call the scene."""
        return f"{self.category}/{self.name}"

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the scene from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def is_evaluated(self, number: int) -> bool:
        """Whether a frame belongs to the part that a submission must hold masks for."""
        return self.evaluated[0] <= number <= self.evaluated[1]

    def matches(self, patterns: Iterable[str]) -> bool:
        """Whether one of some categories, or patterns of ``category/video``, is the scene's; see :func:`select`."""
        return any(fnmatchcase(self.category, each) or fnmatchcase(self.key, each) for each in patterns)

    def __repr__(self) -> str:
        return f"Scene({self.dataset}:{self.key}, {len(self.frames)} frames, {len(self.masks)} labelled)"


def with_mask_code(scenes: Iterable[Scene], code: MaskCode | None) -> list[Scene]:
    """Say how the masks of scenes are written; ``None``: each scene keeps its own code."""
    return [scene if code is None else replace(scene, mask_code=code) for scene in scenes]


class UnknownSceneError(UserError):
    """A pattern that matches no scene.

    Attributes:
        option: Where the pattern comes from.
        pattern: The pattern.
        hint: What may have been meant, as a sentence.
    """

    def __init__(self, option: str, pattern: str, hint: str) -> None:
        super().__init__(option, pattern, hint)
        self.option, self.pattern, self.hint = option, pattern, hint

    def __str__(self) -> str:
        return f"{self.option}: {self.pattern!r} is no video and no category of this dataset. {self.hint}"


def raise_for_errors(scenes: Iterable[Scene]) -> None:
    """Check that scenes can be used.

    Raises:
        UserError: If one has an error; the message lists the first five.
    """
    errors = [problem for scene in scenes for problem in scene.errors]
    if errors:
        more = f"\n… and {len(errors) - 5} more" if len(errors) > 5 else ""
        raise UserError("\n".join(str(problem) for problem in errors[:5]) + more)


def select(keys: Sequence[str], patterns: Iterable[str], option: str, known: Iterable[str] = ()) -> list[str]:
    """Choose scenes by patterns.

    Args:
        keys: The ``category/name`` of every scene.
        patterns: Shell patterns such as ``baseline/*``; a bare category means all of its scenes, any other bare name
            the scenes of that name.
        option: Where the patterns come from, for the message.
        known: Categories that a pattern may name although no scene of them is here.

    Returns:
        The keys that match a pattern, in the order of ``keys``.

    Raises:
        UnknownSceneError: If a pattern matches nothing.

    Example:
        >>> select(["baseline/highway", "PTZ/zoomInZoomOut"], ["PTZ"], "exclude")
        ['PTZ/zoomInZoomOut']
        >>> select(["baseline/highway", "PTZ/zoomInZoomOut"], ["high*"], "exclude")
        ['baseline/highway']
    """
    parts = {key: key.split("/") for key in keys}
    chosen: set[str] = set()
    for pattern in patterns:
        matched = {key for key in keys if fnmatchcase(key, pattern) or fnmatchcase(parts[key][0], pattern)}
        if not matched and pattern not in known:
            matched = {key for key in keys if fnmatchcase(parts[key][-1], pattern)}
        if not matched and pattern not in known:
            names = [*keys, *dict.fromkeys(name for key in keys for name in parts[key])]
            raise UnknownSceneError(option, pattern, suggestion(pattern, names, listed=keys))
        chosen |= matched
    return [key for key in keys if key in chosen]


class Reader(ABC):
    """Reads the scenes of one dataset."""

    name: str
    root_variable: str
    """The environment variable that names the dataset's folder where the configuration does not."""
    homepage: str
    layout: str
    """How the files lie, in a line."""
    categories: tuple[str, ...]
    """The categories of the published dataset."""

    def locate(self, root: Path | None) -> Path:
        """Return the dataset's folder.

        Args:
            root: The folder; ``None`` takes it from the environment variable.

        Raises:
            UserError: If it is not given or is not a folder.
        """
        given = root or os.environ.get(self.root_variable) or None
        how = (
            f"Pass its folder by --data.init_args.root=FOLDER (--root for `prepare` and others) or by the environment "
            f"variable {self.root_variable}. It must look like {self.layout}\n"
            f"Get it from {self.homepage}\n"
            f"To start without it: `make demo`, or `{PROGRAM} synthesize --out FOLDER "
            f"--layout {self.name}`, which writes a synthetic twin in the same layout."
        )
        if given is None:
            raise UserError(f"The dataset {self.name} is needed, and no folder of it was named.\n{how}")
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder, so {self.name} cannot be read.\n{how}")
        return folder

    def departure(self, scene: Scene) -> str:
        """Say what shows that a scene is not the published dataset's own; empty: nothing does."""
        return ""

    def from_origin(self, root: Path, scenes: Iterable[Scene]) -> list[Scene]:
        """Add where scenes come from: the marker of a rendered dataset, or how they depart from the published one.

        Raises:
            UserError: If there is a marker that cannot be read.
        """
        if origin := origin_of(root):
            return [replace(scene, dataset=f"synthetic {scene.dataset}", origin=origin) for scene in scenes]
        return [replace(scene, departure=self.departure(scene)) for scene in scenes]

    @abstractmethod
    def scenes(self, root: Path, patterns: Sequence[str] | None = None) -> list[Scene]:
        """Read the scenes under a folder, in the order of their keys.

        Args:
            root: The dataset's folder.
            patterns: Which scenes (see :func:`select`); ``None``: all.

        Raises:
            UserError: If the folder does not hold the dataset, or a pattern matches nothing. A single
                scene lists what is wrong with it in its ``problems``.
        """
