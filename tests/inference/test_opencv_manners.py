"""Every subtractor behaves as OpenCV's do: grey streams, known foreground, copies, bad frames and bad pools."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from live_systems import TINY, moving_square, tiny_system
from numpy.typing import NDArray
from tiny_training import quiet

import bgsub_lightning
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.depth import as_bytes, range_of
from bgsub_lightning.inference import OpenCvSubtractor, StreamSubtractor, Subtractor
from bgsub_lightning.inference.system import load_system

pytestmark = quiet

OPENCV = ("MOG2", "KNN")
SYSTEMS = (*TINY, *OPENCV)


def size_of(name: str) -> tuple[int, int]:
    return (256, 256) if name == "CrossNet" else (32, 24)


def subtractor_of(name: str, **options: Any) -> StreamSubtractor:
    return OpenCvSubtractor(name, **options) if name in OPENCV else Subtractor(tiny_system(name), "cpu", **options)


def opencvs(name: str) -> Any:
    cv2.setRNGSeed(0)
    return getattr(cv2, f"createBackgroundSubtractor{name}")()


def frames(count: int = 12, size: tuple[int, int] = (32, 24)) -> list[NDArray[np.uint8]]:
    return [np.ascontiguousarray(frame[..., ::-1]) for frame in moving_square(count, size)]


@pytest.mark.parametrize("name", OPENCV)
def test_a_grey_stream_is_grey_all_through(name: str) -> None:
    images = [np.ascontiguousarray(frame[..., 1]) for frame in frames()]
    ours = subtractor_of(name)
    found = [ours.apply(image) for image in images]  # all of them first: KNN draws from OpenCV's one generator
    theirs = opencvs(name)
    expected = [theirs.apply(image) for image in images]
    np.testing.assert_array_equal(found, np.where(np.stack(expected) == 255, 255, 0))
    np.testing.assert_array_equal(ours.getBackgroundImage(), theirs.getBackgroundImage())
    assert theirs.getBackgroundImage().ndim == 2


@pytest.mark.parametrize("name", ["Siamese", "CdnMedal"])
def test_the_background_of_a_grey_stream_is_grey(name: str) -> None:
    subtractor = subtractor_of(name)
    for frame in frames(3):
        subtractor.apply(frame[..., :1])
    found = subtractor.getBackgroundImage()
    assert found is not None
    assert (found.shape, found.dtype) == ((24, 32), np.uint8)
    subtractor.apply(frames(4)[-1])
    assert subtractor.getBackgroundImage().shape == (24, 32, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", OPENCV)
def test_known_foreground_is_opencvs(name: str) -> None:
    known = np.zeros((24, 32), np.uint8)
    known[3:9, 5:20] = 7
    ours = subtractor_of(name)
    found = [ours.apply(frame, knownForegroundMask=known) for frame in frames()]
    theirs = opencvs(name)
    expected = [theirs.apply(frame, knownForegroundMask=known) for frame in frames()]
    np.testing.assert_array_equal(found, np.where(np.stack(expected) == 255, 255, 0))
    np.testing.assert_array_equal(ours.getBackgroundImage(), theirs.getBackgroundImage())


def test_the_background_does_not_learn_known_foreground() -> None:
    """The temporal median of frames in which a thing stands still half of the time."""
    empty = np.full((24, 32, 3), 90, np.uint8)
    stands = empty.copy()
    stands[5:15, 5:15] = 250
    known = (stands != empty).any(-1)
    masked, learning = (bgsub_lightning.load("TemporalMedian", device="cpu", stride=1) for _ in range(2))
    for shown in [empty] * 4 + [stands] * 12:
        mask = masked.apply(shown, knownForegroundMask=known if shown is stands else None)
        learning.apply(shown)
    assert mask[known].all()
    np.testing.assert_array_equal(masked.getBackgroundImage(), empty)
    np.testing.assert_array_equal(learning.getBackgroundImage(), stands)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_goes_on_as_the_original(name: str, copied: Any) -> None:
    images = frames(6, size_of(name))
    subtractor = subtractor_of(name)
    if name not in OPENCV:
        for image in images[:3]:
            subtractor.apply(image)
    twin = copied(subtractor)
    expected = [subtractor.apply(image) for image in images[3:]]
    for image, mask in zip(images[3:], expected, strict=True):
        np.testing.assert_array_equal(twin.apply(image), mask)


@pytest.mark.parametrize("name", OPENCV)
def test_what_opencv_has_learnt_is_not_lost_by_a_copy(name: str) -> None:
    subtractor = subtractor_of(name)
    subtractor.apply(frames(1)[0])
    with pytest.raises(UserError, match=name):
        copy.deepcopy(subtractor)
    subtractor.reset()
    assert copy.deepcopy(subtractor).name == name


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("name", ["CdnMedal", "ClassicalSubtractor"])
def test_what_opencv_has_learnt_within_a_system_is_not_lost_by_a_copy(name: str, copied: Any) -> None:
    """MOG2 that gives CDN-MEDAL-net its backgrounds, and MOG2 as a system of PyTorch."""
    mog2 = {"class_path": "bgsub_lightning.backgrounds.Mog2Background"}
    system = tiny_system(name, background=mog2) if name == "CdnMedal" else load_system("MOG2")
    subtractor = Subtractor(system, "cpu")
    image = frames(1)[0]
    first = copied(subtractor).apply(image)
    np.testing.assert_array_equal(subtractor.apply(image), first)
    with pytest.raises(UserError, match=system.name):
        copied(subtractor)
    subtractor.reset()
    np.testing.assert_array_equal(copied(subtractor).apply(image), first)


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
def test_another_size_is_said_once(name: str) -> None:
    subtractor = subtractor_of(name)
    small, large = frames(1)[0], frames(1, (64, 48))[0]
    subtractor.apply(small)
    with pytest.warns(UserWarning, match="32×24.*64×48") as said:
        assert subtractor.apply(large).shape == (48, 64)
    assert len(said) == 1
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subtractor.apply(small)


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
def test_another_stream_may_have_another_size(name: str) -> None:
    subtractor = subtractor_of(name)
    subtractor.apply(frames(1)[0])
    subtractor.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert subtractor.apply(frames(1, (64, 48))[0]).shape == (48, 64)


@pytest.mark.parametrize("name", ["MOG2", "FrameFcn"])
@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((0, 0), np.uint8), r"uint8 of shape \(0, 0\)"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        ("frame.png", "frame.png"),
        ([[1, 2], [3, 4]], "list"),
        (None, "nothing"),
        (np.zeros((4, 4), np.float32), "float32"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
    ],
)
def test_what_is_no_frame_is_refused(name: str, image: Any, got: str) -> None:
    with pytest.raises(UserError, match=f"^frame: .*{got}"):
        subtractor_of(name).apply(image)


def test_masks_of_another_shape_are_refused() -> None:
    subtractor, frame = subtractor_of("MOG2"), frames(1)[0]
    with pytest.raises(UserError, match=r"^fgmask: .*\(3, 3\)"):
        subtractor.apply(frame, np.zeros((3, 3), np.uint8))
    with pytest.raises(UserError, match=r"^fgmask: .*float64"):
        subtractor.apply(frame, np.zeros((24, 32)))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^knownForegroundMask: .*\(3, 3\)"):
        subtractor.apply(frame, knownForegroundMask=np.zeros((3, 3), np.uint8))


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ([None], r"pool\[0\].*nothing"),
        (7, "pool.*int"),
        ("absent.png", "pool.*absent.png"),
        (str(Path(__file__).parent), "pool.*inference"),  # a folder without images
        (np.zeros((2, 24, 32, 3)), r"pool\[0\].*float64"),
        ([np.full((24, 32, 3), 0.5, np.float32)], r"pool\[0\].*float32"),
        ([np.zeros((24, 32, 3), np.uint8), np.zeros((12, 32, 3), np.uint8)], "pool.*32×12 and 32×24"),
    ],
)
def test_what_is_no_pool_is_refused_at_once(name: str, pool: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        subtractor_of(name, reference_pool=pool)


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
def test_a_pool_may_be_one_image_grey_or_a_path(name: str, tmp_path: Path) -> None:
    image = moving_square(1)[0]
    cv2.imwrite(str(tmp_path / "clean1.png"), image[..., ::-1])
    images = frames(3)

    def masks(pool: Any) -> list[NDArray[np.uint8]]:
        subtractor = subtractor_of(name, reference_pool=pool)
        return [subtractor.apply(each) for each in images]

    expected = masks([image])
    for pool in (image, image[None], (image,), str(tmp_path / "clean1.png"), tmp_path):
        np.testing.assert_array_equal(masks(pool), expected)
    grey = image[..., 0]
    np.testing.assert_array_equal(masks(grey), masks([np.repeat(grey[..., None], 3, 2)]))


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
def test_frames_have_one_depth(name: str) -> None:
    flat, deep = frames(1)[0], 51_600 + frames(1)[0].astype(np.uint16)
    for first, then, said in ((flat, deep, r"8 bits.*; got 16"), (deep, flat, r"16 bits.*; got 8")):
        subtractor = subtractor_of(name)
        subtractor.apply(first)
        with pytest.raises(UserError, match=rf"^frame: must have {said}"):
            subtractor.apply(then)
        with pytest.raises(UserError, match=rf"^frame: must have {said}"):
            subtractor_of(name, reference_pool=[first]).apply(then)
        with pytest.raises(UserError, match=rf"^reference_pool\[1\]: must have {said}"):
            subtractor_of(name, reference_pool=[first, then])
    with pytest.raises(UserError, match=r"^range: .*8 bits.*51000"):
        subtractor_of(name, range=(51_000, 52_000)).apply(flat)


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
def test_the_first_frame_that_is_not_uniform_sets_the_range(name: str) -> None:
    scene = 51_600 + np.random.default_rng(2).integers(0, 41, (24, 32)).astype(np.uint16)
    bordered = scene.copy()
    bordered[:, :3] = 65_535
    for before in (np.zeros_like(scene), np.full_like(scene, 8192), bordered):
        subtractor = subtractor_of(name)
        for frame in (before, before, scene, scene + 100):
            subtractor.apply(frame)
        assert subtractor.range == range_of([scene]) == (51_492.5, 51_747.5)
    flat = subtractor_of(name)
    flat.apply(np.full_like(scene, 51_600))
    flat.apply(scene)  # which lies in the range of the flat one: the background keeps its grey
    assert flat.range == (51_472.5, 51_727.5)


def test_a_frame_outside_of_the_range_is_named_once() -> None:
    scene = 51_600 + np.random.default_rng(2).integers(0, 41, (24, 32)).astype(np.uint16)
    subtractor = subtractor_of("MOG2")
    subtractor.apply(scene)
    subtractor.apply(scene * 0)  # a shutter, of which nothing is to be said
    with pytest.warns(UserWarning, match=r"^frame: .*51492\.5 to 51747\.5.*; got 100 %.* range "):
        subtractor.apply(scene - 1000)
    subtractor.apply(scene - 1000)


@pytest.mark.parametrize("name", ["MOG2", "Siamese", "FrameFcn"])
def test_frames_of_16_bits_are_shown_in_the_range_of_the_first(name: str) -> None:
    deep = [51_600 + frame[..., 1].astype(np.uint16) * 3 for frame in frames(5)]
    levels = range_of([deep[0]])
    found, expected, given = subtractor_of(name), subtractor_of(name), subtractor_of(name, range=(51_000, 53_000))
    plain = subtractor_of(name)
    for frame in deep:
        np.testing.assert_array_equal(found.apply(frame), expected.apply(as_bytes(frame, levels)))
        np.testing.assert_array_equal(given.apply(frame), plain.apply(as_bytes(frame, (51_000, 53_000))))


NUMBERS = ("batch_size", "pool_size", "stride", "refresh_interval", "threshold")
RANGES = ("1,2", (None, 2), 5, (1,), (1, 2, 3), (0, 1e-300), (-1e308, 1e308), (True, 3))


def test_options_of_another_type_are_refused() -> None:
    system = load_system()
    wrong: list[dict[str, Any]] = [
        *({"range": levels} for levels in RANGES),
        *({name: value} for name in NUMBERS for value in ("a", True, [1])),
        *({name: value} for name in NUMBERS[:3] for value in (1.5, None, 2.0)),
        {"refresh_interval": 1.5},
        {"precision": "8"},
        *({name: value} for name in ("blocking", "compiled") for value in ("no", 1, None)),
    ]
    for options in wrong:
        for load in (partial(bgsub_lightning.load, "MOG2"), partial(Subtractor, system)):
            with pytest.raises(UserError, match=rf"^{next(iter(options))}: must be .*; got .*\.$"):
                load(**options)


@pytest.mark.parametrize("source", [None, 5, b"MOG2", ["MOG2"]])
def test_what_names_no_subtractor(source: Any) -> None:
    with pytest.raises(UserError, match=r"^modules: must be .*; got "):
        bgsub_lightning.load(modules="own.py" if source is None else 3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"^source: must be .*; got {re.escape(repr(source))}\.$"):
        bgsub_lightning.load(source)


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
def test_calls_with_other_types_are_refused(name: str) -> None:
    subtractor = subtractor_of(name, batch_size=4)
    image = frames(1)[0]
    fixed = np.zeros(image.shape[:2], np.uint8)
    fixed.flags.writeable = False
    calls: list[tuple[str, Callable[[], Any]]] = [
        *(("learningRate", partial(subtractor.apply, image, learningRate=rate)) for rate in (True, None, "a", [0.5])),
        ("fgmask", partial(subtractor.apply, image, fixed)),
        *(
            ("images", partial(subtractor.push, images))
            for images in (3, None, [], [image] * 5, [[1]], [image[..., 0]])
        ),
        *(("numbers", partial(subtractor.push, [image], numbers)) for numbers in (1, [1, 2], ["a"], [True])),
        ("numbers", partial(subtractor.push, [image, image], [2, 1])),
        ("knownForegroundMask", partial(subtractor.apply, image, knownForegroundMask=fixed.astype(str))),
    ]
    for key, call in calls:
        with pytest.raises(UserError, match=rf"^{key}(\[0\])?: must be .*; got .*\.$"):
            call()
    subtractor.apply(image)


@pytest.mark.parametrize("name", ["MOG2", "Siamese"])
def test_the_order_of_bytes_makes_no_difference(name: str) -> None:
    native, turned = subtractor_of(name), subtractor_of(name)
    for frame in frames(4):
        deep = 300 + frame.astype(np.uint16)
        np.testing.assert_array_equal(turned.apply(deep.astype(">u2")), native.apply(deep))
    assert turned.range == native.range


def test_options_that_are_none_are_refused() -> None:
    for options in ({"sped": 1}, {"batch_size": 0}, {"threshold": 2}, {"device": "cuda"}, {"range": (2, 1)}):
        with pytest.raises(UserError, match=next(iter(options))):
            bgsub_lightning.load("MOG2", **options)


def test_opencvs_subtractors_and_the_help_of_segment_need_no_pytorch(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a1.png"), np.zeros((24, 32, 3), np.uint8))
    program = f"""
import sys, numpy, bgsub_lightning
from bgsub_lightning.cli import main
bgsub_lightning.load("MOG2").apply(numpy.zeros((24, 32, 3), numpy.uint8))
bgsub_lightning.load("KNN").apply(numpy.zeros((24, 32), numpy.uint8))
assert main(["segment", "--source={tmp_path}", "--out={tmp_path / "out"}", "--checkpoint=MOG2"]) == 0
try:
    main(["segment", "--help"])
finally:
    print({{"torch", "lightning", "scipy", "matplotlib", "albumentations", "wandb"}} & set(sys.modules))
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "set()"
