"""Backgrounds of a stream are those of the window that its documentation names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundContext, BackgroundSource
from bgsub_lightning.backgrounds.classical import Mog2Background, TemporalMedian
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.cdn_medal.background import (
    BlockWindow,
    DensityBackground,
    DensityContext,
    FrameWindow,
    MixtureWindow,
)
from bgsub_lightning.systems.cdn_medal.cdn_gm import CdnGm, Mixture

HEIGHT, WIDTH = 4, 5
FRAMES = 300
LONG = 1500

ROUNDING = 1e-5
"""Tolerance between stream and window. Both add up the same products, 35 or fewer per output and layer, in another
order; values are of the order of 1, which single precision keeps to 6e-8: a hundred such roundings in four layers."""


def network(history: int = 245, components: int = 3) -> CdnGm:
    """A network whose mixtures differ from pixel to pixel and from window to window: no output is saturated."""
    torch.manual_seed(0)
    net = CdnGm(components, history).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for layer in (net.pointwise1, net.pointwise2):
            layer.weight.mul_(3)
            layer.bias.add_(0.2)
        features = net.groups(net.blocks(stream_of(245).flatten(2))).transpose(-2, -3).flatten(-3, -2)
        for head in (net.weights, net.spreads, net.means):
            head.weight.mul_(3)
            head.bias.copy_(-(head.weight @ features).mean(1))
    return net


def stream_of(count: int = FRAMES, seed: int = 0) -> Tensor:
    """Frames of 8 bits, shape ``(count, 3, H, W)``: noise around a level that wanders; more begin with the same."""
    generator = np.random.default_rng(seed)
    level = 128 + np.cumsum(generator.normal(0, 6, (LONG, 3, 1, 1)), axis=0)
    noise = generator.normal(0, 40, (LONG, 3, HEIGHT, WIDTH))
    return torch.from_numpy(np.clip(level + noise, 0, 255).astype(np.uint8))[:count].float().div_(255)


def window_numbers(seen: int, history: int) -> list[int]:
    """The frames of the window after ``seen`` frames, by the documented rule; frame 0 is the scene's first."""
    end = seen // 7 * 7 or 1  # the complete blocks; before the first of them the first frame alone
    if end >= history:
        return list(range(end - history, end))
    numbers: list[int] = []
    while len(numbers) < history:  # what there is, again and again, towards the past
        numbers = [*range(end), *numbers]
    return numbers[-history:]


@torch.no_grad()
def whole(net: CdnGm, frames: Tensor, seen: int, history: int | None = None) -> Mixture:
    window = frames[window_numbers(seen, history or net.history)]
    mixture: Mixture = net(window.flatten(2))
    return mixture


@torch.no_grad()
def streamed(window: MixtureWindow, net: CdnGm, frames: Tensor) -> Iterator[Mixture]:
    """The mixture after each frame, and where it may change."""
    newest = None
    for position, frame in enumerate(frames):
        given = window.push(net, frame.flatten(1))
        assert (given is not None) == (position == 0 or (position + 1) % 7 == 0)
        newest = given or newest
        assert newest is not None
        yield newest


def assert_close(found: Mixture, expected: Mixture, what: str) -> None:
    for name, mine, reference in zip(Mixture._fields, found, expected, strict=True):
        assert mine.shape == reference.shape
        assert (mine - reference).abs().max() <= ROUNDING, f"{name} {what}"
    assert (found.log_weights.exp() - expected.log_weights.exp()).abs().max() <= ROUNDING


def test_the_windows_of_the_rule() -> None:
    assert set(window_numbers(1, 245)) == set(window_numbers(6, 245)) == {0}
    assert window_numbers(7, 245) == list(range(7)) * 35
    assert window_numbers(20, 245)[-21:] == [*range(7, 14), *range(14)]
    assert window_numbers(251, 245) == list(range(245))
    assert window_numbers(252, 245) == list(range(7, 252))
    assert window_numbers(239, 240)[:3] == [236 % 238, 237, 0]


