"""Systems that an experiment describes, and that need no checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from live_systems import moving_square

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.frames import DisFlow
from bgsub_lightning.inference import Subtractor, load_system

MODEL = "model: {class_path: bgsub_lightning.systems."


@pytest.mark.parametrize(
    ("experiment", "name"), [("mog2.yaml", "MOG2"), ("knn.yaml", "KNN"), ("threshold_median.yaml", "TemporalMedian")]
)
def test_one_that_ships_is_the_system_of_that_name(experiment: str, name: str) -> None:
    frames = moving_square(12)
    one, other = (Subtractor(load_system(each), "cpu", batch_size=12).push(frames) for each in (experiment, name))
    assert np.array_equal(one, other)
    assert np.any(one)


def test_own_arguments_and_sizes_count(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "config: threshold_median.yaml\nmodel: {init_args: {threshold: 0.75}}\ndata: {init_args: {size: [64, 48]}}\n"
    )
    system = load_system(tmp_path / "own.yaml")
    assert (system.name, system.size, system.module.threshold) == ("own", (64, 48), 0.75)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        ("", (320, 240)),
        ("data: {init_args: }\n", (320, 240)),
        ("data: {class_path: ScenesDataModule, init_args: {flow: DisFlow}}\n", (320, 240)),
        ("data: {init_args: {size: }}\n", None),
    ],
)
def test_the_size_is_that_of_a_test_of_the_experiment(tmp_path: Path, data: str, size: tuple[int, int] | None) -> None:
    (tmp_path / "x.YAML").write_text(f"{MODEL}ClassicalSubtractor, init_args: }}\n{data}")
    system = load_system(tmp_path / "x.YAML")
    assert (system.size, system.flow) == (size, DisFlow())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("config: any_scene.yaml\n", r"x\.yaml: AnyScene .*weights.*AnyScene"),
        ("config: bsuv_net.yaml\n", r"x\.yaml: BsuvNet .*model\.init_args\.weights"),
        ("config: threshold_reconstruction.yaml\n", r"x\.yaml: ThresholdedDifference .*weights"),
        ("config: zero_shot.yaml\n", r"x\.yaml: model: .*missing"),
        ("config: absent.yaml\n", r"absent\.yaml: there is no such file"),
        (f"{MODEL}ClassicalSubtractor}}\ndata: {{init_args: 3}}\n", r"x\.yaml: data\.init_args: .*got 3"),
        ("[1, 2]\n", r"x\.yaml: must hold keys and values"),
        ("model: {class_path: os.system}\n", r"x\.yaml: .*class_path os\.system"),
        (
            f"{MODEL}ClassicalSubtractor, init_args: {{method: MOG3}}}}\n",
            r"x\.yaml: .*model\.init_args\.method: 'MOG3' .*'MOG2'",
        ),
        (
            "config: bmn_bsn.yaml\nmodel: {init_args: {labels: all}}\n",
            r"x\.yaml: .*model\.init_args\.labels: 'all' .*TRAINING, BMN_BSN",
        ),
        (f"{MODEL}ClassicalSubtractor}}\ndata: {{size: [1]}}\n", r"x\.yaml: system: size"),
    ],
)
def test_those_that_cannot_be_used_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        load_system(tmp_path / "x.yaml")
