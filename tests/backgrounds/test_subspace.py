"""Subspaces against numpy: principal components by the SVD of all frames, an incremental SVD by that of its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundSource
from bgsub_lightning.backgrounds.subspace import Eigenbackground, IncrementalPcp, IncrementalSvd, principal_components
from bgsub_lightning.core.errors import UserError

SIZE = (3, 24, 32)
GREY = 1 / 255


def video(count: int, seed: int = 0, moving: bool = True, light: float = 0.1) -> tuple[Tensor, NDArray[np.float32]]:
    """Frames of 8 bits, shape ``(count, 3, H, W)``, and their backgrounds: a texture under light that comes and goes.

    A bright square moves over all but the first 10 frames.
    """
    generator = np.random.default_rng(seed)
    texture = generator.uniform(0.2, 0.6, SIZE)
    lamp = generator.uniform(0, light, SIZE)
    backgrounds = np.stack([texture + lamp * np.sin(i / 5) for i in range(count)]).astype(np.float32)
    frames = backgrounds.copy()
    for i in range(10 if moving else count, count):
        left, top = 3 * i % (SIZE[2] - 5), 2 * i % (SIZE[1] - 5)
        frames[i, :, top : top + 5, left : left + 5] = 0.95
    return torch.from_numpy(frames).mul(255).round().div(255), backgrounds


def pushed(source: BackgroundSource, images: Tensor) -> Tensor:
    return source.push(source.begin_scene(), images)


def estimated(source: BackgroundSource, images: Tensor) -> Tensor:
    return source.estimate(source.begin_scene(), images)


def by_svd(learnt: Tensor, frame: Tensor, components: int) -> NDArray[Any]:
    """Mean and projection by the SVD of the whole matrix of frames."""
    columns = learnt.flatten(1).double().numpy()
    mean = columns.mean(0)
    _, values, axes = np.linalg.svd(columns - mean, full_matrices=False)
    axes = axes[values > 1e-6][:components]
    return (mean + (frame.flatten().double().numpy() - mean) @ axes.T @ axes).clip(0, 1).reshape(frame.shape)


@pytest.mark.parametrize(("frames", "every", "components"), [(12, 1, 3), (6, 4, 2), (8, 2, 7), (5, 1, 10)])
def test_eigenbackground_is_the_svd_of_the_frames_it_learns_from(frames: int, every: int, components: int) -> None:
    images, _ = video(60)
    source = Eigenbackground(frames, every, components)
    context = source.begin_scene()
    backgrounds = torch.cat([source.push(context, part) for part in (images[:13], images[13:14], images[14:])])
    learnt = images[: frames * every : every]
    for i in range(frames * every, 60, 7):
        expected = by_svd(learnt, images[i], components)
        assert np.abs(source.estimate(context, images[i : i + 1])[0].numpy() - expected).max() < 1e-4
        assert np.abs(backgrounds[i].numpy() - expected).max() <= 0.5 * GREY + 1e-4


def test_before_it_has_seen_them_all_it_is_of_what_there_is() -> None:
    images, _ = video(40)
    backgrounds = estimated(Eigenbackground(16, 2, 2), images)
    for i in (0, 1, 2, 5, 6, 13, 14, 29, 30, 39):  # frames 0, 2, 6, 14 and 30 are the 1st, 2nd, 4th, 8th and 16th taken
        taken = i // 2 + 1
        learnt = images[: 2 * max(k for k in (1, 2, 4, 8, 16) if k <= taken) : 2]
        assert np.abs(backgrounds[i].numpy() - by_svd(learnt, images[i], 2)).max() < 1e-4


def test_what_a_frame_holds_that_is_new_is_no_part_of_its_background() -> None:
    images, truth = video(60)
    backgrounds = pushed(Eigenbackground(10, 1, 1), images)
    assert np.abs(backgrounds[10:].numpy() - truth[10:]).mean() < 0.02
    assert (images[10:] - backgrounds[10:]).abs().amax((1, 2, 3)).min() > 0.3  # the square


def test_components_are_orthonormal_whatever_the_number_of_chunks() -> None:
    generator = np.random.default_rng(0)
    frames = torch.from_numpy(generator.integers(0, 256, (9, 70_001), dtype=np.uint8))
    mean, axes = principal_components(frames, 4)
    assert torch.allclose(axes.T @ axes, torch.eye(4), atol=1e-5)
    columns = frames.double().numpy() / 255
    expected = np.linalg.svd(columns - columns.mean(0), full_matrices=False)[2][:4]
    assert np.abs(mean.numpy() - columns.mean(0)).max() < 1e-6
    assert np.abs(np.abs(np.sum(axes.numpy().T * expected, 1)) - 1).max() < 1e-4


def test_frames_that_do_not_differ_have_no_components() -> None:
    still = video(1)[0].expand(5, -1, -1, -1)
    mean, axes = principal_components((still.flatten(1) * 255).round().byte(), 3)
    assert axes.shape == (still[0].numel(), 0)
    assert torch.equal(mean, still[0].flatten())
    assert torch.equal(pushed(Eigenbackground(4), still), still)


def decomposed(svd: IncrementalSvd) -> NDArray[Any]:
    return (svd.left * svd.values @ svd.right.T).double().numpy()


def columns_of(count: int, rank: int = 6) -> NDArray[Any]:
    generator = np.random.default_rng(1)
    return generator.random((500, rank)) @ generator.random((rank, count))


def require_svd_of(svd: IncrementalSvd, columns: NDArray[Any]) -> None:
    """The same matrix, singular values and spaces as numpy's."""
    left, values, right = np.linalg.svd(columns, full_matrices=False)
    count = len(svd.values)
    scale = values[0]
    assert len(svd) == columns.shape[1]
    assert svd.right.shape == (columns.shape[1], count)
    assert np.abs(svd.values.numpy() - values[:count]).max() < 1e-4 * scale
    assert np.abs(values[count:]).max(initial=0) < 1e-4 * scale
    assert np.abs(decomposed(svd) - columns).max() < 1e-4 * scale
    assert np.abs(svd.last.numpy() - columns[:, -1]).max() < 1e-4 * scale
    for mine, theirs in ((svd.left.numpy(), left), (svd.right.numpy(), right.T)):
        for k in range(count):
            if values[k] > 1e-3 * scale:
                assert abs(abs(mine[:, k] @ theirs[:, k]) - 1) < 1e-4


