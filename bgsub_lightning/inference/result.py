"""The result of a frame: its mask, and the objects in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference.blobs import Box, blob_of
from bgsub_lightning.inference.cleaning import Cleaner, without_shadows
from bgsub_lightning.inference.events import Activity, Event, is_hole
from bgsub_lightning.inference.reduced import Reduced
from bgsub_lightning.inference.regions import Points, lines, polygons, region
from bgsub_lightning.inference.restarting import FLOODED, Restarts
from bgsub_lightning.inference.sources import Frame
from bgsub_lightning.inference.stream import StreamSubtractor
from bgsub_lightning.inference.tracking import Track, Tracker
from bgsub_lightning.inference.watching import PictureWatch, Seen

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True)
class Result:
    """A frame, and what is known of it.

    Attributes:
        number: Number of the frame, from 1, or the one in an image's name.
        time: Its time in s since the source's beginning.
        frame: RGB, shape ``(h, w, 3)``, uint8.
        mask: Shape ``(h, w)``, uint8; foreground is 255, background 0.
        probability: Of foreground, shape ``(h, w)``, float32; ``None`` unless it was asked for.
        boxes: Of the blobs of the mask, the largest first.
        tracks: Objects in the picture, those that are hidden for a moment too.
        events: What happened in this frame.
        activity: The lines and zones, with their counts so far; one object for all results of a stream.
    """

    number: int
    time: float
    frame: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    probability: NDArray[np.float32] | None = None
    boxes: Sequence[Box] = ()
    tracks: Sequence[Track] = ()
    events: Sequence[Event | Seen] = ()
    activity: Activity | None = None

    def to_supervision(self) -> supervision.Detections:
        """Return the objects that are seen as detections of the package supervision, with their ids.

        Raises:
            UserError: If that is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError("supervision: is not installed. Run: pip install supervision") from error
        seen = [track for track in self.tracks if track.is_seen]
        corners = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in (track.box for track in seen)]
        return supervision.Detections(
            xyxy=np.array(corners, np.float32).reshape(-1, 4),
            tracker_id=np.array([track.id for track in seen], int),
            class_id=np.zeros(len(seen), int),
        )


@dataclass(frozen=True)
class Wanted:
    """The results that are computed from masks.

    Attributes:
        clean: Whether masks are cleaned; see :class:`Cleaner`.
        least_area: Pixels of the smallest blob that has a box, and that stays in a clean mask.
        roi: Where foreground counts, as :func:`region` takes it; ``None``: everywhere.
        ignore: Where it does not.
        count_line: Lines that are counted, as :func:`lines` takes them.
        zone: Zones whose objects are counted, as :func:`polygons` takes them.
        still: Seconds after which an object that stands still is reported; ``None``: never.
        tracks: Whether objects are followed; lines, zones and ``still`` need it.
        watch: Whether changes of the whole picture are reported; where masks are cleaned, the background restarts when
            the camera was moved or has turned to infrared.

    Raises:
        UserError: If lines, zones or ``still`` are wanted without tracks.
    """

    clean: bool = True
    least_area: int = 50
    roi: str | None = None
    ignore: str | None = None
    count_line: str | None = None
    zone: str | None = None
    still: float | None = None
    tracks: bool = True
    watch: bool = True

    def __post_init__(self) -> None:
        for name in ("count_line", "zone", "still"):
            if getattr(self, name) is not None and not self.tracks:
                raise UserError(f"{name}: needs objects. Leave tracks=False out.")

    def restarts(self, subtractor: StreamSubtractor | Reduced) -> Restarts:
        """Return what restarts the background of a stream, where masks are cleaned."""
        return Restarts(subtractor, PictureWatch() if self.watch else None, self.clean)


RAW = Wanted(clean=False, tracks=False, watch=False)
"""Masks as the system gives them, and their boxes."""


