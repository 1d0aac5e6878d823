"""When a background no longer holds, and begins again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.inference.reduced import Reduced
from bgsub_lightning.inference.sources import Frame
from bgsub_lightning.inference.stream import StreamSubtractor
from bgsub_lightning.inference.watching import PictureWatch, Seen

FLOODED = 0.7
"""Share of foreground beyond which a mask shows a change of light or of the camera's view rather than what moves; the
same as that beyond which AnyScene's background restarts."""

_PATIENCE = 2.0
"""Seconds of such masks after which the background restarts."""


class Restarts:
    """Restarts a background: at a change of the view or of the colours, and where masks stay flooded for 2 s.

    Args:
        subtractor: What subtracts.
        watch: What looks at the pictures; ``None``: nothing does.
        is_on: Whether the background restarts; ``False``: masks stay as the system gives them.

    Attributes:
        watch: What looks at the pictures.
        count: How often it has restarted.
        flooded: Number of frames of which more than :data:`FLOODED` is foreground, as after the light was switched.
        flooded_at: Time of the first of them in s since the source's beginning.
    """

    def __init__(self, subtractor: StreamSubtractor | Reduced, watch: PictureWatch | None, is_on: bool) -> None:
        self.count = self.flooded = 0
        self.flooded_at = 0.0
        self.watch = watch
        self._subtractor = subtractor
        self._is_on = is_on
        self._since: float | None = None

    def parts(self, frames: Sequence[Frame]) -> Iterator[tuple[Sequence[Frame], Sequence[Sequence[Seen]]]]:
        """Look at frames before they are subtracted, and go through parts of them, between which it restarts.

        Returns:
            Frames, and the changes that are seen in each.
        """
        seen = [self.watch.update(each.image, each.number, each.time) if self.watch else [] for each in frames]
        cuts = [place for place, changes in enumerate(seen) if place and _are_due(changes)]
        for start, end in pairwise([0, *cuts, len(frames)]):
            if _are_due(seen[start]):
                self._restart()
            yield frames[start:end], seen[start:end]

    def look(self, frames: Sequence[Frame], masks: Iterable[NDArray[np.uint8]]) -> None:
        """Look at masks, shape ``(h, w)``, as the system gave them."""
        for frame, mask in zip(frames, masks, strict=True):
            if np.count_nonzero(mask) <= FLOODED * mask.size:
                self._since = None
                continue
            self.flooded_at = self.flooded_at if self.flooded else frame.time
            self.flooded += 1
            self._since = frame.time if self._since is None else self._since
        if self._since is not None and frames[-1].time - self._since >= _PATIENCE:
            self._restart()

    def _restart(self) -> None:
        self._since = None
        if self._is_on:
            self._subtractor.reset()
            self.count += 1


def _are_due(changes: Sequence[Seen]) -> bool:
    return any(change.is_of_view for change in changes)
