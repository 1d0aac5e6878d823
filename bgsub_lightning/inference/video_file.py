"""Videos and streams, by FFmpeg."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.format import Flags
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import without_passwords
from bgsub_lightning.datasets.scene import Range
from bgsub_lightning.inference.source import Frame, NotUpError, Source

_STEP = 1.0
"""Seconds by which the times of a live stream may go back from one frame to the next; more is a clock that was set."""

_LEAP = 10.0
"""Seconds by which they may go ahead, beyond those that have passed."""

_REFUSALS = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.ProtocolNotFoundError)
"""Errors of an address that time does not mend."""

_ENDLESS = 1 << 30
"""Number of frames in the header of an .avi that was written to a pipe, where FFmpeg could not return to fill it in."""

_OPTIONS = {"rtsp_flags": "prefer_tcp"}
"""For FFmpeg, whose RTSP would lose packets over UDP without a word."""


class VideoFile(Source):
    """A video file, or a stream that FFmpeg opens by its address.

    Frames come as a player shows them: turned as the file says, at their own times. An address whose length is known is
    a file of another machine; any other is live.

    Args:
        address: Path or URL.
        reconnect: Seconds for which a live stream that broke off, or ended, is opened again and again.
        timeout: Seconds that one may stall before it counts as broken off.
        levels: Grey levels that become 0 and 255, of a video of 16 bits; ``None``: by its first frames.

    Raises:
        NotUpError: If it is a stream that cannot be opened now.
        UserError: If it cannot be opened, or holds no video.
    """

    def __init__(
        self, address: str, reconnect: float = 10.0, timeout: float = 10.0, levels: Range | None = None
    ) -> None:
        super().__init__(levels)
        self.name = without_secrets(address)
        self._address = address
        self._reformatter = VideoReformatter()  # one for all frames, since each sets up the conversion again
        self.reconnect = reconnect
        self.timeout = timeout if "://" in address else None
        container = self._open()
        video = container.streams.video[0]
        self.rate = Fraction(video.average_rate or video.guessed_rate or 25)
        self.length = float(container.duration or 0) / av.time_base
        self.is_live = "://" in address and not address.startswith("file:") and not self.length
        self._begun = container if self.is_live else None  # a live stream continues meanwhile
        if not self.is_live:
            frames = video.frames if video.frames < _ENDLESS else 0
            if container.format.name == "avi":  # whose duration FFmpeg scales to the bytes that are there
                self.length = float(frames * video.time_base)
            self.count = frames or round(self.length * self.rate) or None
            container.close()

    def __iter__(self) -> Iterator[Frame]:
        self.damaged, self.reopened, self.why_ended = 0, 0, ""
        number, clock = 0, _Timestamps(float(1 / self.rate), self.is_live)
        container = self._begun or self._open()
        self._begun = None
        while container is not None:
            clock.begin(bool(container.format.flags & Flags.no_timestamps.value))
            with container:
                for frame in self._decoded(container):
                    number += 1
                    if frame is None or frame.is_corrupt:
                        self.damaged += 1
                        continue
                    at = float(frame.time) if frame.time is not None else float((number - 1) / self.rate)
                    yield Frame(number, clock.read(at), self._shown(self._upright(frame), self.name))
            container = self._again() if self.is_live else None
        if clock.at < 0.9 * self.length - 2 / self.rate and not self.why_ended:  # the last may be shown for long
            self.why_ended = (
                f"{self.name} declares {self.length:.1f} s and holds {clock.at:.1f} s: it seems to be cut off"
            )

    def _decoded(self, container: Any) -> Iterator[Any]:
        """Decode what is left of a container: its frames, ``None`` for what cannot be decoded."""
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        self.why_ended = ""
        packets = container.demux(video)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self.why_ended = "the stream ended" if self.is_live else ""
                return
            except FFmpegError as error:
                self.why_ended = f"{'the stream' if self.is_live else self.name} broke off ({self._reason(error)})"
                with suppress(FFmpegError):
                    yield from video.codec_context.decode(None)  # what the decoder still holds
                return
            try:
                yield from packet.decode()
            except FFmpegError:
                yield None

    def _again(self) -> Any:
        """Open a live stream again; ``None`` if it does not come back."""
        until = time.monotonic() + self.reconnect
        while time.monotonic() < until:
            try:
                container = self._open(self.reconnect)
            except UserError:
                time.sleep(min(0.5, self.reconnect))
            else:
                self.reopened += 1
                return container
        self.why_ended += f", and did not come back within {self.reconnect:g} s"
        return None

    def spread(self, count: int) -> list[NDArray[np.uint8]]:  # noqa: D102
        total = self.count or sum(1 for _ in self)
        wanted = {1 + i * total // min(count, total) for i in range(min(count, total))}
        if self.length and total > 40 * count:
            return self._sought(sorted(wanted)) or self.first(count)
        return [frame.image for frame in self if frame.number in wanted] or self.first(count)

    def _sought(self, numbers: list[int]) -> list[NDArray[np.uint8]]:
        """Jump to the frames: the key frame before each will do, and is decoded on from if it is there already."""
        images = []
        had = -math.inf
        with self._open() as container:
            video = container.streams.video[0]
            start = (container.start_time or 0) / av.time_base
            for number in numbers:
                place = start + float((number - 1) / self.rate)
                try:
                    container.seek(round(place * av.time_base))
                    frames = container.decode(video)
                    found = next(frames)
                    if found.time <= had:
                        found = next(frame for frame in frames if frame.time >= place)
                    else:
                        had = found.time
                except (FFmpegError, StopIteration, TypeError):  # or frames without a time
                    continue
                images.append(self._shown(self._upright(found), self.name))
        return images

    def _ahead(self) -> Iterator[NDArray[np.generic]]:
        if not self.is_live:
            with self._open() as container, suppress(FFmpegError):
                for frame in container.decode(video=0):
                    yield self._upright(frame)

    def _upright(self, frame: av.VideoFrame) -> NDArray[np.generic]:
        """A frame turned as its file says: a phone that is held upright writes lying frames and an angle."""
        is_deep = frame.format.name.startswith("gray16")  # which FFmpeg would cut to 8 bits
        reformatted = self._reformatter.reformat(frame, format="gray16le" if is_deep else "rgb24")
        image: NDArray[np.generic] = reformatted.to_ndarray()
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4)) if frame.rotation else image

    def _reason(self, error: Exception) -> str:
        if isinstance(error, av.error.ExitError):
            return f"nothing came for {self.timeout:g} s"
        return getattr(error, "strerror", None) or str(error)

    def _open(self, patience: float = math.inf) -> Any:
        timeout = None if self.timeout is None else (min(self.timeout, patience), self.timeout)
        try:
            container = av.open(self._address, timeout=timeout, options=_OPTIONS)
        except (FFmpegError, OSError, ValueError) as error:
            reason = self._reason(error)
            if Path(self._address).is_file():
                raise UserError(
                    f"--source: {self.name}: is no video that FFmpeg knows, or one that was cut off ({reason}): an "
                    f".mp4 without its end has lost its table of contents. Get it again, or let a repair tool see it."
                ) from error
            what = f"--source: {self.name}: cannot be opened as a video ({reason})"
            fix = (
                " Name a video file, a folder of images, a pattern such as 'frames/*.jpg', the number of a camera, or "
                "the address of a stream."
            )
            may_come = "://" in self._address and not isinstance(error, _REFUSALS) and type(error) is not ValueError
            # without the cause, which holds the address with its password
            raise (NotUpError(what, fix) if may_come else UserError(f"{what}.{fix}")) from None
        if not container.streams.video:
            container.close()
            raise UserError(f"--source: {self.name}: holds no video.")
        return container


class _Timestamps:
    """Turns the timestamps of frames into seconds since the first one.

    Those of a live stream restart when it is opened again, are made up where its format has none, and leap where the
    sender's clock is set. They are compared with the time that passes, but may run ahead: a server sends as it likes.

    Attributes:
        at: The last time.
    """

    def __init__(self, period: float, is_live: bool) -> None:
        self.at = 0.0
        self._period = period
        self._is_live = is_live
        self._began: float | None = None  # when the first frame came
        self._origin = 0.0
        self._stamp: float | None = None  # the last timestamp, and when it came
        self._seen = 0.0
        self._are_made_up = False

    def begin(self, are_made_up: bool) -> None:
        """Expect the times of a container that has just been opened, and whether its format knows none."""
        self._stamp = None
        self._are_made_up = self._is_live and are_made_up

    def read(self, stamp: float) -> float:
        """Return the time of the next frame, whose timestamp this is."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._origin = now, stamp
        elif self._are_made_up:
            self._origin = stamp - (now - self._began)
        elif self._stamp is None or (self._is_live and self._leaps(stamp - self._stamp, now - self._seen)):
            self._origin = stamp - max(now - self._began, self.at + self._period)
        self.at, self._stamp, self._seen = max(self.at, stamp - self._origin), stamp, now
        return self.at

    @staticmethod
    def _leaps(stamp: float, passed: float) -> bool:
        return not -_STEP <= stamp <= passed + _LEAP


def without_secrets(address: str) -> str:
    """Leave out of an address what is before its host, and the values of what it is called with."""
    if "://" not in address:
        return address
    return re.sub("=[^&/;]*", "=…", re.sub("(?<=://)[^/]*@", "", without_passwords(address)))
