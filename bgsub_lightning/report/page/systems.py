"""The page of each system."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.report.datasets import dataset_title
from bgsub_lightning.report.figures import colour
from bgsub_lightning.report.page.gallery import SystemGallery
from bgsub_lightning.report.page.rendering import Pages
from bgsub_lightning.report.paper_tables import file_name, system_tables, videos_of_system
from bgsub_lightning.report.published import published
from bgsub_lightning.report.series import Series

FOLDER = "systems"
_LONGEST = 100  # characters of a file's name
_SECTIONS = {"metrics": "Metrics", "videos": "Videos", "gallery": "Gallery", "provenance": "Provenance"}


@dataclass(frozen=True)
class PageSystem:
    """A system as pages show it.

    Attributes:
        series: Its tests.
        hue: Its colour.
        address: Its page, from the overview.
    """

    series: Series
    hue: str
    address: str

    @property
    def name(self) -> str:
        """What pages call it."""
        return self.series.name


def page_systems(series: Sequence[Series]) -> list[PageSystem]:
    """Give systems their colours and the addresses of their pages."""
    found: list[PageSystem] = []
    taken: set[str] = set()
    for place, each in enumerate(series):
        name = file_name(each.name).lstrip(".").lower()[:_LONGEST] or "system"
        name = f"{name}_{place + 1}" if name in taken else name
        taken.add(name)
        found.append(PageSystem(each, colour(place), f"{FOLDER}/{name}.html"))
    return found


def write_system_page(
    folder: Path, pages: Pages, system: PageSystem, gallery: SystemGallery, overview: str, colours: Mapping[str, str]
) -> None:
    """Write the page of a system, which needs no other file.

    Args:
        folder: The folder of the overview.
        pages: The templates.
        system: The system.
        gallery: Its pictures.
        overview: File name of the overview.
        colours: What the colours of its pictures of confusion mean.
    """
    series = system.series
    content = {
        "title": series.name,
        "lead": f"{series.system} on {dataset_title(series.per_seed)}",
        "sections": _SECTIONS,
        "overview": overview,
        "system": system,
        "tables": system_tables(series, [table for table in published() if table.dataset == series.dataset]),
        "videos": ranked_videos([series]),
        "video_table": videos_of_system(series),
        "gallery": gallery,
        "confusion_colours": colours,
    }
    with atomic_write(folder / system.address, within=folder) as file:
        file.write(pages.render("system.html", content))


def ranked_videos(series: Sequence[Series]) -> list[tuple[str, list[tuple[int, float]]]]:
    """Name of each video, the worst first, and the F-measure of each system at its place."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for place, each in enumerate(series):
        for key, metrics in each.by_video().items():
            found.setdefault((each.dataset, key), []).append((place, metrics["f_measure"].mean))
    has_several_datasets = len({dataset for dataset, _ in found}) > 1
    ranked = sorted(found.items(), key=lambda item: (statistics.fmean(value for _, value in item[1]), item[0]))
    return [(f"{dataset}: {key}" if has_several_datasets else key, bars) for (dataset, key), bars in ranked]