def tensor(column: NDArray[Any]) -> Tensor:
    return torch.from_numpy(column.astype(np.float32))


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_appending_gives_numpys_svd(rank: int) -> None:
    columns = columns_of(12, rank)
    svd = IncrementalSvd(tensor(columns[:, 0]), 6)
    require_svd_of(svd, columns[:, :1])
    for count in range(2, 13):
        svd.append(tensor(columns[:, count - 1]))
        require_svd_of(svd, columns[:, :count])


def test_replacing_gives_numpys_svd() -> None:
    columns, others = columns_of(8, 3), columns_of(9, 3)[:, ::-1] + 0.1
    svd = IncrementalSvd(tensor(columns[:, 0]), 8)
    for i in range(1, 8):
        svd.append(tensor(columns[:, i]))
        svd.replace(tensor(columns[:, i]), tensor(others[:, i]))
        changed = np.concatenate([columns[:, :1], others[:, 1 : i + 1]], axis=1)
        require_svd_of(svd, changed)
    svd.replace(tensor(others[:, 7]), tensor(columns[:, 0]))  # what is there already adds no rank
    require_svd_of(svd, np.concatenate([changed[:, :-1], columns[:, :1]], axis=1))


def test_dropping_gives_numpys_svd_until_one_is_left() -> None:
    columns = columns_of(9, 4)
    svd = IncrementalSvd(tensor(columns[:, 0]), 9)
    for i in range(1, 9):
        svd.append(tensor(columns[:, i]))
    for first in range(1, 9):
        svd.drop_first()
        require_svd_of(svd, columns[:, first:])


def test_a_first_column_of_zeros() -> None:
    columns = columns_of(4, 3)
    columns[:, 0] = 0
    svd = IncrementalSvd(tensor(columns[:, 0]), 4)
    for i in range(1, 4):
        svd.append(tensor(columns[:, i]))
    require_svd_of(svd, columns)


def test_a_rank_that_does_not_suffice_keeps_the_largest() -> None:
    columns = columns_of(7, 6)
    svd = IncrementalSvd(tensor(columns[:, 0]), 6)
    for i in range(1, 6):
        svd.append(tensor(columns[:, i]))
    svd.rank = 2
    svd.append(tensor(columns[:, 6]))
    left, values, right = np.linalg.svd(columns, full_matrices=False)
    assert np.abs(decomposed(svd) - left[:, :2] * values[:2] @ right[:2]).max() < 1e-4 * values[0]


def test_it_stays_orthonormal_over_a_thousand_frames() -> None:
    generator = np.random.default_rng(2)
    base = generator.random((300, 3))
    svd = IncrementalSvd(tensor(base[:, 0]), 3)
    for _ in range(1000):
        column = tensor(base @ generator.random(3) + 0.05 * generator.random(300))
        svd.append(column)
        svd.replace(column, column * 0.9)
        if len(svd) > 20:
            svd.drop_first()
    assert torch.allclose(svd.left.T @ svd.left, torch.eye(3), atol=1e-4)
    assert torch.allclose(svd.right.T @ svd.right, torch.eye(3), atol=1e-4)


