"""One page that shows what happened: a heat map, counts over time, a timeline, a picture of each object."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.text import one_line
from bgsub_lightning.inference.annotation import colour
from bgsub_lightning.inference.events import Activity, Event
from bgsub_lightning.inference.result import Result
from bgsub_lightning.inference.tracking import Track
from bgsub_lightning.inference.watching import Seen

_OBJECTS = 200
"""Objects of which the page has a picture: those that were seen longest."""
_EVENTS = 1000
"""Events that the page lists."""
_HIGH = 96
"""Pixels of height of an object's picture."""
_BINS = 120
"""Parts into which the time is divided."""
_WORDS = {
    "enter": "enters",
    "leave": "leaves",
    "cross": "crosses",
    "abandoned": "stands still",
    "removed": "was removed",
    "moved_on": "moves on",
    "camera_moved": "camera moved",
    "light_changed": "light changed",
    "infrared": "colours gone (infrared)",
    "colour": "colours back",
    "frozen": "picture frozen",
    "dark": "picture dark",
    "resumed": "picture back",
}


@dataclass
class _Seen:
    """An object as the page shows it."""

    since: float
    until: float
    way: float = 0.0
    anchor: tuple[float, float] | None = None
    area: int = 0
    picture: NDArray[np.uint8] | None = None


class ActivityPage:
    """Collects what happens in a video, in memory that does not grow with its length, and writes one HTML file.

    Args:
        name: Of the source, as the page calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.activity = Activity()
        self.frames = 0
        self._heated = 0  # frames of the heat map's size
        self._share = 0.0
        self.duration = 0.0
        self.objects = 0
        self.events: list[Event | Seen] = []
        self.left_out = 0
        self._heat: NDArray[np.float32] | None = None
        self._view: NDArray[np.float32] | None = None
        self._seen: dict[int, _Seen] = {}
        self._width = 1.0  # s of a bin
        self._bins: defaultdict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])  # sum of objects, frames

    def add(self, result: Result) -> None:
        """Take the next frame, and what is known of it."""
        mask, image = result.mask, result.frame
        self.activity = result.activity or self.activity
        self.frames += 1
        self.duration = result.time
        if self._heat is None or self._view is None or self._heat.shape != mask.shape:
            self._heat = np.zeros(mask.shape, np.float32)
            self._view = image.astype(np.float32)
            self._heated = 0
        self._heated += 1
        self._share += float(np.count_nonzero(mask)) / mask.size
        cv2.accumulate((mask > 0).astype(np.uint8), self._heat)
        cv2.accumulateWeighted(image, self._view, max(1 / self._heated, 0.005))
        self._count(result.time, len(result.tracks))
        for track in result.tracks:
            self._note(track, image, {each.id for each in result.tracks})
        room = max(0, _EVENTS - len(self.events))
        self.events += result.events[:room]
        self.left_out += len(result.events[room:])

    def write(self, path: Path) -> None:
        """Write the page; nothing if there was no frame."""
        if self._heat is None or self._view is None:
            return
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
        template = environment.from_string((files(__package__) / "activity.html").read_text("utf-8"))
        style = (files("bgsub_lightning.report.page") / "report.css").read_text("utf-8")
        objects = sorted(self._seen.items())
        counts = [
            (name or "picture", "line" if name in self.activity.lines else "zone" if name else "", each)
            for name, each in self.activity.counts.items()
        ]
        page = template.render(
            style=style,
            name=one_line(self.name),
            frames=self.frames,
            duration=clock(self.duration),
            objects=self.objects,
            share=self._share / self.frames,
            heat=_address(heat_map(self._heat / self._heated, self._view.round().astype(np.uint8)), ".jpg"),
            occupancy=self._occupancy(),
            timeline=self._timeline(objects),
            counts=counts,
            shown=[
                (k, clock(seen.since), seen.until - seen.since, seen.way, _address(seen.picture, ".jpg"))
                for k, seen in objects
                if seen.picture is not None
            ],
            events=[(clock(event.time), *_event_text(event)) for event in self.events],
            left_out=self.left_out,
        )
        with atomic_write(path) as file:
            file.write(page)

    def _count(self, time: float, objects: int) -> None:
        while time / self._width >= _BINS:  # twice as long, half as many
            merged: defaultdict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
            for place, (total, frames) in self._bins.items():
                merged[place // 2][0] += total
                merged[place // 2][1] += frames
            self._bins, self._width = merged, 2 * self._width
        each = self._bins[int(time / self._width)]
        each[0] += objects
        each[1] += 1

    def _note(self, track: Track, image: NDArray[np.uint8], present: set[int]) -> None:
        if track.id > self.objects:  # ids ascend
            self.objects = track.id
            self._seen[track.id] = _Seen(track.since, track.time)
            gone = self._seen.keys() - present
            if len(self._seen) > _OBJECTS and gone:
                del self._seen[min(gone, key=lambda k: self._seen[k].until - self._seen[k].since)]
        if (seen := self._seen.get(track.id)) is None or not track.is_seen:
            return
        seen.until = track.time
        if seen.anchor is not None:
            seen.way += float(np.hypot(track.anchor[0] - seen.anchor[0], track.anchor[1] - seen.anchor[1]))
        seen.anchor = track.anchor
        if track.box.area > 1.2 * seen.area:
            seen.area, seen.picture = track.box.area, _cut(image, track)

    def _occupancy(self) -> str:
        from matplotlib.figure import Figure  # here, because it takes half a second

        figure = Figure(figsize=(9, 2.4), layout="constrained")
        axes = figure.subplots()
        places = sorted(self._bins)
        means = [self._bins[place][0] / self._bins[place][1] for place in places]
        axes.bar([(place + 0.5) * self._width for place in places], means, self._width, color="#0072b2")
        axes.set(xlabel="time in s", ylabel="objects", xlim=(0, max(self.duration, self._width)))
        return _svg(figure)

    def _timeline(self, objects: Sequence[tuple[int, _Seen]]) -> str:
        from matplotlib.figure import Figure

        if not objects:
            return ""
        figure = Figure(figsize=(9, min(12, 0.8 + 0.14 * len(objects))), layout="constrained")
        axes = figure.subplots()
        for row, (k, seen) in enumerate(objects):
            tone = tuple(level / 255 for level in colour(k))
            axes.barh(
                row, max(seen.until - seen.since, self.duration / 500), left=seen.since, color=tone, edgecolor="none"
            )
        step = max(1, len(objects) // 40)
        axes.set_yticks(range(0, len(objects), step), [str(k) for k, _ in objects[::step]], fontsize=7)
        axes.set(xlabel="time in s", ylabel="object", xlim=(0, max(self.duration, self._width)))
        axes.invert_yaxis()
        return _svg(figure)


def heat_map(share: NDArray[np.floating], view: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show where foreground was, on the picture: from blue, seldom, to red, most; transparent where there was none.

    Args:
        share: Of the frames in which a pixel was foreground, shape ``(h, w)``.
        view: RGB, shape ``(h, w, 3)``, uint8.
    """
    most = max(float(np.quantile(share, 0.999)), 1e-6)
    level = np.sqrt(np.clip(share / most, 0, 1))
    tones = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
    weight = np.clip(4 * level, 0, 0.75)[..., None]
    mixed: NDArray[np.uint8] = (weight * tones + (1 - weight) * grey).round().astype(np.uint8)
    return mixed


