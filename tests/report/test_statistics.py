"""Two systems over the same videos."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from message_parts import in_order

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.report.results import load_results
from bgsub_lightning.report.series import Series
from bgsub_lightning.report.statistics import compare, comparison_table, comparisons_table
from tests.made_results import cdnet_keys, fold, made, saved

KEYS = cdnet_keys("PTZ")


def pair(folder: Path, *results: TestResult) -> tuple[Series, ...]:
    return load_results(saved(folder, *results)).series


def differences(a: TestResult, b: TestResult, metric: str = "f_measure") -> dict[str, float]:
    ours, theirs = a.scores().videos, b.scores().videos
    return {key: ours[key][metric] - theirs[key][metric] for key in ours}


def signed_rank_p(values: list[float]) -> float:
    """Wilcoxon's two-sided p by going through all signs."""
    ranks = np.argsort(np.argsort(np.abs(values))) + 1
    middle = ranks.sum() / 2
    observed = abs(ranks[np.array(values) > 0].sum() - middle)
    signs = np.array(list(itertools.product((0, 1), repeat=len(values))))
    return float(np.mean(np.abs(signs @ ranks - middle) >= observed - 1e-9))


def test_a_clear_difference(tmp_path: Path) -> None:
    a, b = made("good", KEYS, skill=0.85), made("bad", KEYS, skill=0.75)
    found = compare(*pair(tmp_path, a, b))
    values = np.array(list(differences(a, b).values()))
    assert found.mean == pytest.approx(values.mean())
    assert (len(found.values), found.pairs, found.exact) == (49, 49, True)
    generator = np.random.default_rng(5)  # the plain bootstrap, by hand
    means = generator.choice(values, (20_000, len(values))).mean(1)
    assert found.interval == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.002)
    low, high = found.interval  # type: ignore[misc]
    expected = (
        f"good is better than bad: its F-measure is higher by {found.mean:.4f} (95 % interval {low:.4f} to {high:.4f})"
    )
    assert found.verdict.startswith(f"{expected} over 49 videos; Wilcoxon p = ")
    again = compare(*pair(tmp_path / "again", b, a))
    assert again.mean == pytest.approx(-found.mean)
    assert in_order(
        again.verdict, "good is better than bad", f"F-measure is higher by {found.mean:.4f}", "95 % interval"
    )
    assert compare(*pair(tmp_path / "third", a, b)) == found  # seeded


def test_lower_is_better_for_errors(tmp_path: Path) -> None:
    found = compare(*pair(tmp_path, made("good", KEYS, skill=0.85), made("bad", KEYS, skill=0.75)), "pwc")
    assert found.mean < 0
    assert in_order(found.verdict, "good is better than bad", "PWC (%) is lower by 0.")


def test_no_difference(tmp_path: Path) -> None:
    found = compare(*pair(tmp_path, made("one", KEYS), made("two", KEYS)))
    assert found.interval is not None
    assert found.interval[0] < 0 < found.interval[1]
    assert found.verdict.startswith("No difference is established: ")


@pytest.mark.parametrize("count", [6, 8, 10])
def test_p_is_exact(tmp_path: Path, count: int) -> None:
    a, b = made("one", KEYS[:count], skill=0.81), made("two", KEYS[:count])
    found = compare(*pair(tmp_path, a, b))
    assert found.p_value == pytest.approx(signed_rank_p(list(differences(a, b).values())))


def test_few_videos_say_nothing(tmp_path: Path) -> None:
    found = compare(*pair(tmp_path, made("good", KEYS[:4], skill=0.9), made("bad", KEYS[:4], skill=0.5)))
    assert found.p_value == pytest.approx(2 / 2**4)
    assert found.verdict.startswith("Too few videos to decide: ")
    assert re.search(r"4 pairs .*0\.125.*\b6\b", found.verdict)
    alone = compare(*pair(tmp_path / "alone", made("good", KEYS[:1]), made("bad", KEYS[:1])))
    assert alone.interval is None
    assert "over 1 video; with 1 pair " in alone.verdict


