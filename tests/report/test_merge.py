"""Several tests merged into one, and compared."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from message_parts import in_order

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.report.merge import merged, require_same_frames
from bgsub_lightning.report.terminal import spread
from bgsub_lightning.splits import SceneWise


def result(fold: int, *keys: str, seed: int = 0, **more: Any) -> TestResult:
    """Fold ``fold`` of 3; video i of it has i + 1 true positives and 10 frames."""
    videos = {key: VideoResult([i + 1, 1, 2, 96, 0], 10, "unseen scenes") for i, key in enumerate(keys)}
    whole = TestResult(
        name=f"fold_{fold}",
        system="BmnBsn",
        dataset="CDnet2014",
        protocol=f"fold {fold} of 3, without PTZ",
        fold=fold,
        seed=seed,
        leakage="unseen scenes",
        checkpoint=f"runs/fold_{fold}/last.ckpt",
        videos=videos,
        device="cpu",
        versions={"torch": "2.9"},
        frames_shown=30,
        seconds=2.0,
    )
    return replace(whole, **more)


def test_folds_are_one_result(tmp_path: Path) -> None:
    parts = [result(2, "b/x", "a/y"), result(1, "a/x", frames_shown=7, seconds=0.5), result(3, "c/x")]
    whole = merged(parts, "bmn_bsn")
    assert list(whole.videos) == ["a/x", "a/y", "b/x", "c/x"]
    for part in parts:
        assert all(whole.videos[key] == video for key, video in part.videos.items())
    assert (whole.name, whole.system, whole.dataset, whole.seed) == ("bmn_bsn", "BmnBsn", "CDnet2014", 0)
    assert (whole.fold, whole.protocol) == (0, "folds 1, 2, 3 of 3, without PTZ")
    assert whole.checkpoint == "runs/fold_2/last.ckpt, runs/fold_1/last.ckpt, runs/fold_3/last.ckpt"
    assert whole.frames_per_second == (30 + 7 + 30) / (2 + 0.5 + 2)
    assert (whole.leakage, whole.device, whole.versions) == ("unseen scenes", "cpu", {"torch": "2.9"})
    whole.save(tmp_path / "scores.json")
    assert TestResult.load(tmp_path) == whole


def test_what_a_system_costs_is_kept_where_it_is_one() -> None:
    costs = {"parameters": 3500, "flop_per_frame": 270_000_000}
    parts = [result(1, "a/x", **costs), result(2, "b/x", **costs)]
    whole = merged(parts, "all")
    assert (whole.parameters, whole.flop_per_frame, whole.gflop_per_frame) == (3500, 270_000_000, 0.27)
    for other in ({"parameters": 3500}, {**costs, "flop_per_frame": 1}):
        whole = merged([parts[0], result(2, "b/x", **other)], "all")
        assert (whole.parameters, whole.flop_per_frame, whole.gflop_per_frame) == (3500, None, None)


def test_folds_that_are_named_are_one_result() -> None:
    protocol = SceneWise([["a/x"], ["b/*", "c/y"]], exclude=["PTZ"])
    whole = merged(
        [result(fold, key, protocol=protocol.describe(fold)) for fold, key in ((1, "a/x"), (2, "b/z"))], "all"
    )
    assert whole.protocol == "folds 1, 2 of 2, without PTZ"
    assert set(whole.videos) == {"a/x", "b/z"}


def test_scenes_are_one_result_and_the_worst_leakage_counts() -> None:
    other = result(1, "b/x", leakage="includes training frames", device="H100", versions={"torch": "2.8", "numpy": "2"})
    whole = merged([result(1, "a/x"), other, result(1, "c/x", checkpoint=None)], "scenes")
    assert (whole.fold, whole.protocol) == (1, "fold 1 of 3, without PTZ")
    assert whole.leakage == "includes training frames"
    assert whole.device == "cpu, H100"
    assert whole.versions == {"torch": "2.9, 2.8", "numpy": "2"}
    assert whole.checkpoint == "runs/fold_1/last.ckpt"


def test_one_alone_is_itself() -> None:
    alone = result(2, "a/x", "b/x")
    assert merged([alone], alone.name) == alone


def test_a_whole_with_a_part_that_was_not_timed_has_no_speed() -> None:
    whole = merged([result(1, "a/x", frames_shown=0, seconds=0.0), result(2, "b/x")], "both")
    assert (whole.frames_shown, whole.seconds, whole.frames_per_second) == (0, 0, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "LASIESTA"}, r"fold_1 and fold_2 cannot be merged, .* \(dataset: CDnet2014 and LASIESTA\)"),
        ({"system": "CdnMedal"}, r"\(system: BmnBsn and CdnMedal\)"),
        ({"seed": 1}, r"\(seed: 0 and 1\)"),
        ({"protocol": "fold 2 of 4"}, r"\(protocol: fold … of 3, without PTZ and fold … of 4\)"),
    ],
)
def test_what_must_agree(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        merged([result(1, "a/x"), result(2, "b/x", **changes)], "x")


def test_videos_that_were_tested_twice() -> None:
    with pytest.raises(UserError, match=r"fold_2 .*a/x .*twice"):
        merged([result(1, "a/x"), result(2, "b/x", "a/x")], "x")
    with pytest.raises(UserError, match=r"a/x, b/x .*twice.*--merge"):
        merged([result(1, "a/x", "b/x"), result(1, "a/x", "b/x")], "x")


def test_only_the_same_frames_are_compared() -> None:
    first = result(1, "a/x", "b/x")
    require_same_frames([first, replace(first, seed=1), replace(first, system="CdnMedal")])
    with pytest.raises(UserError, match=r"fold_1 .*fold_2 .*\(a/x, c/x\)"):
        require_same_frames([first, result(2, "b/x", "c/x")])
    with pytest.raises(UserError, match=r"CDnet2014.*LASIESTA"):
        require_same_frames([first, replace(first, dataset="LASIESTA")])


def test_spread_over_seeds() -> None:
    results = [
        result(1, *keys, seed=seed) for seed, keys in enumerate((("a/x",), ("b/y", "a/x"), ("a/w", "b/v", "a/x")))
    ]
    f = [each.scores().overall["f_measure"] for each in results]
    pwc = [each.scores().overall["pwc"] for each in results]
    of_f = f"F-measure {statistics.mean(f):.4f} ± {statistics.stdev(f):.4f}"
    of_pwc = f"PWC {statistics.mean(pwc):.3f} ± {statistics.stdev(pwc):.3f}"
    assert in_order(spread(results), "3 seeds", "tested part", of_f, of_pwc)


def test_no_spread_without_several_seeds() -> None:
    first = result(1, "a/x")
    assert not spread([first])
    assert not spread([first, first])
    assert not spread([first, replace(first, seed=1, system="CdnMedal")])
