"""Tests put in order: folds, scenes and seeds, campaigns, and what cannot be put together."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from message_parts import in_order

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation.extent import protocol_name
from bgsub_lightning.report.results import load_results
from bgsub_lightning.report.series import MeanSd
from tests.made_results import KEYS, fold, made, saved


def configured(folder: Path, file: str = "config.yaml", **arguments: Any) -> None:
    content = {
        "model": {"class_path": "BmnBsn", "init_args": {"lr": 1e-5, **arguments}},
        "data": {"init_args": {"root": str(folder), "seed": 3, "scene": "a/x", "size": [240, 320]}},
        "trainer": {"max_steps": 100, "devices": 4},
    }
    (folder / file).write_text(yaml.safe_dump(content))


def test_folds_and_seeds_are_one_series(tmp_path: Path) -> None:
    paths = saved(tmp_path / "bmn_bsn", *(fold(number, seed) for seed in (0, 1, 2) for number in (1, 2, 3)))
    (series,) = load_results(paths).series
    assert (series.name, len(series.runs), len(series.per_seed), series.missing) == ("bmn_bsn", 9, 3, ())
    assert series.protocol == "folds 1, 2, 3 of 3, without PTZ"
    assert list(series.frames) == list(KEYS)
    results = [run.result for run in series.runs]
    by_seed = []
    for seed in (0, 1, 2):  # by another way: F of each video from its counts, then by hand
        f = {}
        for each in results:
            if each.seed == seed:
                for key, video in each.videos.items():
                    tp, fp, fn = video.counts[:3]
                    f[key] = 2 * tp / (2 * tp + fp + fn)
        by_seed.append(np.mean([np.mean([f[key] for key in f if key[0] == category]) for category in "abc"]))
    overall = series.over_tested()["f_measure"]
    assert overall.mean == pytest.approx(np.mean(by_seed), rel=1e-12)
    assert overall.sd == pytest.approx(np.std(by_seed, ddof=1), rel=1e-12)
    assert overall.count == 3
    folds = series.over_folds()["f_measure"]
    means = [np.mean([each.scores().overall["f_measure"] for each in results if each.fold == i]) for i in (1, 2, 3)]
    assert (folds.mean, folds.sd) == (pytest.approx(np.mean(means)), pytest.approx(np.std(means, ddof=1)))
    assert series.by_video()["a/x"]["f_measure"].count == 3
    pooled = series.by_category("pooled")["c"]["recall"].mean
    counts = [
        np.sum([v.counts for r in results if r.seed == s for k, v in r.videos.items() if k[0] == "c"], 0)
        for s in (0, 1, 2)
    ]
    assert pooled == pytest.approx(np.mean([row[0] / (row[0] + row[2]) for row in counts]))


def test_a_fold_that_is_missing_is_named_and_there_is_no_overall(tmp_path: Path) -> None:
    paths = saved(tmp_path / "cv", fold(1), fold(3), fold(1, 1), fold(2, 1), fold(3, 1))
    (series,) = load_results(paths).series
    assert series.missing == ("fold 2 of 3 of seed 0",)
    assert in_order(series.extent.note, "cv", "fold 2 of 3 of seed 0")
    assert set(series.by_category()) == {"a", "b", "c"}
    (alone,) = load_results(paths[:1]).series
    assert alone.missing == ("fold 2 of 3", "fold 3 of 3")
    assert alone.name == "fold_1"


def test_scenes_are_one_series_and_settings_are_not(tmp_path: Path) -> None:
    first_half = {"protocol": "the first half of each scene's labelled frames for training, the second for test"}
    results = [
        made(f"{name}_{scene}", [f"a/{scene}"], draw, **first_half)
        for draw, (name, scene) in enumerate([("joint", "x"), ("joint", "y"), ("two", "x"), ("two", "y")])
    ]
    paths = saved(tmp_path, *results)
    for path in paths:
        configured(path, lr=1e-3 if "joint" in path.name else 1e-4, weights=f"/somewhere/{path.name[-1]}/last.ckpt")
    joint, two = load_results(paths).series
    assert [(each.name, list(each.frames)) for each in (joint, two)] == [
        ("joint", ["a/x", "a/y"]),
        ("two", ["a/x", "a/y"]),
    ]
    assert joint.settings["model.init_args.lr"] == "0.001"
    assert not any(key.endswith(("seed", "scene", "root")) for key in joint.settings)
    for path in paths:  # without configurations names must do
        (path / "config.yaml").unlink()
    assert [each.name for each in load_results(paths).series] == ["joint", "two"]


def test_the_same_name_twice_is_distinguished_by_its_folder(tmp_path: Path) -> None:
    paths = [*saved(tmp_path / "one", made("all")), *saved(tmp_path / "two", made("all", draw=1))]
    assert [each.name for each in load_results(paths).series] == ["one/all", "two/all"]


def write_campaign(folder: Path, names: list[str], **over: list[str]) -> None:
    content = {"version": 2, "configuration": {}, "options": [], "commands": ["fit", "test"], "grid": over}
    content["runs"] = {name: [] for name in names}
    (folder / "campaign.json").write_text(json.dumps(content))


def test_campaigns_are_read_whole(tmp_path: Path) -> None:
    saved(tmp_path / "rows", made("row_1"), made("row_2", skill=0.7))
    write_campaign(tmp_path / "rows", ["row_1", "row_2", "row_3"])
    results = load_results([tmp_path / "rows"])
    assert [each.name for each in results.series] == ["row_1", "row_2"]
    assert results.remarks == (f"{tmp_path / 'rows'}: not tested yet: row_3.",)
    saved(tmp_path / "scenes", *(made(key.replace("/", "_"), [key], protocol="halves") for key in KEYS[:2]))
    write_campaign(tmp_path / "scenes", ["a_x", "a_y", "b_x"], scene=["a/x", "a/y", "b/x"])
    (series,) = load_results([tmp_path / "scenes"]).series
    assert (series.name, series.missing) == ("scenes", ("b_x",))


def test_what_training_has_seen_is_the_worst_and_unknown_is_kept(tmp_path: Path) -> None:
    paths = saved(tmp_path, fold(1), fold(2, leakage="unknown"), fold(3, leakage="seen scenes, unseen frames"))
    (series,) = load_results(paths).series
    assert series.leakage == "unknown"


def test_masks_without_speed_and_partial(tmp_path: Path) -> None:
    paths = saved(tmp_path, made("masks", frames_shown=0, seconds=0, missing={"a/x": 3}, leakage="unknown"))
    (series,) = load_results(paths).series
    assert (series.frames_per_second, series.partial) == (None, {"a/x": 3})


def test_protocols_without_their_fold() -> None:
    assert protocol_name("fold 2 of 4") == protocol_name("folds 1, 2, 3, 4 of 4")
    assert protocol_name("fold 2 of 4") != protocol_name("fold 2 of 3")
    assert MeanSd.of([2.0]) == MeanSd(2.0, None, 1)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (run,) = saved(tmp_path, made("run"))
    with pytest.raises(UserError, match="report "):
        load_results([])
    with pytest.raises(UserError, match="nowhere: "):
        load_results([tmp_path / "nowhere"])
    with pytest.raises(UserError, match=rf"{tmp_path}: .*scores\.json.* {run}"):
        load_results([tmp_path])
    with pytest.raises(UserError, match=r"run/scores\.json: .*twice"):
        load_results([run, run / "scores.json"])
    shutil.copytree(run, tmp_path / "copy")
    with pytest.raises(UserError, match=r"copy/scores\.json .*run/scores\.json"):
        load_results([run, tmp_path / "copy"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: .*scores\.json.*--run_dir"):
        load_results([tmp_path / "empty"])
    (tmp_path / "empty" / "campaign.json").write_text("{}")
    with pytest.raises(UserError, match=r"campaign.json: version: "):
        load_results([tmp_path / "empty"])
    write_campaign(tmp_path / "empty", ["a"])
    with pytest.raises(UserError, match=r"empty: no .* `campaign`"):
        load_results([tmp_path / "empty"])
    made("whole").save(tmp_path / "empty" / "scores.json")
    assert [each.name for each in load_results([tmp_path / "empty"]).series] == ["whole"]
    file = run / "scores.json"
    file.write_text(file.read_text().replace('"version": 2', '"version": 99'))
    with pytest.raises(UserError, match=r"scores.json: version: .*99"):
        load_results([run])
    replace(made("run"), fold=2).save(file)
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml: "):
        load_results([run])