def test_equal_results_do_not_differ(tmp_path: Path) -> None:
    one = made("one", KEYS[:8])
    found = compare(*pair(tmp_path, one, replace(one, name="two", seed=1, system="Other")))
    assert (found.p_value, found.pairs, found.interval) == (None, 0, (0.0, 0.0))
    assert in_order(found.verdict, "one and two do not differ", "8 videos", "F-measure")


def test_ties_are_exact_while_there_are_few(tmp_path: Path) -> None:
    one, two = made("one", KEYS[:7]), made("two", KEYS[:7], system="Other")
    better = {key: replace(video, counts=[900, 50, 50, 9000, 0]) for key, video in one.videos.items()}
    worse = {key: replace(video, counts=[800, 150, 150, 9000, 0]) for key, video in two.videos.items()}
    found = compare(*pair(tmp_path, replace(one, videos=better), replace(two, videos=worse)))
    assert (found.p_value, found.exact) == (pytest.approx(2 / 2**7), True)


def test_by_category(tmp_path: Path) -> None:
    a, b = made("good", KEYS, skill=0.85), made("bad", KEYS, skill=0.75)
    found = compare(*pair(tmp_path, a, b), by_category=True)
    of_videos = differences(a, b)
    categories = sorted({key.split("/")[0] for key in of_videos})
    groups = [[value for key, value in of_videos.items() if key.startswith(f"{each}/")] for each in categories]
    assert found.mean == pytest.approx(np.mean([np.mean(group) for group in groups]))
    overall = a.scores().overall["f_measure"] - b.scores().overall["f_measure"]
    assert found.mean == pytest.approx(overall)
    generator = np.random.default_rng(1)  # two steps, one draw after the other
    means = [
        np.mean([generator.choice(groups[i], len(groups[i])).mean() for i in generator.integers(10, size=10)])
        for _ in range(4_000)
    ]
    assert found.interval == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.003)
    assert "over 49 videos of 10 categories" in found.verdict
    table = comparison_table(found)
    assert table.rows[-1].cells[1].value == pytest.approx(a.scores().overall["f_measure"])


def test_seeds_are_averaged(tmp_path: Path) -> None:
    ours = [made(f"ours_seed_{seed}", KEYS, seed, 0.85, seed=seed) for seed in (0, 1)]
    theirs = made("theirs", KEYS, system="Other")
    found = compare(*pair(tmp_path, *ours, theirs))
    means = [np.mean(list(differences(each, theirs).values())) for each in ours]
    assert found.mean == pytest.approx(np.mean(means))
    assert any(in_order(remark, "ours: ", "2 seeds") for remark in found.remarks)


def test_tables(tmp_path: Path) -> None:
    a, b, c = (made(name, KEYS, skill=skill) for name, skill in (("a", 0.8), ("b", 0.7), ("c", 0.8)))
    series = pair(tmp_path, a, b, c)
    found = [compare(series[0], other) for other in series[1:]]
    table = comparison_table(found[0])
    values = [row.cells[3].value for row in table.rows[:-1]]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert table.rows[-1].cells[3].value == found[0].mean
    assert table.remarks[0] == found[0].verdict
    better = sum(value > 0 for value in differences(a, b).values())
    assert in_order(table.remarks[1], "a ", f"better in {better} of 49 videos")
    both = comparisons_table(found)
    assert [row.cells[0].text for row in both.rows] == ["b", "c"]
    assert both.rows[0].cells[2].value == found[0].interval[0]  # type: ignore[index]
    assert both.rows[0].cells[5].value == better