class Analysis:
    """Makes results of masks: cleans them, finds and follows objects, notices events. One for each stream of frames.

    Regions, lines and zones are given in pixels of the first frame. Where frames change their size they are scaled,
    all objects leave; ids and counts continue.

    Args:
        wanted: What is made.
        has_shadows: Whether the masks hold shadows, as those of systems that compare colours do; they are removed where
            masks are cleaned, see :func:`without_shadows`.

    Attributes:
        activity: The lines and zones, with their counts.

    Raises:
        UserError: If an option is none.
    """

    def __init__(self, wanted: Wanted, has_shadows: bool = False) -> None:
        self.wanted = wanted
        self._has_shadows = has_shadows and wanted.clean
        self.size: tuple[int, int] | None = None
        self._tracker = Tracker() if wanted.tracks else None
        self.activity = Activity(still=wanted.still)
        self._places: tuple[dict[str, Points], dict[str, Points]] = ({}, {})
        self._first = (1, 1)

    def __call__(
        self,
        frame: Frame,
        mask: NDArray[np.uint8],
        probability: NDArray[np.float32] | None = None,
        seen: Sequence[Seen] = (),
    ) -> Result:
        """Make the result of the next frame.

        Args:
            frame: The frame.
            mask: Its mask, shape ``(h, w)``, uint8, 0 and 255.
            probability: That of foreground, shape ``(h, w)``; handed on.
            seen: Changes of the whole picture in this frame.

        Raises:
            UserError: If this is the first frame, and a region, a line or a zone does not fit it.
        """
        size = (mask.shape[0], mask.shape[1])
        events: list[Event | Seen] = []
        if size != self.size:
            events += self._begin(size, frame)
        elif any(change.is_of_view for change in seen):
            events += self._forget(frame)
        if self._has_shadows and self._scenery.picture is not None:
            mask = without_shadows(mask, frame.image, self._scenery.picture)
        mask, found = self._cleaner(mask)
        events += seen
        tracks: list[Track] = []
        if self._tracker:
            is_flood = np.count_nonzero(mask) > FLOODED * mask.size  # a change of light, which is no object
            tracks = self._tracker.update([] if is_flood else found, frame.time, size)
            events += self.activity.update(frame.number, frame.time, tracks, partial(self._is_hole, frame, mask))
        if self.wanted.still is not None or self._has_shadows:
            self._scenery.take(frame, mask)
        return Result(frame.number, frame.time, frame.image, mask, probability, found, tracks, events, self.activity)

    def _begin(self, size: tuple[int, int], frame: Frame) -> list[Event]:
        """Fit everything to a size; return the events of what has left."""
        wanted = self.wanted
        events: list[Event] = []
        if self.size is None:
            self._first = size
            self._inside = None if wanted.roi is None else region(wanted.roi, "--roi", size)
            if wanted.ignore is not None:
                outside = region(wanted.ignore, "--ignore", size)
                self._inside = ~outside if self._inside is None else self._inside & ~outside
            if self._inside is not None and not self._inside.any():
                raise UserError("--roi: nothing of the picture is left. Draw a larger region, or ignore less.")
            self._places = (
                {} if wanted.count_line is None else lines(wanted.count_line, "--count_line", size),
                {} if wanted.zone is None else polygons(wanted.zone, "--zone", size),
            )
        else:
            events = self._forget(frame)
        scale = np.array(size[::-1]) / self._first[::-1]
        moved = [{name: points * scale for name, points in named.items()} for named in self._places]
        self.activity.place(moved[0], moved[1], size)
        inside = self._inside
        if inside is not None and size != self._first:
            inside = cv2.resize(inside.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
        self._cleaner = Cleaner(wanted.least_area, inside, wanted.clean)
        self._scenery = Scenery()
        self.size = size
        return events

    def _forget(self, frame: Frame) -> list[Event]:
        """Begin again with another view: all objects leave; ids and counts continue."""
        self._scenery = Scenery()
        if self._tracker:
            self._tracker.forget()
        return self.activity.update(frame.number, frame.time, [])

    def _is_hole(self, frame: Frame, mask: NDArray[np.uint8], box: Box) -> bool:
        known = self._scenery.picture
        return known is not None and is_hole(frame.image, known, blob_of(mask, box))


class Scenery:
    """A picture of the scene without its foreground: what was seen at each pixel when it last was background."""

    def __init__(self) -> None:
        self.picture: NDArray[np.uint8] | None = None
        self._at = -math.inf

    def take(self, frame: Frame, mask: NDArray[np.uint8]) -> None:
        """Take a frame, twice a second at most."""
        if self.picture is None:
            self.picture = frame.image.copy()
        elif frame.time - self._at >= 0.5:
            near = cv2.dilate(mask, np.ones((9, 9), np.uint8))  # borders of objects are mixed with them
            cv2.copyTo(frame.image, cv2.bitwise_not(near), self.picture)
            self._at = frame.time
