"""Several cameras in one process: what may differ between them, and the file that lists them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.records import fit_record, read_yaml
from bgsub_lightning.core.text import safe_name, suggestion
from bgsub_lightning.datasets.depth import parsed_range
from bgsub_lightning.inference.opening import Background
from bgsub_lightning.inference.reduced import checked_work_size
from bgsub_lightning.inference.regions import check_places
from bgsub_lightning.inference.sources import IMAGES
from bgsub_lightning.inference.stream import POOL

LISTS = (".yaml", ".yml")
"""Endings of files that list cameras."""

_FIX = "Write it as `segment --help` says."
_EXAMPLE = "Write a camera a line, `name: source`, or `name: {source: …, count_line: …}`."
_PLACES = ("roi", "ignore", "count_line", "zone")


@dataclass(frozen=True)
class CameraOptions:
    """The options of `segment` that may differ from camera to camera, by their names.

    Attributes:
        source: Where the frames come from.
        rate: Frames per second of images.
        range: Grey levels that become 0 and 255, of frames of 16 bits.
        background: Frames that references and backgrounds are built from.
        pool: Number of these frames.
        every: Seconds between two frames that the stream gives.
        refresh: Seconds after which the background is rebuilt.
        threshold: Probability above which a pixel is foreground.
        state: File that keeps what was learnt of the scene.
        work_size: Pixels of the longer side at which larger frames are subtracted.
        clean: Whether masks are cleaned.
        least_area: Pixels of the smallest blob.
        roi: Where foreground counts.
        ignore: Where it does not.
        count_line: Lines that are counted.
        zone: Zones whose objects are counted.
        still: Seconds after which an object that stands still is reported.
    """

    source: str
    rate: float | None = None
    range: str | None = None
    background: str = "auto"
    pool: int = POOL
    every: float = 1.0
    refresh: float | None = None
    threshold: float | None = None
    state: str | None = None
    work_size: int | None = None
    clean: bool = True
    least_area: int = 50
    roi: str | None = None
    ignore: str | None = None
    count_line: str | None = None
    zone: str | None = None
    still: float | None = None

    @property
    def has_places(self) -> bool:
        """Whether objects are counted or watched for."""
        return bool(self.count_line or self.zone or self.still)

    def check(self) -> None:
        """Check what can be checked without a frame.

        Raises:
            UserError: If a number lies outside of its range, a file cannot be read, or a region, a line or a zone is
                none.
        """
        check_range("--", least=0, most=1e9, least_area=self.least_area)
        check_range("--", least=0.0003, most=1000, rate=self.rate)
        parsed_range(self.range)
        checked_work_size(self.work_size)
        check_places(self.roi, self.ignore, self.count_line, self.zone)


@dataclass(frozen=True)
class ListedCamera:
    """A camera of a list, or the only one.

    Attributes:
        options: Its options.
        name: Its name; empty if it is the only one, from the command line.
        file: The list.
        own: The options that the list sets.
    """

    options: CameraOptions
    name: str = ""
    file: Path = Path()
    own: frozenset[str] = frozenset()

    @property
    def prefix(self) -> str:
        """Beginning of messages about it."""
        return f"{self.name}: " if self.name else ""

    def reason(self, error: Exception) -> str:
        """Return what an error says, about the key of the list if an option of the list is meant."""
        text = str(error)
        key = re.match(r"(?:--)?(\w+): ", text)
        if key and key[1] in self.own:
            return f"{self.file}: {self.name}.{key[1]}: {text[key.end() :]}"
        return f"{self.prefix}{text}"

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Name the camera in errors."""
        try:
            yield
        except UserError as error:
            if not self.name:
                raise
            raise UserError(self.reason(error)) from error


def listed_cameras(common: CameraOptions) -> list[ListedCamera]:
    """Return the cameras of a list, or the only one.

    Args:
        common: The options of the command line, which hold for every camera whose entry has no other; its source is a
            file that maps names to sources or to options, or any other source, which is the only camera then.

    Raises:
        UserError: If the file is no such list, or two cameras would write to one place.
    """
    common.check()
    file = Path(common.source).expanduser()
    if file.suffix.lower() not in LISTS or "://" in common.source:
        return [ListedCamera(common)]
    try:
        content = read_yaml(file)
    except FileNotFoundError:
        raise UserError(f"--source: {file}: there is no such file.") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{file}: must hold a camera at least; got {content!r}. {_EXAMPLE}")
    cameras = []
    for name, entry in content.items():
        if not isinstance(name, str) or not name or safe_name(name) != name:
            given = safe_name(str(name)) or "yard"
            raise UserError(
                f"{file}: {name}: must be the name of a folder; got {name!r}. Write {given!r}, for example."
            )
        own = _entry(file, name, entry)
        camera = ListedCamera(replace(common, **own), name, file, frozenset(own))
        with camera.naming():
            camera.options.check()
        cameras.append(camera)
    _require_separate_places(file, cameras)
    return cameras


def _entry(file: Path, name: str, entry: Any) -> dict[str, Any]:
    """Return the options that an entry sets, with paths relative to the file."""
    own = entry if isinstance(entry, dict) else {"source": entry}
    hints = get_type_hints(CameraOptions)
    known = [each.name for each in fields(CameraOptions)]
    for key in own:
        if key not in known:
            raise UserError(f"{file}: {name}.{key}: is unknown. {suggestion(str(key), known)}")
    if own.get("source") is None:
        raise UserError(f"{file}: {name}.source: is missing. {_EXAMPLE}")
    if isinstance(own["source"], int) and not isinstance(own["source"], bool):  # the number of a camera
        own = own | {"source": str(own["source"])}
    for key, value in own.items():
        fit_record(value, hints[key], f"{file}: {name}.{key}", _FIX)
    return {key: _from(file.parent, key, value) for key, value in own.items()}


def _from(folder: Path, key: str, value: Any) -> Any:
    """Return a value; a path as seen from a folder."""
    if not isinstance(value, str):
        return value
    path = folder / Path(value).expanduser()
    is_path = {
        "source": "://" not in value and not (value.isdecimal() and not path.exists()),
        "state": True,
        "background": value not in get_args(Background),
        **dict.fromkeys(_PLACES, Path(value).suffix.lower() in {".json", *IMAGES}),
    }
    return str(path) if is_path.get(key) else value


def _require_separate_places(file: Path, cameras: list[ListedCamera]) -> None:
    """Refuse two cameras that would write to one place, on disks as well that do not know upper and lower case."""
    names, states = dict[str, str](), dict[Path, str]()
    for camera in cameras:
        if (other := names.setdefault(camera.name.casefold(), camera.name)) != camera.name:
            raise UserError(f"{file}: {camera.name}: would write to the folder of {other}. Choose another name.")
        if camera.options.state is None:
            continue
        if (other := states.setdefault(Path(camera.options.state).resolve(), camera.name)) != camera.name:
            raise UserError(
                f"{file}: {camera.name}.state: would be written to the file of {other}; got {camera.options.state}. "
                f"Name another in the list."
            )