def clock(seconds: float) -> str:
    """Write a time as on a player.

    Example:
        >>> clock(75.25), clock(3675)
        ('1:15.2', '1:01:15.0')
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _event_text(event: Event | Seen) -> tuple[str, str]:
    what = _WORDS[event.event]
    if isinstance(event, Seen):
        return "", what
    place = f" {event.place}" if event.place else " the picture" if event.event in {"enter", "leave"} else ""
    return str(event.id), f"{what}{place}{f' ({event.direction})' if event.direction else ''}"


def _cut(image: NDArray[np.uint8], track: Track) -> NDArray[np.uint8]:
    box, (height, width) = track.box, image.shape[:2]
    margin = max(box.width, box.height) // 8
    top, left = max(0, box.y - margin), max(0, box.x - margin)
    cut = image[top : min(height, box.y + box.height + margin), left : min(width, box.x + box.width + margin)]
    size = max(1, round(_HIGH * cut.shape[1] / cut.shape[0])), _HIGH
    small: NDArray[np.uint8] = cv2.resize(cut, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small


def _address(image: NDArray[np.uint8] | None, ending: str) -> str:
    if image is None:
        return ""
    content = cv2.imencode(ending, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _svg(figure: object) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})  # type: ignore[attr-defined]
    return f"data:image/svg+xml;base64,{base64.b64encode(written.getvalue().encode()).decode()}"