@pytest.mark.parametrize("rank", [1, 2])
def test_pursuit_takes_what_moves_out_of_the_background(rank: int) -> None:
    images, truth = video(90, light=0.03)
    source = IncrementalPcp(rank, window=20)
    context = source.begin_scene()
    backgrounds = torch.cat([source.push(context, part) for part in (images[:50], images[50:])])
    error = (backgrounds[20:] - torch.from_numpy(truth[20:])).abs()
    assert error.mean() < 4 * GREY
    moving = (images[20:] - torch.from_numpy(truth[20:])).abs().amax(1) > 0.2
    found = (images[20:] - backgrounds[20:]).abs().amax(1) > 0.15
    assert (found & moving).sum() / moving.sum() > 0.95
    assert (found & ~moving).sum() / (~moving).sum() < 0.01


def test_turns_leave_less_of_what_moves_than_taking_frames_as_they_are() -> None:
    images, truth = video(60, light=0.0)

    def error(iterations: int) -> float:
        backgrounds = estimated(IncrementalPcp(iterations=iterations, window=20), images)
        return float((backgrounds[15:] - torch.from_numpy(truth[15:])).abs().mean())

    assert error(3) < 0.5 * error(1)


def test_a_pursuit_that_shrinks_nothing_and_forgets_nothing_is_the_plain_svd() -> None:
    images, _ = video(9)
    backgrounds = estimated(IncrementalPcp(rank=9, shrinkage=1.0, window=50, iterations=2), images)
    assert torch.allclose(backgrounds, images, atol=1e-4)


def test_what_is_there_to_stay_gets_into_the_background_at_its_pace() -> None:
    before, _ = video(30, seed=0, moving=False, light=0.0)
    after, _ = video(150, seed=1, moving=False, light=0.0)
    source = IncrementalPcp(window=10)
    context = source.begin_scene()
    source.push(context, before)
    left = (source.push(context, after) - after).abs().amax((1, 2, 3))
    pace = (left[0] - left[80]) / 80
    assert 0.8 < pace / (0.0375 / 10) < 1.3
    assert left[-1] <= GREY + 1e-6


SOURCES = [Eigenbackground(8, 2, 3), IncrementalPcp(2, window=6), IncrementalPcp()]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.fingerprint())
def test_contract_of_a_source(source: BackgroundSource) -> None:
    images, _ = video(30)
    context = source.begin_scene()
    assert context.pictures() == {}
    whole = source.push(context, images)
    assert (whole.shape, whole.dtype) == (images.shape, images.dtype)
    assert float(whole.min()) >= 0
    assert float(whole.max()) <= 1
    assert torch.equal((whole * 255).round() / 255, whole)
    (picture,) = context.pictures().values()
    assert (picture.shape, list(context.pictures())) == (images.shape[1:], ["background"])
    context = source.begin_scene()
    assert torch.equal(torch.cat([source.push(context, images[i : i + 4]) for i in range(0, 30, 4)]), whole)
    half = source.push(source.begin_scene(), images.half())
    assert half.dtype == torch.half
    assert (half.float() - whole).abs().max() <= 3 * GREY
    assert torch.equal(source.push(source.begin_scene(), torch.zeros(3, *SIZE)), torch.zeros(3, *SIZE))
    assert list(source.parameters()) == []
    assert source.state_dict() == {}


def test_fingerprints_of_sources_differ() -> None:
    sources = [
        *(Eigenbackground(), Eigenbackground(100), Eigenbackground(every=2), Eigenbackground(components=9)),
        *(IncrementalPcp(), IncrementalPcp(2), IncrementalPcp(shrinkage=0.1), IncrementalPcp(window=9)),
        IncrementalPcp(iterations=1),
    ]
    assert len({source.fingerprint() for source in sources}) == len(sources)


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (Eigenbackground, {"frames": 0}, "frames: .*got 0"),
        (Eigenbackground, {"every": 0}, "every: .*got 0"),
        (Eigenbackground, {"components": 0}, "components: .*got 0"),
        (IncrementalPcp, {"rank": 0}, "rank: .*got 0"),
        (IncrementalPcp, {"iterations": 0}, "iterations: .*got 0"),
        (IncrementalPcp, {"rank": 3, "window": 2}, r"window: must be at least the rank, 3; got 2"),
        (IncrementalPcp, {"shrinkage": -0.1}, r"shrinkage: .*got -0\.1"),
    ],
)
def test_arguments(source: type[BackgroundSource], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        source(**arguments)