def test_mixtures_of_this_test_differ() -> None:
    """So that equality says something."""
    net, frames = network(), stream_of()
    mixtures = [whole(net, frames, seen) for seen in (1, 7, 100, 245, 252, 300)]
    for part in range(3):
        parts = torch.stack([mixture[part] for mixture in mixtures])
        assert parts.std(0).mean() > 100 * ROUNDING
        assert parts.std(-1).mean() > 100 * ROUNDING
    assert len({tuple(mixture.background().flatten().tolist()) for mixture in mixtures}) == 6


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("components", [1, 3])
def test_blocks_that_are_kept_give_the_whole_window(components: int, seed: int) -> None:
    net, frames = network(components=components), stream_of(seed=seed)
    for seen, mixture in enumerate(streamed(BlockWindow(), net, frames), start=1):
        assert_close(mixture, whole(net, frames, seen), f"after {seen} frames")


@pytest.mark.parametrize("history", [245, 240])
def test_the_stream_of_windows(history: int) -> None:
    net, frames = network(history), stream_of()
    for seen, mixture in enumerate(streamed(FrameWindow(history), net, frames), start=1):
        assert_close(mixture, whole(net, frames, seen), f"after {seen} frames")


def test_windows_may_move_by_a_frame() -> None:
    net, frames = network(), stream_of(260)
    window = FrameWindow(net.history, every=1)
    with torch.no_grad():
        for seen, frame in enumerate(frames, start=1):
            mixture = window.push(net, frame.flatten(1))
            assert mixture is not None
            if seen in (1, 2, 3, 100, 244, 245, 246, 260):
                numbers = [i if i >= 0 else i % seen for i in range(seen - 245, seen)]
                assert_close(mixture, net(frames[numbers].flatten(2)), f"after {seen} frames")


def test_large_images_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    net, frames = network(), stream_of(20)
    expected = list(streamed(FrameWindow(net.history), net, frames))
    monkeypatch.setattr("bgsub_lightning.systems.cdn_medal.background._PIXELS", 3)
    for mine, reference in zip(streamed(FrameWindow(net.history), net, frames), expected, strict=True):
        assert_close(mine, reference, "in parts of 3 pixels")


def test_a_long_stream_stays_exact() -> None:
    """Kept values are not summed up: nothing drifts."""
    net, frames = network(), stream_of(LONG, seed=5)
    mixtures = list(streamed(BlockWindow(), net, frames))
    for seen in (1000, 1491, 1497, LONG):
        assert_close(mixtures[seen - 1], whole(net, frames, seen), f"after {seen} frames")


def test_a_stream_keeps_a_bounded_number_of_blocks() -> None:
    window = BlockWindow()
    for _ in streamed(window, network(), stream_of()):
        assert len(window.frames) < 7
        assert len(window.blocks) <= 35
        assert len(window.groups) <= 29
    assert len(window.blocks) == 6


# --- the source of backgrounds ---------------------------------------------------------------------------------------


def density(history: int = 245) -> DensityBackground:
    source = DensityBackground(history=history)  # type: ignore[arg-type]
    source.network.load_state_dict(network().state_dict())
    return source.eval()


@torch.no_grad()
def pushed(
    source: BackgroundSource,
    frames: Tensor,
    sizes: list[int] | None = None,
    context: BackgroundContext | None = None,
) -> Tensor:
    chunks, context = frames.split(sizes if sizes else len(frames)), context or source.begin_scene()
    backgrounds = torch.cat([source.push(context, chunk) for chunk in chunks])
    assert backgrounds.shape == frames.shape
    assert backgrounds.dtype == frames.dtype
    return backgrounds


def chunkings(count: int) -> list[list[int]]:
    generator = np.random.default_rng(2)
    cuts = [sorted(generator.choice(np.arange(1, count), min(k, count - 1), replace=False)) for k in (1, 5, 40)]
    return [[int(size) for size in np.diff([0, *cut, count])] for cut in cuts] + [[1] * count]


