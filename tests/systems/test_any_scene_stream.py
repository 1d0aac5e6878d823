"""State of a scene that AnyScene keeps: the same answers however frames come, and no frame of the future in them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import Subtractor, System
from bgsub_lightning.systems import AnyScene
from bgsub_lightning.systems.any_scene import Rules, SceneStream
from bgsub_lightning.systems.any_scene.alignment import STILL
from bgsub_lightning.systems.any_scene.features import PLANES

Bytes = NDArray[np.uint8]
Judge = Callable[[Bytes], NDArray[np.bool_]]
NEAREST, WIDEST = PLANES.index("nearest locked"), PLANES.index("outside blind")


def texture(seed: int, size: tuple[int, int] = (32, 48)) -> Bytes:
    return np.random.default_rng(seed).integers(60, 120, (*size, 3), np.uint8)


def video(count: int, seed: int = 0, size: tuple[int, int] = (32, 48), noise: int = 6) -> list[Bytes]:
    """RGB frames of a texture, before which a bright square moves."""
    generator = np.random.default_rng((seed, 1))
    frames = []
    for i in range(count):
        frame = texture(seed, size) + generator.integers(0, noise, (*size, 3), np.uint8)
        left, top = 2 * i % (size[1] - 8), i % (size[0] - 8)
        frame[top : top + 8, left : left + 8] = (230, 200, 40)
        frames.append(frame)
    return frames


def judge(planes: Bytes) -> NDArray[np.bool_]:
    """Stands for the network."""
    return np.asarray(planes[NEAREST] > 90)


def watched(stream: SceneStream, frames: Sequence[Bytes], judge: Judge = judge) -> list[Bytes]:
    """Show frames to a stream, and return what the network would see of each."""
    planes = []
    for frame in frames:
        seen = stream.see(frame)
        planes.append(seen.planes.copy())
        stream.learn(seen, judge(seen.planes) if seen.is_due else None)
    return planes


def same(one: Any, other: Any) -> bool:
    """Whether two states are the same, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


# --- the stream ------------------------------------------------------------------------------------------------------


def test_planes_are_of_the_frames_up_to_now() -> None:
    frames = video(60)
    whole = watched(SceneStream(Rules()), frames)
    others = watched(SceneStream(Rules()), [*frames[:37], *video(23, seed=9)])
    assert whole[0].shape == (len(PLANES), 32, 48)
    np.testing.assert_array_equal(whole[:37], others[:37])
    assert not np.array_equal(whole[37], others[37])


def test_motion_is_against_the_frame_four_before() -> None:
    frames = video(12)
    whole = watched(SceneStream(Rules(relighting=False)), frames)
    for number, planes in enumerate(whole):
        earlier = frames[max(0, number - 4)].astype(int)
        expected = np.minimum(np.abs(frames[number] - earlier).sum(2), 255)
        np.testing.assert_array_equal(planes[PLANES.index("motion")], expected)
        np.testing.assert_array_equal(planes[:3], frames[number].transpose(2, 0, 1))


@pytest.mark.parametrize("saved", [0, 1, 3, 50, 190])
def test_a_state_goes_on_as_if_there_had_been_no_break(saved: int) -> None:
    """Of a camera that shakes, and after its samples have been renewed."""
    wide = texture(5, (224, 296))
    generator = np.random.default_rng(6)
    places = generator.integers(10, 22, (210, 2)) if saved > 100 else np.full((80, 2), 12)
    frames = [wide[top : top + 192, left : left + 256] for top, left in places]
    stream = SceneStream(Rules())
    watched(stream, frames[:saved])
    state = stream.state_dict()
    kept = copy.deepcopy(state)
    other = SceneStream(Rules())
    other.load_state_dict(state)
    assert same(other.state_dict(), kept)
    rest = frames[saved:]
    np.testing.assert_array_equal(watched(stream, rest), watched(other, rest))
    assert same(state, kept)  # neither of them has changed what was saved
    assert same(stream.state_dict(), other.state_dict())


def test_a_camera_that_shakes_is_followed_and_answers_lie_where_it_saw_them() -> None:
    generator = np.random.default_rng(2)
    noise = texture(7, (272, 352)).astype(np.float32)
    wide = cv2.GaussianBlur(noise, (0, 0), 2.5)
    wide = np.clip((wide - wide.mean()) / wide.std() * 30 + 120, 0, 255).astype(np.uint8)
    still = [wide[16:256, 16:336]] * 164  # of a camera that is still each fourth frame is looked at
    stream = SceneStream(Rules())
    watched(stream, still)
    found = np.zeros((240, 320), np.float32)
    found[100:140, 100:150] = 1
    for _ in range(6):
        top, left = generator.integers(-8, 9, 2)
        seen = stream.see(wide[16 + top : 256 + top, 16 + left : 336 + left])
        stream.learn(seen, found > 2)
        np.testing.assert_allclose(seen.shift, (left, top), atol=0.6)
        if seen.shift == STILL:
            continue
        inside = np.s_[:, 20:-20, 20:-20]
        assert np.abs(seen.planes[:3].astype(int) - seen.planes[3:6])[inside].mean() < 4
        rows, columns = np.nonzero(stream.in_place(found, seen) > 0.5)
        assert abs(rows.mean() - 119.5 + top) < 0.7
        assert abs(columns.mean() - 124.5 + left) < 0.7
    off = SceneStream(Rules(aligning=False))
    watched(off, still)
    assert off.see(wide[12:252, 16:336]).shift == STILL


