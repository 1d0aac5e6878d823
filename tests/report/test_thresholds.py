"""A test seen at another threshold than its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from message_parts import in_order
from rich.console import Console
from rich.table import Table

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.metrics import DICE_UNITS, THRESHOLDS, dice_counts, metrics, scores
from bgsub_lightning.report.merge import merged
from bgsub_lightning.report.terminal import spread, table
from bgsub_lightning.report.thresholds import at_threshold
from tests.made_results import result_of


def frames(seed: int, count: int = 5) -> np.ndarray:
    """TP, FP, FN, TN of frames at each threshold, shape (frames, 101, 4), the last frame without foreground."""
    generator = np.random.default_rng(seed)
    falling = np.sort(generator.random((2, count, 101)))[..., ::-1]
    moving, static = falling ** np.array([0.5, 6])[:, None, None]
    tp, fp = np.rint(moving * 100).astype(int), np.rint(static * 900).astype(int)
    tp[-1] = 0
    positive = np.where(np.arange(count) < count - 1, 100, 0)[:, None]
    return np.stack([tp, fp, positive - tp, 900 - fp], -1)


def video(seed: int, own: int = 50) -> VideoResult:
    rows = torch.from_numpy(frames(seed))
    counts, dice = rows.sum(0).tolist(), dice_counts(rows).sum(0).tolist()
    return VideoResult(
        [*counts[own], 0],
        len(rows),
        "unseen scenes",
        threshold_counts=counts,
        dice=dice[own],
        threshold_dice=dice,
    )


def result(name: str, videos: dict[str, VideoResult]) -> TestResult:
    own = {"system": "ThresholdedDifference", "protocol": "the first half for training"}
    return result_of(name, videos, **own, threshold=0.5)


def two(name: str = "x", **changes: Any) -> TestResult:
    """Two categories, of two videos and of one."""
    whole = result(name, {"a/one": video(0), "a/two": video(1), "b/one": video(2)})
    return replace(whole, **changes)


def shown(content: Table) -> str:
    console = Console(width=220)
    with console.capture() as capture:
        console.print(content)
    return capture.get()


@pytest.mark.parametrize("averaging", ["video", "pooled"])
def test_figures_are_those_of_the_frames_at_that_threshold(averaging: Any) -> None:
    there = at_threshold(two(), 0.2, averaging)
    rows = [frames(seed)[:, 20] for seed in range(3)]
    dice = [2 * each[:-1, 0] / (2 * each[:-1, 0] + each[:-1, 1] + each[:-1, 2]) for each in rows]
    found = there.scores(averaging)
    assert found == two().scores_at_thresholds(averaging)[20]
    assert found.categories["b"]["f_measure"] == metrics(rows[2].sum(0))["f_measure"]
    first = np.concatenate(dice[:2]).mean() if averaging == "pooled" else (dice[0].mean() + dice[1].mean()) / 2
    assert found.categories["a"]["mean_dice"] == pytest.approx(first)
    assert found.overall["mean_dice"] == pytest.approx((first + dice[2].mean()) / 2)
    assert there.threshold == 0.2
    assert (there.name, there.remark) == ("x at 0.20", "Threshold 0.20; tested at 0.5.")
    assert at_threshold(two(), 0.5).scores() == two().scores()


@pytest.mark.parametrize("averaging", ["video", "pooled"])
@pytest.mark.parametrize("largest", [0.1, 1.0])
def test_the_best_is_chosen_on_the_test_frames_and_says_so(averaging: Any, largest: float) -> None:
    curve = [each.overall["f_measure"] for each in two().scores_at_thresholds(averaging)]
    best = int(np.argmax(curve[: 11 if largest == 0.1 else 101]))
    there = at_threshold(two(remark="Pasted."), "best", averaging, largest)
    assert there.threshold == THRESHOLDS[best]
    assert there.scores(averaging).overall["f_measure"] == curve[best]
    assert there.name == f"x at best {THRESHOLDS[best]:.2f}"
    output = shown(table([there, at_threshold(two("y"), "best", averaging, largest)], averaging=averaging))
    assert "Pasted." in output
    assert re.search(rf"Threshold {best / 100:.2f}, .*test frames", output)
    assert f"F of y at best {THRESHOLDS[best]:.2f}" in output


@pytest.mark.parametrize(("asked", "nearest"), [(0.064, 0.06), (0.066, 0.07), (0.999, 0.99), (0.0, 0.0), (0.06, 0.06)])
def test_the_nearest_stored_threshold_is_taken_and_shown(asked: float, nearest: float) -> None:
    there = at_threshold(two(), asked)
    assert there.threshold == nearest
    assert (f"nearest to {asked}" in there.remark) == (asked != nearest)


def test_what_is_not_counted_at_other_thresholds_is_left_out() -> None:
    more = replace(video(0), draws=[[1, 1, 1, 1, 0]] * 2, counts_with_training=[9, 9, 9, 9, 0], frames_with_training=9)
    whole = two(videos={"a/one": more})
    assert whole.training_frames == 4
    there = at_threshold(whole, 0.3)
    assert (there.training_frames, there.scores_of_draws()) == (0, [])
    older = two(videos={"a/one": replace(more, threshold_dice=[])}, threshold=None)
    assert "mean_dice" not in at_threshold(older, 0.3).scores().overall
    assert at_threshold(older, 0.3).remark == "Threshold 0.30."


@pytest.mark.parametrize(
    ("changes", "threshold", "largest", "message"),
    [
        ({}, 1.0, 1.0, r"--threshold: .*'best'.* got 1\.0"),
        ({}, -0.1, 1.0, "--threshold: .* got -0.1"),
        ({}, float("nan"), 1.0, "--threshold: .* got nan"),
        ({}, "best", 0.0, r"--curve_to: .* 0\.01 to 1; got 0\.0"),
        ({"videos": {}}, "best", 1.0, "x: no frame was scored"),
        ({"videos": {"a/one": replace(video(0), threshold_counts=[])}}, 0.3, 1.0, "x: .* no counts at other .* again."),
    ],
)
def test_what_cannot_be_shown(changes: dict[str, Any], threshold: Any, largest: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        at_threshold(two(**changes), threshold, "video", largest)


def test_parts_of_a_whole_may_have_other_thresholds() -> None:
    first, second = (result(name, {f"{name}/one": video(0)}) for name in ("a", "b"))
    assert merged([first, second], "both").threshold == 0.5
    assert merged([first, replace(second, threshold=0.4)], "both").threshold is None
    whole = merged([first, second], "both")
    assert whole.scores().overall["mean_dice"] == first.scores().overall["mean_dice"]


def test_table_shows_mean_dice_by_either_rule_and_beside() -> None:
    first, second = two(), replace(two("y"), videos={key: video(7) for key in two().videos})
    for include_empty, name in ((False, "mean_dice"), (True, "mean_dice_include_empty")):
        output = shown(table([first, second], True, "pooled", include_empty, "mean_dice"))
        assert "Dice of y" in output
        lines = [line.split() for line in output.splitlines()]
        scores, others = first.scores("pooled"), second.scores("pooled")
        for key, one, other in (
            ("overall", scores.overall, others.overall),
            ("two", scores.videos["a/two"], others.videos["a/two"]),
            ("all frames", scores.all_frames, others.all_frames),
        ):
            (line,) = (line for line in lines if line[: len(key.split())] == key.split())
            assert line[-2:] == [f"{one[name]:.4f}", f"{other[name]:.4f}"]
        assert ("false alarms" in output) == include_empty
        assert "all of a category's frames" in output
    assert scores.overall["mean_dice"] > scores.overall["mean_dice_include_empty"]
    by_video = shown(table([first, second], averaging="video", beside="pwc"))
    assert "PWC of y" in by_video
    assert f"{second.scores().overall['pwc']:.3f}" in by_video
    assert "all frames" not in by_video
    assert "a video's frames" in by_video


def test_files_of_earlier_versions_have_no_mean_dice(tmp_path: Path) -> None:
    two().save(tmp_path / "scores.json")
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["metrics"]["overall"]["mean_dice"] == two().scores().overall["mean_dice"]
    assert TestResult.load(tmp_path) == two()
    del content["threshold"], content["metrics"]["all_frames"]
    for each in content["videos"].values():
        del each["dice"], each["threshold_dice"], each["dice_with_training"]
    (tmp_path / "older.json").write_text(json.dumps(content))
    older = TestResult.load(tmp_path / "older.json")
    assert older.threshold is None
    assert older.scores() == scores({key: each.counts for key, each in two().videos.items()})
    assert "Dice" not in shown(table([older, two()]))
    assert "Dice" in shown(table([two(), older]))
    for options in ({"include_empty": True}, {"beside": "mean_dice"}):
        with pytest.raises(UserError, match=r"x: .*scores.json.*Mean Dice"):
            table([two(), older], **options)  # type: ignore[arg-type]


def test_spread_over_seeds_has_mean_dice() -> None:
    both = [two(), replace(two(videos={key: video(5) for key in two().videos}), seed=1)]
    values = [each.scores().overall["mean_dice"] for each in both]
    assert f"Mean Dice {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" in spread(both)
    older = replace(both[1], videos={key: replace(each, dice=[]) for key, each in both[1].videos.items()})
    assert "Mean Dice" not in spread([both[0], older])


def test_report_at_another_threshold(
    tmp_path: Path, fails: Callable[[int], str], capfd: pytest.CaptureFixture[str]
) -> None:
    for name, each in (("one", two("one")), ("other", two("other", videos={k: video(9) for k in two().videos}))):
        each.save(tmp_path / name / "scores.json")
    runs = [str(tmp_path / "one"), str(tmp_path / "other")]
    assert main(["report", *runs, "--threshold=0.2", "--averaging=pooled", "--include_empty=true"]) == 0
    output = " ".join(capfd.readouterr().out.split())
    overall = two().scores_at_thresholds("pooled")[20].overall
    expected = [f"{overall[key]:.4f}" for key in ("recall", "precision", "f_measure")]
    assert f"overall 3 {' '.join(expected)} {overall['pwc']:.3f} {overall['mean_dice_include_empty']:.4f}" in output
    assert "Threshold 0.20; tested at 0.5." in output
    assert main(["report", *runs, "--threshold=best", "--beside=mean_dice"]) == 0
    assert "test frames" in " ".join(capfd.readouterr().out.split())
    assert "--threshold: must be 'best' or a probability" in fails(main(["report", *runs, "--threshold=2"]))
    assert "threshold" in fails(main(["report", *runs, "--threshold=worst"]))


def test_units_are_written_as_they_are_summed(tmp_path: Path) -> None:
    two().save(tmp_path / "scores.json")
    stored = json.loads((tmp_path / "scores.json").read_text())["videos"]["a/one"]
    total, foreground, alarms, silent = stored["dice"]
    assert (foreground, alarms + silent) == (4, 1)
    assert total / DICE_UNITS / foreground == two().scores().videos["a/one"]["mean_dice"]


def test_a_threshold_chosen_by_validation_is_shown() -> None:
    chosen = two(threshold=0.31, threshold_from="validation on held-out frames")
    assert in_order(shown(table([chosen])), "0.31", "validation on held-out frames")
    assert "chosen by" not in shown(table([two()]))
    assert at_threshold(chosen, 0.2).threshold_from == ""
    halves = [replace(chosen, videos={key: video}) for key, video in chosen.videos.items()]
    assert merged(halves, "whole").threshold_from == chosen.threshold_from
    halves[0] = replace(halves[0], threshold=0.4)
    assert in_order(shown(table([merged(halves, "whole")])), "Thresholds", "validation on held-out frames")
    halves[0] = replace(halves[0], threshold_from="")
    assert merged(halves, "whole").threshold_from == ""


def test_what_has_chosen_it_is_kept_in_the_file(tmp_path: Path) -> None:
    chosen = two(threshold=0.31, threshold_from="validation on held-out frames")
    chosen.save(tmp_path / "scores.json")
    assert TestResult.load(tmp_path) == chosen