def levels(images: Tensor) -> Tensor:
    """The grey levels of images that are of 8 bits."""
    whole_levels = (images * 255).round()
    assert torch.equal(whole_levels / 255, images)
    return whole_levels.int()


@pytest.mark.parametrize("history", [245, 240])
def test_backgrounds_are_those_of_the_window_in_8_bits(history: int) -> None:
    source, frames = density(history), stream_of()
    found = levels(pushed(source, frames))
    net = network(history)
    expected = torch.stack([whole(net, frames, seen).background() for seen in range(1, FRAMES + 1)])
    difference = (found - (expected.view_as(frames) * 255).round().int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.001  # values that lie on the edge between two levels


def test_both_streams_give_the_same_backgrounds() -> None:
    source, frames = density(), stream_of()
    blocks = levels(pushed(source, frames))
    windows = levels(pushed(source, frames, context=DensityContext(FrameWindow(245))))
    difference = (windows - blocks).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.001


@pytest.mark.parametrize("count", [1, 2, 6, 7, 8, 13, 100, 244, 245, 246])
def test_short_scenes(count: int) -> None:
    """Shorter than a block, than the window, and just as long."""
    net, frames = network(), stream_of(count, seed=3)
    mixtures = list(streamed(BlockWindow(), net, frames))
    for seen in range(1, count + 1):
        assert_close(mixtures[seen - 1], whole(net, frames, seen), f"after {seen} frames")
    assert torch.equal(pushed(density(), frames), pushed(density(), stream_of(FRAMES, seed=3)[:count]))


SOURCES: dict[str, Callable[[], BackgroundSource]] = {
    "density": density,
    "density of 240": lambda: density(240),
    "median": lambda: TemporalMedian(30, 7),
    "MOG2": Mog2Background,
}
EACH = pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())


@EACH
@pytest.mark.parametrize("chunking", range(4))
def test_chunks_do_not_matter(make: Callable[[], BackgroundSource], chunking: int) -> None:
    frames = stream_of(120)
    assert torch.equal(pushed(make(), frames, chunkings(120)[chunking]), pushed(make(), frames))


@EACH
def test_scenes_know_nothing_of_each_other(make: Callable[[], BackgroundSource]) -> None:
    frames, source = stream_of(60, seed=1), make()
    first, second = source.begin_scene(), source.begin_scene()
    assert first.pictures() == {}
    found = []
    for part, others in zip(frames.split(7), stream_of(63, seed=9).split(7), strict=True):
        found.append(source.push(first, part))
        source.push(second, others)
    assert torch.equal(torch.cat(found), pushed(make(), frames))


@EACH
@pytest.mark.parametrize("start", [1, 6, 7, 33, 250])
def test_a_stream_may_start_anywhere(make: Callable[[], BackgroundSource], start: int) -> None:
    """Blocks are counted from the first frame that it is shown."""
    frames = stream_of()[start:]
    moved = torch.cat([frames[:40]])
    assert torch.equal(pushed(make(), frames)[:40], pushed(make(), moved))
    if make is density:
        net = network()
        for seen, mixture in enumerate(streamed(BlockWindow(), net, frames), start=1):
            assert_close(mixture, whole(net, frames, seen), f"{seen} frames after frame {start}")


@EACH
def test_backgrounds_are_of_8_bits_and_memory_format_does_not_matter(make: Callable[[], BackgroundSource]) -> None:
    frames = stream_of(30)
    expected = pushed(make(), frames)
    levels(expected)
    last = frames.movedim(1, -1).contiguous().movedim(-1, 1)
    assert torch.equal(pushed(make(), last), expected)


