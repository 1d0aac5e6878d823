from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data.batches import Draw, EvaluationBatches, TrainingBatches
from bgsub_lightning.datasets import Scene
from bgsub_lightning.splits import FrameSet

Frame = tuple[int, int]


@pytest.fixture
def frames(make_scene: Callable[..., Scene]) -> FrameSet:
    """23 frames of three scenes."""
    return FrameSet.labelled([make_scene("a/x", 10), make_scene("b/y", 1), make_scene("b/z", range(5, 40, 3))])


def drawn(batches: Iterable[list[Draw]]) -> list[Frame]:
    return [(draw.scene, draw.number) for batch in batches for draw in batch]


def everything(frames: FrameSet) -> Counter[Frame]:
    return Counter((scene, number) for scene, numbers in enumerate(frames.numbers) for number in numbers)


def uninterrupted(batches: TrainingBatches, epochs: int) -> list[list[Draw]]:
    return [batches.batch(step) for step in range(epochs * len(batches))]


@pytest.mark.parametrize("batch_size", [1, 4, 5, 23, 50])
def test_every_frame_comes_once_per_epoch(frames: FrameSet, batch_size: int) -> None:
    batches = TrainingBatches(frames, batch_size, seed=3)
    epoch = list(batches)
    assert len(epoch) == len(batches) == -(-23 // batch_size)
    assert Counter(drawn(epoch)) == everything(frames)
    assert all(len(batch) == batch_size for batch in epoch[:-1])


def test_epochs_differ_in_order_and_in_the_seed_of_each_frame(frames: FrameSet) -> None:
    batches = TrainingBatches(frames, 4)
    steps = uninterrupted(batches, 2)
    first, second = steps[: len(batches)], steps[len(batches) :]
    assert drawn(first) != drawn(second)
    assert Counter(drawn(second)) == everything(frames)
    seeds = [{draw[:2]: draw.seed for batch in epoch for draw in batch} for epoch in (first, second)]
    assert all(seeds[0][frame] != seeds[1][frame] for frame in everything(frames))
    assert len(set(seeds[0].values())) == 23


def test_the_seed_decides(frames: FrameSet) -> None:
    assert list(TrainingBatches(frames, 4, seed=1)) == list(TrainingBatches(frames, 4, seed=1))
    assert drawn(TrainingBatches(frames, 4, seed=1)) != drawn(TrainingBatches(frames, 4, seed=2))


def test_scenes_are_mixed(frames: FrameSet) -> None:
    scenes = [scene for scene, _ in drawn(TrainingBatches(frames, 1))]
    assert scenes != sorted(scenes)


@pytest.mark.parametrize("step", range(13))
def test_a_resumed_run_sees_the_rest_of_the_epoch(frames: FrameSet, step: int) -> None:
    length = len(TrainingBatches(frames, 4))
    whole = uninterrupted(TrainingBatches(frames, 4), 4)
    resumed = TrainingBatches(frames, 4, lambda: (step, step % length))
    assert list(resumed) == whole[step : (step // length + 1) * length]


def test_a_resumed_run_crosses_the_edge_of_an_epoch(frames: FrameSet) -> None:
    whole = uninterrupted(TrainingBatches(frames, 4), 3)
    done = 4  # of 6 batches
    resumed = TrainingBatches(frames, 4, lambda: (done, done % 6))
    seen = list(resumed)
    done = 6
    assert seen + list(resumed) == whole[4:12]


@pytest.mark.parametrize(("total", "current", "expected"), [(7, 0, 6), (7, 2, 4), (4, 6, 6), (0, 5, 1), (9, 1, 5)])
def test_the_trainers_epoch_may_begin_anywhere(frames: FrameSet, total: int, current: int, expected: int) -> None:
    """As after an epoch that was cut short: the batches continue by the total, their number is what the epoch lacks."""
    whole = uninterrupted(TrainingBatches(frames, 4), 4)
    assert list(TrainingBatches(frames, 4, lambda: (total, current))) == whole[total : total + expected]


def test_where_the_trainer_is_counts_when_the_pass_begins(frames: FrameSet) -> None:
    reached = (0, 0)
    batches = TrainingBatches(frames, 4, lambda: reached)
    iterator = iter(batches)
    reached = (3, 3)
    assert len(list(iterator)) == 6
    assert len(list(batches)) == 3


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_two_processes_share_the_draw_of_one(frames: FrameSet, batch_size: int) -> None:
    one = list(TrainingBatches(frames, 2 * batch_size))
    ranks = [list(TrainingBatches(frames, batch_size, rank=rank, world_size=2)) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1])
    for ours, first, second in zip(one, *ranks, strict=False):
        assert sorted(ours) == sorted(first + second)
        assert not set(first) & set(second)


@pytest.mark.parametrize("world_size", [2, 3, 4, 5, 7, 22, 23])
@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_processes_have_equally_many_batches_and_no_frame_twice(
    frames: FrameSet, batch_size: int, world_size: int
) -> None:
    ranks = [TrainingBatches(frames, batch_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    epochs = [list(batches) for batches in ranks]
    assert {len(epoch) for epoch in epochs} == {len(ranks[0])}
    assert all(batch for epoch in epochs for batch in epoch)
    seen = Counter(frame for epoch in epochs for frame in drawn(epoch))
    assert max(seen.values()) == 1
    assert 23 - sum(seen.values()) < world_size  # only a last batch that leaves someone without a frame is left out


def test_a_resume_on_two_processes_goes_on_where_both_were(frames: FrameSet) -> None:
    for rank in range(2):
        whole = uninterrupted(TrainingBatches(frames, 2, rank=rank, world_size=2), 2)
        resumed = TrainingBatches(frames, 2, lambda: (8, 2), rank=rank, world_size=2)
        assert list(resumed) == whole[8:12]


@pytest.mark.parametrize("world_size", [1, 24])
def test_too_few_frames_for_a_batch_are_refused(frames: FrameSet, world_size: int) -> None:
    with pytest.raises(UserError, match="frames"):
        list(TrainingBatches(frames if world_size > 1 else FrameSet(), 1, world_size=world_size))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize(
    ("world_size", "whole_scenes"), [*((size, False) for size in range(1, 6)), (1, True), (2, True), (3, True)]
)
class TestEvaluationBatches:
    @pytest.fixture
    def ranks(self, frames: FrameSet, world_size: int, batch_size: int, whole_scenes: bool) -> list[list[list[Draw]]]:
        return [
            list(EvaluationBatches(frames, batch_size, rank, world_size, whole_scenes)) for rank in range(world_size)
        ]

    def test_every_frame_exactly_once(self, frames: FrameSet, ranks: list[list[list[Draw]]]) -> None:
        assert Counter(frame for rank in ranks for frame in drawn(rank)) == everything(frames)

    def test_a_batch_holds_frames_of_one_scene_in_order(self, ranks: list[list[list[Draw]]], batch_size: int) -> None:
        for rank in ranks:
            assert drawn(rank) == sorted(drawn(rank))
            for batch in rank:
                assert 1 <= len(batch) <= batch_size
                assert len({draw.scene for draw in batch}) == 1

    def test_the_first_batch_of_a_scene_opens_it(self, ranks: list[list[list[Draw]]]) -> None:
        for rank in ranks:
            scenes = [batch[0].scene for batch in rank]
            first = [scene not in scenes[:i] for i, scene in enumerate(scenes)]
            assert [[draw.first_in_scene for draw in batch] for batch in rank] == [
                [opens] * len(batch) for batch, opens in zip(rank, first, strict=True)
            ]

    def test_length_is_the_number_of_batches(
        self, frames: FrameSet, ranks: list[list[list[Draw]]], world_size: int, batch_size: int, whole_scenes: bool
    ) -> None:
        lengths = [len(EvaluationBatches(frames, batch_size, r, world_size, whole_scenes)) for r in range(world_size)]
        assert lengths == [len(rank) for rank in ranks]


@pytest.mark.parametrize("world_size", range(1, 6))
def test_frames_are_shared_evenly(frames: FrameSet, world_size: int) -> None:
    shares = [len(drawn(EvaluationBatches(frames, 4, rank, world_size))) for rank in range(world_size)]
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("world_size", range(1, 4))
def test_whole_scenes_stay_with_one_process_from_their_first_frame(frames: FrameSet, world_size: int) -> None:
    owners: dict[int, int] = {}
    for rank in range(world_size):
        mine = drawn(EvaluationBatches(frames, 4, rank, world_size, whole_scenes=True))
        for scene in {scene for scene, _ in mine}:
            assert scene not in owners
            owners[scene] = rank
            assert tuple(number for other, number in mine if other == scene) == frames.numbers[scene]
    assert owners.keys() == set(range(len(frames.scenes)))


@pytest.mark.parametrize("rank", range(4))
def test_more_processes_than_whole_scenes_are_refused(frames: FrameSet, rank: int) -> None:
    message = r"trainer\.devices: must be at most 3, .* got 4\."
    with pytest.raises(UserError, match=message):
        EvaluationBatches(frames, 4, rank, 4, whole_scenes=True)


def test_nothing_gives_no_batch() -> None:
    assert list(EvaluationBatches(FrameSet(), 4)) == []