def test_a_light_that_changes_is_taken_away_unless_that_is_off() -> None:
    frames = [texture(3)] * 30
    dark = (texture(3) * 0.7).astype(np.uint8)
    for relighting in (True, False):
        stream = SceneStream(Rules(relighting=relighting))
        watched(stream, frames)
        off = np.abs(stream.see(dark).planes[:3].astype(int) - stream.see(frames[0]).planes[3:6]).mean()
        assert off < 4 if relighting else off > 20


def test_foreground_is_kept_out_unless_that_is_off() -> None:
    frames = video(30, noise=1)
    standing = texture(0)
    standing[8:24, 12:36] = 240
    for locking in (True, False):
        stream = SceneStream(Rules(locking=locking))
        watched(stream, [*frames, *[standing] * 200])
        assert stream.background is not None
        learnt = bool((stream.background.median[:, 9:23, 13:35] == 240).all())
        assert learnt is not locking


def scenery(seed: int) -> Bytes:
    """A frame of large fields of colours."""
    fields = np.random.default_rng(seed).integers(10, 245, (4, 6, 3), np.uint8)
    return fields.repeat(8, 0).repeat(8, 1)


def flooded(planes: Bytes) -> NDArray[np.bool_]:
    return np.full(planes.shape[1:], planes[WIDEST].mean() > 20)


@pytest.mark.parametrize("restart", [0.7, 1.0])
def test_the_background_starts_fresh_when_the_scene_is_replaced(restart: float) -> None:
    before, after = [scenery(1)] * 200, [scenery(2)] * 60
    stream = SceneStream(Rules(restart=restart))
    watched(stream, before, flooded)
    assert stream.restarts == 0
    watched(stream, after, flooded)
    assert stream.background is not None
    assert stream.restarts == (1 if restart < 1 else 0)
    is_new = bool(np.array_equal(stream.background.median, after[0].transpose(2, 0, 1)))
    assert is_new is (restart < 1)
    assert (stream.background.frames < 60) is (restart < 1)


def test_one_flooded_sample_is_not_enough() -> None:
    stream = SceneStream(Rules())
    watched(stream, [scenery(1)] * 200, flooded)
    watched(stream, [scenery(2)] * 16, flooded)  # one of them is sampled
    watched(stream, [scenery(1)] * 40, flooded)
    assert stream.restarts == 0


def test_restless_pixels_need_larger_distances() -> None:
    """Where a mask keeps changing, by the rate of changes; the other planes stay."""
    generator = np.random.default_rng(0)
    frames = [texture(0) for _ in range(40)]
    streams = [SceneStream(Rules(restless=restless, locking=True)) for restless in (0.0, 3.0)]
    masks = [generator.random((32, 48)) < 0.5 for _ in frames]
    for stream in streams:
        for frame, mask in zip(frames, masks, strict=True):
            stream.learn(stream.see(frame), mask)
    shown = frames[0].copy()
    shown[4:20, 4:20] += 40
    plain, calm = (stream.see(shown).planes[:, 6:18, 6:18].astype(float) for stream in streams)
    changed = [name for name, one, other in zip(PLANES, plain, calm, strict=True) if (one != other).any()]
    assert set(changed) == {"nearest locked", "outside locked"}
    assert 0.35 < calm[NEAREST].mean() / plain[NEAREST].mean() < 0.75


# --- the system ------------------------------------------------------------------------------------------------------


def tiny(**settings: Any) -> AnyScene:
    """A system of random weights whose answers are neither all foreground nor all background."""
    torch.manual_seed(4)
    module = AnyScene((4, 6, 8, 10), **settings).eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.add_(0.15 * torch.randn_like(parameter))
    return module


def answers(
    module: AnyScene, frames: Sequence[Bytes], batch: int, context: SceneStream | None = None
) -> NDArray[np.float32]:
    found, context = [], context or module.begin_scene({})
    for start in range(0, len(frames), batch):
        images = torch.from_numpy(np.stack(frames[start : start + batch])).movedim(-1, -3)
        found.append(module.probability(context, {"image": images})[0])
    return torch.cat(found).numpy()