@EACH
def test_pictures_are_of_the_last_frame(make: Callable[[], BackgroundSource]) -> None:
    source, frames = make(), stream_of(30)
    context = source.begin_scene()
    backgrounds = pushed(source, frames, context=context)
    pictures = context.pictures()
    torch.testing.assert_close(pictures["background"], backgrounds[-1], rtol=0, atol=0.5 / 255 + 1e-6)
    for picture in pictures.values():
        assert picture.shape[-2:] == (HEIGHT, WIDTH)
        assert 0 <= picture.min() <= picture.max() <= 1 + 1e-6


def test_pictures_of_the_mixture() -> None:
    source, frames = density(), stream_of(30)
    context = source.begin_scene()
    pushed(source, frames, context=context)
    pictures, mixture = context.pictures(), whole(network(), frames, 30)
    names = [f"{what} of component {k}" for what in ("weight", "spread") for k in (1, 2, 3)]
    assert list(pictures) == ["background", *names]
    for k in range(3):
        weight, spread = pictures[f"weight of component {k + 1}"], pictures[f"spread of component {k + 1}"]
        torch.testing.assert_close(weight.flatten(), mixture.log_weights[k].exp(), rtol=0, atol=ROUNDING)
        torch.testing.assert_close(spread.flatten() * 32 / 255, mixture.spreads[k], rtol=0, atol=ROUNDING)


def test_fingerprints_cover_weights_and_settings() -> None:
    first, same = density(), density()
    assert first.fingerprint() == same.fingerprint()
    with torch.no_grad():
        same.network.means.bias[0] += 1e-6
    variance = DensityBackground(spread="variance")
    variance.network.load_state_dict(first.network.state_dict())
    steep = DensityBackground(slope=0.5)
    steep.network.load_state_dict(first.network.state_dict())
    sources = [first, same, density(240), variance, steep]
    sources += [TemporalMedian(), TemporalMedian(240), TemporalMedian(245, 5), Mog2Background()]
    assert len({source.fingerprint() for source in sources}) == len(sources)


def test_fingerprint_of_half_precision() -> None:
    assert density().bfloat16().fingerprint() != density().fingerprint()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_of_another_precision(dtype: torch.dtype) -> None:
    frames = stream_of(30)
    found = pushed(density().to(dtype), frames.to(dtype))
    assert (found.float() - pushed(density(), frames)).abs().mean() < 0.05


# --- without learning ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("history", "every"), [(245, 7), (30, 7), (21, 7), (5, 1), (9, 4), (1, 1)])
def test_median_against_numpy(history: int, every: int) -> None:
    frames = stream_of(280)
    found = levels(pushed(TemporalMedian(history, every), frames)).numpy()
    values = levels(frames).numpy()
    for seen in (1, 2, every, every + 1, 2 * every + 1, 100, 279, 280):
        taken = [number for number in range(seen) if number % every == 0]
        newest = values[taken[-math.ceil(history / every) :]]
        lower_median = np.sort(newest, axis=0)[(len(newest) - 1) // 2]
        np.testing.assert_array_equal(found[seen - 1], lower_median, f"after {seen} frames")


@pytest.mark.parametrize(
    ("history", "every", "message"),
    [(5, 0, "every: .*5; got 0"), (5, 6, "every: .*5; got 6"), (0, 1, "history: .*got 0")],
)
def test_median_of_nothing_is_refused(history: int, every: int, message: str) -> None:
    with pytest.raises(UserError, match=rf"TemporalMedian\.{message}"):
        TemporalMedian(history, every)


def test_mog2_is_opencvs() -> None:
    frames = stream_of(60)
    found = levels(pushed(Mog2Background(), frames, [20, 1, 39])).numpy()
    model = cv2.createBackgroundSubtractorMOG2()
    for frame, background in zip(levels(frames).numpy().astype(np.uint8), found, strict=True):
        model.apply(np.ascontiguousarray(frame.transpose(1, 2, 0)))
        np.testing.assert_array_equal(background.transpose(1, 2, 0), model.getBackgroundImage())
