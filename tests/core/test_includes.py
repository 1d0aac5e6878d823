"""Experiments that include others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bgsub_lightning.core.config import expand, merged_config
from bgsub_lightning.core.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/data.yaml").write_text(
        "class_path: Data\ninit_args: {fold: 1, protocol: {class_path: A, init_args: {k: 3}}}"
    )
    (tmp_path / "base.yaml").write_text("data: parts/data.yaml\nmodel: {class_path: M, init_args: {a: 1, b: 2}}")
    return tmp_path


def write(path: Path, **content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def test_values_change_one_by_one(folder: Path) -> None:
    top = write(folder / "top.yaml", config="base.yaml", model={"init_args": {"b": 5}}, data={"init_args": {"fold": 2}})
    content = merged_config(top)
    assert content["model"] == {"class_path": "M", "init_args": {"a": 1, "b": 5}}
    assert content["data"]["init_args"] == {"fold": 2, "protocol": {"class_path": "A", "init_args": {"k": 3}}}


def test_other_class_starts_fresh(folder: Path) -> None:
    protocol = {"class_path": "B", "init_args": {"train": []}}
    top = write(folder / "top.yaml", config="base.yaml", data={"init_args": {"protocol": protocol}})
    assert merged_config(top)["data"]["init_args"] == {"fold": 1, "protocol": protocol}


def test_includes_chain_and_the_last_wins(folder: Path) -> None:
    write(folder / "middle.yaml", config="base.yaml", model={"init_args": {"a": 7, "b": 7}})
    (folder / "deep").mkdir()
    top = write(folder / "deep/top.yaml", config=["../middle.yaml"], model={"init_args": {"b": 8}})
    assert merged_config(top)["model"]["init_args"] == {"a": 7, "b": 8}


def test_sections_include_parts(folder: Path) -> None:
    top = write(folder / "top.yaml", data={"config": "parts/data.yaml", "init_args": {"fold": 2}}, model={"a": 1})
    content = merged_config(top)
    assert content["model"] == {"a": 1}
    assert content["data"]["init_args"] == {"fold": 2, "protocol": {"class_path": "A", "init_args": {"k": 3}}}
    assert yaml.safe_load(expand(["--config", str(top)])[0][1]) == content


def test_deeper_keys_of_that_name_are_values(folder: Path) -> None:
    top = write(folder / "top.yaml", config="base.yaml", model={"init_args": {"config": "x.yaml"}})
    assert merged_config(top)["model"]["init_args"] == {"a": 1, "b": 2, "config": "x.yaml"}


def test_files_come_first_and_others_are_included(folder: Path) -> None:
    top = write(folder / "top.yaml", config="base.yaml")
    plain = folder / "base.yaml"
    options, name = expand(["--x=1", "--config", str(plain), f"--config={top}", "--y", "2"])
    assert options[:3] == ["--config", str(plain), "--config"]
    assert yaml.safe_load(options[3]) == merged_config(top)
    assert options[4:] == ["--x=1", "--y", "2"]
    assert name == "base_top"
    assert expand(["--x=1"]) == (["--x=1"], None)


def test_missing_base_is_named(folder: Path) -> None:
    top = write(folder / "top.yaml", config="none.yaml")
    with pytest.raises(UserError, match=r"none\.yaml"):
        merged_config(top)


def test_circle_is_named(folder: Path) -> None:
    write(folder / "a.yaml", config="b.yaml")
    write(folder / "b.yaml", config="a.yaml")
    with pytest.raises(UserError, match=r"a\.yaml: includes itself"):
        merged_config(folder / "a.yaml")


@pytest.mark.parametrize("given", [3, [3], {"a": "b.yaml"}])
def test_what_includes_no_file_says_so(folder: Path, given: object) -> None:
    with pytest.raises(UserError, match=r"top\.yaml: config: must name a file"):
        merged_config(write(folder / "top.yaml", config=given))


def test_empty_config_includes_nothing(folder: Path) -> None:
    assert merged_config(write(folder / "top.yaml", config=None, name="x")) == {"name": "x"}