def test_answers_do_not_depend_on_how_frames_are_put_into_batches() -> None:
    frames = video(110)
    one, three, sixteen = (answers(tiny(), frames, batch) for batch in (1, 3, 16))
    assert one.shape == (110, 32, 48)
    assert 0.02 < np.mean(one > 0.5) < 0.98
    np.testing.assert_allclose(three, one, atol=1e-4)
    np.testing.assert_allclose(sixteen, one, atol=1e-4)


def test_answers_do_not_depend_on_later_frames() -> None:
    frames = video(60)
    whole, others = (answers(tiny(), each, 4) for each in (frames, [*frames[:32], *video(28, seed=8)]))
    np.testing.assert_array_equal(whole[:32], others[:32])
    assert not np.array_equal(whole[32:], others[32:])


def test_scenes_know_nothing_of_each_other() -> None:
    module = tiny()
    answers(module, video(40, seed=3), 4)
    np.testing.assert_array_equal(answers(module, video(20), 4), answers(tiny(), video(20), 4))


@pytest.mark.parametrize("saved", [1, 25, 170])
def test_a_scene_is_kept_in_a_file_and_gone_on_with(saved: int, tmp_path: Path) -> None:
    frames, module = video(saved + 30), tiny()
    context = module.begin_scene({})
    answers(module, frames[:saved], 1, context)
    torch.save(context.state_dict(), tmp_path / "scene.pt")
    expected = answers(module, frames[saved:], 1, context)
    other = module.begin_scene({})
    other.load_state_dict(torch.load(tmp_path / "scene.pt", weights_only=True))
    np.testing.assert_array_equal(answers(tiny(), frames[saved:], 1, other), expected)


def test_background_is_shown() -> None:
    module = tiny()
    context = module.begin_scene({})
    assert context.pictures() == {}
    answers(module, [texture(0)] * 30, 4, context)
    expected = texture(0).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(context.pictures()["background"].numpy(), expected, atol=1e-6)


FRAMES: dict[str, list[Bytes]] = {
    "of one pixel": [np.full((1, 1, 3), level, np.uint8) for level in (0, 90, 255)] * 10,
    "of an odd size": video(30, size=(17, 23)),
    "of a row": [np.zeros((1, 70, 3), np.uint8)] * 3,
    "of 1080p": video(3, size=(1080, 1920)),
    "upright": video(3, size=(640, 360)),
    "black": [np.zeros((24, 32, 3), np.uint8)] * 200,
    "frozen": [texture(1)] * 200,
    "white noise": list(np.random.default_rng(0).integers(0, 256, (40, 24, 32, 3), np.uint8)),
    "just one": [texture(1)],
    "of changing sizes": [*video(20), *video(20, size=(17, 23)), *video(2, size=(480, 640)), *video(20)],
}


@pytest.mark.parametrize("kind", FRAMES)
def test_any_frames_have_masks_of_their_size(kind: str) -> None:
    subtractor = Subtractor(System("tiny", tiny()), "cpu")
    for frame in FRAMES[kind]:
        probability = subtractor.probability([frame])
        assert probability.shape == (1, *frame.shape[:2])
        assert np.isfinite(probability).all()
        assert 0 <= probability.min() <= probability.max() <= 1
    assert {*np.unique(subtractor.push([FRAMES[kind][-1]]))} <= {0, 255}


@pytest.mark.parametrize(
    ("size", "worked_on"),
    [
        ((240, 320), (240, 320)),
        ((1, 1), (16, 16)),
        ((17, 23), (16, 16)),
        ((400, 250), (400, 256)),
        ((1080, 1920), (240, 432)),
        ((1920, 1080), (240, 128)),
        ((720, 5760), (240, 1920)),  # the widest that keeps its proportions
        ((20, 401), (96, 1920)),
        ((1, 5000), (16, 1920)),
        ((1, 1_000_000), (16, 1920)),
        ((5000, 1), (240, 16)),
    ],
)
def test_large_frames_are_worked_on_at_a_smaller_size(size: tuple[int, int], worked_on: tuple[int, int]) -> None:
    assert SceneStream(Rules()).see(np.zeros((*size, 3), np.uint8)).planes.shape == (14, *worked_on)


def test_it_needs_no_pool() -> None:
    """Its samples are of the stream itself: nothing warms up, and the newest frames are used."""
    system = System("tiny", tiny())
    assert system.streams
    assert not system.needs_pool
    assert Subtractor(system, "cpu").is_warm


def test_what_there_is_not_cannot_be_hidden() -> None:
    with pytest.raises(UserError, match=r"model\.init_args\.hidden.*'depth'.*motion"):
        AnyScene(hidden=["motion", "depth"])
