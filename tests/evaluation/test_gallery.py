"""Which frames of a test are kept to be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation.gallery import GalleryFrame, Kept, chosen, joined, read_gallery, write_index


def frames(seed: int, videos: tuple[str, ...] = ("a/x", "a/y", "b/z"), count: int = 30) -> list[GalleryFrame]:
    generator = np.random.default_rng(seed)
    drawn = [
        GalleryFrame(video, number, (*map(int, generator.integers(0, 4, 3)), 90, 0))
        for video in videos
        for number in range(count)
    ]
    return [drawn[i] for i in generator.permutation(len(drawn))]


def f_measure(counts: tuple[int, ...]) -> float:
    tp, fp, fn = counts[:3]
    return 2 * tp / (2 * tp + fp + fn)


@pytest.mark.parametrize("seed", range(5))
def test_rules_against_sorting_by_hand(seed: int) -> None:
    everything = frames(seed)
    found = chosen(everything)
    assert [rule for rule, _ in found] == ["best", "median", "worst", "most foreground"] * 2
    for i, category in enumerate("ab"):
        rows = [
            (f.video, f.number, f.counts) for f in everything if f.video[0] == category and f.counts[0] + f.counts[2]
        ]
        by_f = sorted(rows, key=lambda row: (f_measure(row[2]), row[0], row[1]))
        best = sorted(rows, key=lambda row: (-f_measure(row[2]), -row[2][0], row[0], row[1]))[0]
        worst = sorted(rows, key=lambda row: (f_measure(row[2]), -row[2][1] - row[2][2], row[0], row[1]))[0]
        most = sorted(rows, key=lambda row: (-row[2][0] - row[2][2], row[0], row[1]))[0]
        expected = [best, by_f[(len(by_f) - 1) // 2], worst, most]
        assert [(f.video, f.number, f.counts) for _, f in found[4 * i : 4 * i + 4]] == expected


def test_frames_without_foreground_are_no_candidates() -> None:
    empty = [GalleryFrame("a/x", 1, (0, 0, 0, 9, 0)), GalleryFrame("a/x", 2, (0, 5, 0, 4, 0))]
    assert chosen(empty) == []
    one = GalleryFrame("a/x", 3, (1, 0, 3, 5, 0))
    assert chosen([*empty, one]) == [(rule, one) for rule in ("best", "median", "worst", "most foreground")]


def test_index_round_trip_and_folds_together(tmp_path: Path) -> None:
    everything = frames(0)
    parts = {"one": [f for f in everything if f.video == "a/x"], "two": [f for f in everything if f.video != "a/x"]}
    for name, part in parts.items():
        write_index(tmp_path / name, chosen(part))
        read = read_gallery(tmp_path / name)
        assert [(kept.rule, GalleryFrame(kept.video, kept.number, kept.counts)) for kept in read] == chosen(part)
        assert read[0].picture("frame") == tmp_path / name / read[0].video / f"{read[0].number:06d}_frame.jpg"
    both = joined([read_gallery(tmp_path / name) for name in parts])
    whole = chosen(everything)
    assert [kept.rule for kept in both] == [rule for rule, _ in whole]
    for kept, (rule, frame) in zip(both, whole, strict=True):
        if rule != "median":
            assert (kept.video, kept.number) == (frame.video, frame.number)
        else:
            assert kept in [Kept(k.video, k.number, k.counts, "median", k.folder) for k in read_gallery(kept.folder)]


def test_no_gallery_is_none_and_a_broken_one_is_reported(tmp_path: Path) -> None:
    assert read_gallery(tmp_path) == []
    for text in ("rule,video\nbest,a/x\n", "rule,video,frame,TP,FP,FN,TN,SE\nnicest,a/x,1,1,1,1,1,1\n"):
        (tmp_path / "gallery.csv").write_text(text)
        with pytest.raises(UserError, match=r"gallery\.csv: "):
            read_gallery(tmp_path)