def test_what_training_has_seen_is_shown(tmp_path: Path) -> None:
    seen = made("seen", KEYS, leakage="seen scenes, unseen frames")
    found = compare(*pair(tmp_path, seen, made("unseen", KEYS)))
    (remark,) = found.remarks
    assert in_order(remark, "seen: seen scenes, unseen frames; unseen: unseen scenes")


def frames_csv(folder: Path, rows: list[tuple[str, int, int]]) -> None:
    lines = [f"{video},{frame},{is_test}\n" for video, frame, is_test in rows]
    (folder / "frames.csv").write_text("video,frame,is_test\n" + "".join(lines))


def test_only_the_same_frames_are_compared(tmp_path: Path) -> None:
    first, other = pair(tmp_path, made("first", ["a/x"]), made("other", ["a/x", "a/y"]))
    with pytest.raises(UserError, match=r"first .*other .*\(a/y\)"):
        compare(first, other)
    (limu,) = pair(tmp_path, made("limu", ["a/x"], dataset="LIMU"))
    with pytest.raises(UserError, match="on different datasets"):
        compare(first, limu)
    (halves,) = pair(tmp_path, made("halves", ["a/x"], protocol="the first half"))
    with pytest.raises(UserError, match=r"different protocols .*frames\.csv"):
        compare(first, halves)
    frames_csv(tmp_path / "first", [("a/x", 1, 1), ("a/x", 2, 0)])
    frames_csv(tmp_path / "halves", [("a/x", 1, 1)])
    assert compare(first, halves).remarks[0].startswith("Protocols differ")
    frames_csv(tmp_path / "halves", [("a/x", 2, 1)])
    with pytest.raises(UserError, match=r"first and halves .*\(a/x; .*frames\.csv"):
        compare(first, halves)
    (tmp_path / "halves" / "frames.csv").write_text("nothing\n1\n")
    with pytest.raises(UserError, match=r"frames\.csv: .*video.*frame"):
        compare(first, halves)
    (tmp_path / "halves" / "frames.csv").write_text("video,frame,headline\na/x,1,0\n")  # as it was before
    with pytest.raises(UserError, match=r"frames\.csv: headline: "):
        compare(first, halves)


def test_all_labelled_frames_are_the_same_frames(tmp_path: Path) -> None:
    key, frames = "baseline/highway", 1700 - 470 + 1
    results = [made(name, [key], system=name, protocol=name) for name in ("run", "masks")]
    whole = [replace(each, videos={key: replace(each.videos[key], frames=frames)}) for each in results]
    assert len(compare(*pair(tmp_path / "whole", *whole)).values) == 1
    fewer = [replace(each, videos={key: replace(each.videos[key], frames=frames - 1)}) for each in results]
    with pytest.raises(UserError, match=r"run and masks .*protocols \(run; masks\)"):
        compare(*pair(tmp_path / "fewer", *fewer))


def test_what_lacks_a_figure(tmp_path: Path) -> None:
    older = made("older", ["a/x"])
    videos = {key: replace(video, dice=[]) for key, video in older.videos.items()}
    with pytest.raises(UserError, match=r"older: .*scores\.json.*Mean Dice"):
        compare(*pair(tmp_path, made("new", ["a/x"]), replace(older, videos=videos)), "mean_dice")


def test_parts_can_be_compared(tmp_path: Path) -> None:
    both = pair(tmp_path, fold(1), replace(fold(1, name="other"), system="Other"))
    found = compare(*both)
    assert len(found.values) == 2
    assert in_order(found.remarks[0], "fold_1", "fold 2 of 3, fold 3 of 3")


def test_precision_is_compared_where_both_found_something(tmp_path: Path) -> None:
    one, other = made("one"), made("other", system="Other")
    mute = replace(one.videos["a/x"], counts=[0, 0, 100, 900, 0])
    found = compare(*pair(tmp_path, replace(one, videos=one.videos | {"a/x": mute}), other), "precision")
    assert set(found.values) == set(one.videos) - {"a/x"}
    assert "1 of 6 videos" in found.remarks[0]
