"""Pictures of the page: frames that tests have kept, and what systems draw on their way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from bgsub_lightning.evaluation.gallery import Kept, Kind, joined, read_gallery
from bgsub_lightning.report.page.pictures import Picture, picture
from bgsub_lightning.report.series import Series

Row = tuple[str, list[tuple[str, Picture]]]
"""Title, and caption → picture of each."""

_PANELS = (("test_background.png", "background model"), ("test_inner.png", "on the way to the answer"))
_MOST_PANELS = 3  # runs of a system whose panels are shown


@dataclass(frozen=True)
class SystemGallery:
    """The pictures of one system.

    Attributes:
        rows: The frames that it has kept.
        panels: Backgrounds, flow, and what else it makes on its way.
    """

    rows: list[Row]
    panels: list[tuple[str, Picture]]


@dataclass(frozen=True)
class PageGallery:
    """The pictures of all systems.

    Attributes:
        messages: Which systems have kept no frames.
        beside: Frames that several systems have kept, because they have the most foreground.
        systems: The pictures of each system.
    """

    messages: list[str]
    beside: list[Row]
    systems: list[SystemGallery]


def gallery_of(series: Sequence[Series]) -> PageGallery:
    """Read the galleries of systems."""
    galleries = [joined([read_gallery(run.folder / "gallery") for run in each.runs]) for each in series]
    without = [each.name for each, gallery in zip(series, galleries, strict=True) if not gallery]
    message = f"No frames were kept of {', '.join(without)}: run `test` (or `evaluate`) again, which keeps some."
    systems = [
        SystemGallery(_rows(each, gallery), list(_panels(each)))
        for each, gallery in zip(series, galleries, strict=True)
    ]
    return PageGallery([message] if without else [], _beside(series, galleries), systems)


def _rows(series: Series, gallery: Sequence[Kept]) -> list[Row]:
    """The frames of a system, each once with all rules that it was kept by."""
    by_frame: dict[tuple[str, int], list[Kept]] = {}
    for kept in gallery:
        if kept.rule != "most foreground":
            by_frame.setdefault((kept.video, kept.number), []).append(kept)
    rows = []
    for first, *others in by_frame.values():
        rules = ", ".join(kept.rule for kept in (first, *others))
        where = f"{_name(series, first.video)}, frame {first.number}"
        title = f"{where}: {rules} of {first.category}, F {first.f_measure:.4f}"
        rows.append((title, [_picture(first, kind) for kind in get_args(Kind)]))
    return rows


def _beside(series: Sequence[Series], galleries: Sequence[Sequence[Kept]]) -> list[Row]:
    frames: dict[tuple[str, str, int], list[tuple[Series, Kept]]] = {}
    for each, gallery in zip(series, galleries, strict=True):
        for kept in gallery:
            if kept.rule == "most foreground":
                frames.setdefault((each.dataset, kept.video, kept.number), []).append((each, kept))
    rows = []
    for (_, video, number), systems in sorted(frames.items(), key=lambda item: item[0]):
        one, first = systems[0]
        pictures = [_picture(first, "frame"), _picture(first, "truth")]
        for each, kept in systems:
            shown = picture(kept.picture("confusion"), f"confusion of {each.name}")
            pictures.append((f"{each.name}: F {kept.f_measure:.4f}", shown))
        if len(systems) > 1:
            rows.append((f"{_name(one, video)}, frame {number}", pictures))
    return rows


def _picture(kept: Kept, kind: Kind) -> tuple[str, Picture]:
    return kind, picture(kept.picture(kind), kind)


def _name(series: Series, video: str) -> str:
    return f"synthetic {video}" if series.per_seed[0].origin else video


def _panels(series: Series) -> Iterable[tuple[str, Picture]]:
    shown = 0
    for run in series.runs:
        there = [
            (f"{series.name_of(run)}: {what}", path)
            for name, what in _PANELS
            if (path := run.folder / "pictures" / name).is_file()
        ]
        shown += bool(there)
        if shown <= _MOST_PANELS:
            yield from ((caption, picture(path, path.stem, 1300)) for caption, path in there)
