"""Changes of the whole picture, on made clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.inference import Frame, OpenCvSubtractor, Wanted
from bgsub_lightning.inference.outputs import Output
from bgsub_lightning.inference.restarting import Restarts
from bgsub_lightning.inference.result import Result
from bgsub_lightning.inference.segmenting import Feed, segment_feeds
from bgsub_lightning.inference.sources import Source
from bgsub_lightning.inference.watching import PictureWatch

RATE = 10
AT = 80
"""Frame from which a clip is changed."""


def view(seed: int = 0) -> np.ndarray:
    """A street of boxes, in colour: RGB, 120×180."""
    generator = np.random.default_rng(seed)
    image = np.full((120, 180, 3), (120, 130, 110), np.uint8)
    for _ in range(40):
        x, y = generator.integers(0, 170), generator.integers(0, 110)
        colour = generator.integers(20, 200, 3).tolist()
        cv2.rectangle(
            image,
            (int(x), int(y)),
            (int(x + generator.integers(8, 40)), int(y + generator.integers(8, 30))),
            colour,
            -1,
        )
    return image


def clip(change: Callable[[np.ndarray, int], np.ndarray], length: int = 200) -> list[tuple[int, str]]:
    generator, watch, street, found = np.random.default_rng(1), PictureWatch(), view(), []
    for number in range(length):
        image = street.copy()
        cv2.circle(image, (3 * number % 180, 60), 12, (200, 40, 40), -1)  # somebody always passes
        if number >= AT:
            image = change(image, number)
        noisy = image + generator.normal(0, 2, image.shape) * (image.any())
        if change is frozen and number >= AT:
            noisy = image
        seen = watch.update(noisy.clip(0, 255).astype(np.uint8), number, number / RATE)
        found += [(each.frame, each.event) for each in seen]
    return found


def frozen(image: np.ndarray, number: int) -> np.ndarray:
    return view()


def grey(image: np.ndarray, number: int) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)


def turned(image: np.ndarray, degrees: float, zoom: float = 1) -> np.ndarray:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)


def test_a_camera_that_shakes_is_not_moved() -> None:
    generator = np.random.default_rng(3)
    places = generator.integers(-4, 5, (200, 2))
    assert clip(lambda image, number: np.roll(image, tuple(places[number]), (0, 1))) == []


@pytest.mark.parametrize("speed", [4, 12])
def test_a_long_truck_that_passes_is_no_move(speed: int) -> None:
    truck = view(5)[20:, :150]

    def passing(image: np.ndarray, number: int) -> np.ndarray:
        front = speed * (number - AT)
        left, right = max(0, front - 150), min(180, front)
        if left < right:
            image[10:110, left:right] = truck[:, left - front + 150 : right - front + 150]
        return image

    assert clip(passing) == []


def test_a_scene_that_is_seen_again_after_a_restart_is_known() -> None:
    generator = np.random.default_rng(1)
    for shift, events in ((0, []), (20, ["camera_moved"])):
        watch, found = PictureWatch(), []
        small = cv2.resize(cv2.cvtColor(view(), cv2.COLOR_RGB2GRAY), (160, 107), interpolation=cv2.INTER_AREA)
        watch.expect(small.astype(np.float32))
        for number in range(50):
            noisy = np.roll(view(), shift, 1) + generator.normal(0, 2, (120, 180, 3))
            found += watch.update(noisy.clip(0, 255).astype(np.uint8), number, number / RATE)
        assert [each.event for each in found] == events


def test_nothing_happens() -> None:
    assert clip(lambda image, number: image) == []


def test_light_goes_up_and_down_slowly() -> None:
    assert clip(lambda image, number: image * (1 - 0.4 * (number - AT) / 120), 200) == []


@pytest.mark.parametrize(
    ("change", "event", "within"),
    [
        (lambda image, number: np.roll(image, (12, 20), (0, 1)), "camera_moved", 2.5),
        (lambda image, number: np.roll(image, (3, 5), (0, 1)), "camera_moved", 3.0),
        (lambda image, number: np.roll(image, 4, 1), "camera_moved", 3.0),  # level edges stay in place
        (lambda image, number: np.roll(image, 4, 0), "camera_moved", 3.0),
        (lambda image, number: turned(image, 4), "camera_moved", 3.0),
        (lambda image, number: turned(image, -6), "camera_moved", 3.0),
        (lambda image, number: turned(image, 10), "camera_moved", 3.0),
        (lambda image, number: turned(image, 0, 1.05), "camera_moved", 3.0),
        (lambda image, number: turned(image, 0, 1.1), "camera_moved", 3.0),
        (lambda image, number: turned(image, 0, 0.9), "camera_moved", 3.0),
        (lambda image, number: turned(image, 0, 1.2), "camera_moved", 3.0),
        (lambda image, number: np.concatenate([view(7)[:, 60:], image[:, :60]], 1), "camera_moved", 2.5),
        (lambda image, number: image * 0.6, "light_changed", 0.5),
        (lambda image, number: np.minimum(image * 1.4, 255), "light_changed", 0.5),
        (grey, "infrared", 2.0),
        (frozen, "frozen", 5.5),
        (lambda image, number: image * 0, "dark", 0.5),
    ],
)
def test_a_change_is_noticed_once(change: Callable[[np.ndarray, int], np.ndarray], event: str, within: float) -> None:
    found = clip(change)
    assert [name for _, name in found] == [event]
    assert AT <= found[0][0] <= AT + within * RATE


def test_it_comes_back() -> None:
    found = clip(lambda image, number: image * 0 if number < 120 else image)
    assert [name for _, name in found] == ["dark", "resumed"]
    found = clip(lambda image, number: grey(image, number) if number < 120 else image)
    assert [name for _, name in found] == ["infrared", "colour"]


def test_a_change_of_size_is_no_change_of_the_view() -> None:
    assert clip(lambda image, number: cv2.resize(image, (360, 200))) == []


def test_batches_are_cut_where_the_background_restarts() -> None:
    subtractor = OpenCvSubtractor("MOG2")
    restarts = Restarts(subtractor, PictureWatch(), is_on=True)
    frames = [Frame(n, n / RATE, view(7 if n >= AT else 0)) for n in range(120)]
    parts = [part for start in range(0, 120, 8) for part in restarts.parts(frames[start : start + 8])]
    assert [frame.number for part, _ in parts for frame in part] == list(range(120))
    cut = [part[0].number for part, seen in parts if any(change.is_of_view for change in seen[0])]
    assert restarts.count == len(cut) == 1
    assert AT < cut[0] < AT + 25
    assert not any(change.is_of_view for _, seen in parts for each in seen[1:] for change in each)
    assert list(Restarts(subtractor, None, is_on=True).parts(frames[:8])) == [(frames[:8], [[]] * 8)]


@pytest.mark.parametrize(("flood", "count"), [(30, 1), (15, 0)])
def test_the_background_restarts_where_masks_stay_flooded(flood: int, count: int) -> None:
    frames = [Frame(n, n / RATE, view()) for n in range(80)]
    masks = [np.full((120, 180), 255 * (20 <= n < 20 + flood), np.uint8) for n in range(80)]
    for is_on in (True, False):
        restarts = Restarts(OpenCvSubtractor("MOG2"), None, is_on)
        for start in range(0, 80, 8):
            restarts.look(frames[start : start + 8], masks[start : start + 8])
        assert (restarts.count, restarts.flooded, restarts.flooded_at) == (count * is_on, flood, 2.0)


class Moved(Source):
    """A street, where the camera is knocked after 8 s."""

    name, rate, count = "moved", Fraction(RATE), 140

    def __iter__(self) -> Iterator[Frame]:
        generator = np.random.default_rng(1)
        for number in range(self.count):
            image = np.roll(view(), (30, 45), (0, 1)) if number >= AT else view()
            noisy = (image + generator.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)
            yield Frame(number + 1, number / RATE, noisy)

    def spread(self, count: int) -> list[np.ndarray]:
        raise NotImplementedError


class Masks(Output):
    path = Path("masks")

    def __init__(self) -> None:
        self.share: list[float] = []
        self.events: list[tuple[int, str]] = []

    def write(self, result: Result) -> None:
        self.share.append(float((result.mask > 0).mean()))
        self.events += [(result.number, event.event) for event in result.events]

    def close(self) -> None: ...


def moved(wanted: Wanted) -> tuple[int, Masks]:
    output = Masks()
    feed = Feed(Moved(), OpenCvSubtractor("MOG2", batch_size=8), [output], wanted)
    segment_feeds([feed])
    assert not feed.error
    return feed.restarts.count, output


def test_the_background_restarts_where_the_camera_was_moved() -> None:
    count, output = moved(Wanted(tracks=False))
    assert count == 1
    ((number, event),) = output.events
    assert event == "camera_moved"
    assert max(output.share[AT + 1 : number - 1]) > 0.2  # what has moved
    assert max(output.share[number:]) < 0.01
    assert moved(Wanted(tracks=False, clean=False))[0] == 0  # masks as the system gives them
    assert moved(Wanted(tracks=False, watch=False))[0] == 0
