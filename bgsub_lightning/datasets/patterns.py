"""Datasets whose sequences are found by patterns of their files' paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import cv2

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.checks import Draft, is_whole
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.scene import Reader, Scene, select
from bgsub_lightning.datasets.verdicts import THREADS

OPTION = "data.init_args.reader.init_args"

_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".ppm", ".pgm")
_DEEPEST = 6  # folders that `**/` looks into
_WILD = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
_PLACES = {"sequence": "[^/]+", "number": r"(?<!\d)\d{1,9}(?!\d)"}


def path_pattern(pattern: str, option: str, places: Sequence[str] = ("sequence", "number")) -> re.Pattern[str]:
    """Make a regular expression, blind to case, of a pattern of paths.

    Args:
        pattern: A path below the dataset's folder with ``/`` between its parts, in which ``{sequence}`` stands for the
            name of the sequence, ``{number}`` for the frame's number, all of its digits; ``*`` for anything but a
            ``/``, ``?`` for one such character, and ``**/`` for any folders, or none.
        option: Where it comes from, for the message.
        places: What must be in it.

    Raises:
        UserError: If something that must be in it is not, or it has other braces.

    Example:
        >>> path_pattern("{sequence}/in*{number}.*", "frames").fullmatch("Road/in2_0007.png").groupdict()
        {'sequence': 'Road', 'number': '0007'}
    """
    seen: set[str] = set()
    expression = ""
    for piece in re.split(r"(\*\*/|\*|\?|\{\w*\})", pattern):
        name = piece.strip("{}")
        if piece.startswith("{") and name in _PLACES:
            expression += f"(?P={name})" if name in seen else f"(?P<{name}>{_PLACES[name]})"
            seen.add(name)
        else:
            expression += _WILD.get(piece) or re.escape(piece)
    if seen != set(places) or re.search(r"[{}]", re.sub(r"\{(sequence|number)\}", "", pattern)):
        must = " and ".join(f"{{{place}}}" for place in places)
        raise UserError(
            f"{option}: {pattern!r} must hold {must}, and no other braces, such as {{sequence}}/{{number}}.png."
        )
    return re.compile(expression, re.IGNORECASE)


@dataclass
class _Sequence:
    """The files of one sequence."""

    folder: Path
    frames: dict[int, Path] = field(default_factory=dict)
    masks: dict[int, Path] = field(default_factory=dict)
    background: Path | None = None
    twice: list[tuple[Path, Path]] = field(default_factory=list)

    def add(self, files: dict[int, Path], number: int, path: Path) -> None:
        """Take a file, and note two of one number."""
        if (other := files.setdefault(number, path)) is not path:
            self.twice.append((other, path))


class SequenceReader(Reader):
    """Reads a dataset whose sequences are folders of numbered images, with a mask for some or all of them.

    Frame numbers are those of the file names.

    Args:
        frames: Pattern of the frames' paths (see :func:`path_pattern`).
        masks: Pattern of the masks' paths; what it matches is no frame.
        background: Pattern of the paths of the sequences' backgrounds, without ``{number}``; ``None``: there are none.
        opening: How many frames at the beginning of a sequence can be references, whether or not they are labelled;
            so can every frame before the first label, and every frame of a sequence without labels.

    Raises:
        UserError: If a pattern makes no sense, or ``opening`` is negative.
    """

    mask_code: ClassVar[MaskCode] = MaskCode.BINARY
    sequences: ClassVar[tuple[str, ...]]
    """The sequences of the published dataset."""
    has_regions: ClassVar[bool] = False
    """Whether a sequence's folder may hold ROI.bmp and temporalROI.txt, as those of CDnet2014 do."""

    def __init__(self, frames: str, masks: str, background: str | None = None, opening: int = 0) -> None:
        self.frames = frames
        self.masks = masks
        self.background = background
        self.opening = opening
        self._frames = path_pattern(frames, f"{OPTION}.frames")
        self._masks = path_pattern(masks, f"{OPTION}.masks")
        self._background = path_pattern(background, f"{OPTION}.background", ["sequence"]) if background else None
        parts = frames.split("/")
        until = next(i for i, part in enumerate(parts) if "{sequence}" in part)
        self._folder = path_pattern("/".join(parts[: until + 1]).replace("{number}", "*"), OPTION, ["sequence"])
        if opening < 0:
            raise UserError(f"{OPTION}.opening: must not be negative; got {opening}.")

    def category(self, sequence: str) -> str:
        """Return the category of a sequence: the dataset's name, where it has no categories."""
        return self.name

    def departure(self, scene: Scene) -> str:  # noqa: D102
        is_own = scene.name in self.sequences or not self.sequences
        return "" if is_own else f"{self.name} has no sequence of this name"

    def scenes(self, root: Path, patterns: Sequence[str] | None = None) -> list[Scene]:  # noqa: D102
        paths = list(self._paths(root))
        found = self._found(root, paths)
        if not found:
            raise UserError(
                f"{root}: holds no sequence of {self.name} (no image whose path is like {self.frames}). "
                f"{self._hint(root, paths)}"
            )
        names = {f"{self.category(name)}/{name}": name for name in sorted(found)}
        keys = sorted(names)
        if patterns is not None:
            keys = select(keys, patterns, "data.init_args.scene")
        with ThreadPoolExecutor(THREADS) as pool:
            return self.from_origin(root, (self._scene(names[key], found[names[key]], pool) for key in keys))

    def _paths(self, root: Path) -> Iterator[str]:
        """Yield the folders, with a ``/`` at the end, and the images below a folder as deep as the patterns look."""
        given = [pattern for pattern in (self.frames, self.masks, self.background) if pattern]
        deepest = max(_DEEPEST if "**/" in pattern else pattern.count("/") for pattern in given)
        for folder, inner, names in os.walk(root, followlinks=True):
            at = Path(folder).relative_to(root).as_posix()
            at = "" if at == "." else f"{at}/"
            # two folders deeper than need be, for a hint to those who name a folder above the dataset
            inner[:] = sorted(name for name in inner if name[0] != ".") if at.count("/") <= deepest + 1 else []
            yield from (f"{at}{name}/" for name in inner)
            yield from (f"{at}{name}" for name in sorted(names) if name.lower().endswith(_SUFFIXES))

    def _found(self, root: Path, paths: Sequence[str]) -> dict[str, _Sequence]:
        """Sort files by sequence: those that have frames, and those of the published dataset that have but a folder."""
        found: dict[str, _Sequence] = {}
        masks, others = [], []
        for path in paths:
            if match := self._masks.fullmatch(path):
                masks.append((match, path))
            elif match := self._frames.fullmatch(path):
                sequence = found.setdefault(match["sequence"], _Sequence((root / path).parent))
                sequence.add(sequence.frames, int(match["number"]), root / path)
            else:
                others.append(path)
        for path in others:
            if self._background and (match := self._background.fullmatch(path)) and match["sequence"] in found:
                found[match["sequence"]].background = root / path
            elif (
                path.endswith("/")
                and (match := self._folder.fullmatch(path[:-1]))
                and (name := match["sequence"]) in self.sequences
            ):
                found.setdefault(name, _Sequence(root / path))
        for match, path in masks:
            if (name := match["sequence"]) in found:
                found[name].add(found[name].masks, int(match["number"]), root / path)
        return found

    def _hint(self, root: Path, paths: Sequence[str]) -> str:
        above = root.absolute()
        for path in paths:
            outer = path
            for folder in (above, *above.parents[:1]):  # root is a sequence's folder, or that of its frames
                outer = f"{folder.name}/{outer}"
                if self._frames.fullmatch(outer):
                    return f"Did you mean {folder.parent}?"
            inner, rest = root, path
            while "/" in rest:
                first, _, rest = rest.partition("/")
                inner /= first
                if self._frames.fullmatch(rest):
                    return f"Did you mean {inner}?"
        return f"It must look like {self.layout}."

    def _scene(self, name: str, files: _Sequence, pool: ThreadPoolExecutor) -> Scene:
        draft = Draft(files.folder, self.frames)
        for one, other in files.twice[:1]:
            what = f"has the number of another file of {name}, {other}"
            draft.note("error", one, what, f"Remove one, or exclude one by a narrower pattern ({OPTION}).")
        numbers = sorted(files.frames)
        frames = draft.sound_frames({n: files.frames[n] for n in numbers}, numbers[0] if numbers else 0, pool)
        size = draft.frame_size(frames)
        masks = draft.sound_masks(dict(sorted(files.masks.items())), frames, size, pool)
        evaluated = min(frames, default=0), max(frames, default=-1)
        roi = None
        if frames and self.has_regions:
            roi = draft.roi(size) if (draft.folder / "ROI.bmp").is_file() else None
            if (draft.folder / "temporalROI.txt").is_file():
                first, last = draft.temporal_roi(start=0)
                evaluated = max(first, evaluated[0]), min(last, evaluated[1])  # some say one more than there is
                masks = {number: path for number, path in masks.items() if first <= number <= last}
        if frames and not masks:
            fix = f"It can be predicted, not scored. Its masks must be named {self.masks}."
            draft.note("warning", files.folder, "no mask", fix)
        background = files.background
        if background:
            image = read_pixels(background, cv2.IMREAD_GRAYSCALE) if is_whole(background) else None
            if image is None:
                what = "is truncated, or cannot be decoded as an image"
                draft.note("warning", background, what, "The sequence is used without its background.")
                background = None
            else:
                draft.require_size(background, image.shape, size, "or delete the background")
        numbers = list(frames)
        until = max(self.opening, numbers.index(min(masks))) if masks else len(numbers)
        return Scene(
            dataset=self.name,
            category=self.category(name),
            name=name,
            size=size,
            frames=frames,
            masks=masks,
            evaluated=evaluated,
            roi=roi,
            references=tuple(numbers[:until]),
            problems=tuple(draft.problems),
            range=draft.range,
            mask_code=self.mask_code,
            background=background,
        )
