"""Scenes that are rendered when they are first asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bgsub_lightning.core.compat.processes import is_starting
from bgsub_lightning.core.console import console, progress_bar
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import folder_lock
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.cdnet2014 import CDnet2014
from bgsub_lightning.datasets.origin import mark, origin_of
from bgsub_lightning.datasets.scene import Scene, select
from bgsub_lightning.synthetic.render import Plan, render_all
from bgsub_lightning.synthetic.training import TRAINING_CATEGORIES, training_plan

_FRAME_BYTES = 0.5  # for each pixel: a JPEG file and a mask, over all categories


class Rendered(CDnet2014):
    """Long videos of our own renderer, with a mask for every frame: data that anybody can make, free of any terms.

    What is missing is rendered before the scenes are read; the same arguments give the same frames. Videos lie in
    CDnet2014's layout, in a folder for each size and length.

    Args:
        videos: Seed → videos of each category; each seed gives other scenes.
        categories: Categories to render; ``None``: all, those of CDnet2014 and some more.
        frames: Length of a video.
        size: Width and height of the frames in pixels.
        workers: Processes that render; ``None``: one for each processor.
        opening: How many frames at the beginning of a video can be references. Every frame is labelled, so that none
            comes before the labelled part; their masks are not looked at.

    Raises:
        UserError: If a category is unknown or a number makes no sense.
    """

    name = "Rendered"
    root_variable = "RENDERED_ROOT"
    homepage = "the renderer of bgsub_lightning: it is made on this machine"
    layout = "FOLDER/320x240x480/baseline/highway_0_s1/{input/in%06d.jpg, groundtruth/gt%06d.png, …}"
    categories = TRAINING_CATEGORIES

    def __init__(
        self,
        videos: Mapping[int, int] = MappingProxyType({1: 1}),
        categories: Sequence[str] | None = None,
        frames: int = 480,
        size: tuple[int, int] = (320, 240),
        workers: int | None = None,
        opening: int = 50,
    ) -> None:
        section = "data.init_args.reader.init_args."
        if not videos:
            raise UserError(f"{section}videos: must have at least 1 seed; got {dict(videos)}.")
        check_range(section, least=2, most=100_000, frames=frames)
        check_range(section, least=32, most=4096, size=size)
        check_range(section, least=1, most=256, workers=workers)
        check_range(section, least=0, most=100_000, opening=opening)
        check_range(f"{section}videos.", least=0, most=10_000, seed=list(videos), count=list(videos.values()))
        self.plans = [plan for seed, count in videos.items() for plan in training_plan(count, categories, seed)]
        self.frames = frames
        self.size = (size[0], size[1])
        self.workers = workers
        self.opening = opening

    def locate(self, root: Path | None) -> Path:
        """Return the folder of these videos; it is made where it is not there.

        Args:
            root: The folder of all sizes and lengths; ``None``: ``RENDERED_ROOT``, or ``store/rendered``.
        """
        folder = Path(root or os.environ.get(self.root_variable) or Path("store") / "rendered").expanduser()
        return folder / "{}x{}x{}".format(*self.size, self.frames)

    def from_origin(self, root: Path, scenes: Iterable[Scene]) -> list[Scene]:
        """Add who rendered them, and what can be references; the dataset's name says what they are."""
        origin = origin_of(root)
        return [replace(each, origin=origin, references=tuple(each.frames)[: self.opening]) for each in scenes]

    def scenes(self, root: Path, patterns: Sequence[str] | None = None) -> list[Scene]:
        """Render what is missing, and read the scenes.

        Raises:
            UserError: If a pattern matches nothing, the disk has not enough room, or the folder cannot be written.
        """
        keys = sorted(plan.key for plan in self.plans)
        chosen = keys if patterns is None else select(keys, patterns, "data.init_args.scene", self.categories)
        self._render(root, {*chosen})
        return super().scenes(root, chosen)

    def _render(self, root: Path, chosen: set[str]) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            # other processes wait, and find what this one has rendered
            with folder_lock(root, wait=not is_starting()) as lock:
                if lock is None:
                    raise UserError(
                        f"{root}: its renderer starts the program again, to work on the same videos. Put what the "
                        f"program does under `if __name__ == '__main__':`, or set "
                        f"data.init_args.reader.init_args.workers to 1."
                    )
                mark(root, CDnet2014.name, {plan.seed for plan in self.plans}, many=True, trusted=True)
                missing = [plan for plan in self.plans if plan.key in chosen and not (root / plan.key).exists()]
                if missing:
                    self._render_missing(root, missing)
        except OSError as error:
            raise UserError(
                f"{root}: cannot be written ({error.strerror or error}). Name another folder by --data.init_args.root."
            ) from error

    def _render_missing(self, root: Path, missing: Sequence[Plan]) -> None:
        needed = len(missing) * self.frames * self.size[0] * self.size[1] * _FRAME_BYTES
        free = shutil.disk_usage(root).free
        if needed > free:
            raise UserError(
                f"{root}: {needed / 2**30:.1f} GiB needed for {len(missing)} rendered videos; got "
                f"{free / 2**30:.1f} GiB free. Name another folder by --data.init_args.root, or ask for fewer."
            )
        console.print(
            f"Rendering {len(missing)} videos of {self.frames} frames in {root}: about {needed / 2**30:.1f} GiB.",
            soft_wrap=True,
        )
        workers = min(self.workers or os.cpu_count() or 1, len(missing))
        before = self.frames // 2
        with progress_bar() as progress:
            task = progress.add_task("Rendering", total=len(missing))
            for folder in render_all(root, missing, self.size, before, self.frames - before, workers):
                progress.update(task, advance=1, description=str(folder.relative_to(root)))
