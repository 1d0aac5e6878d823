"""Checks of files are remembered until one of them changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.datasets.verdicts import cache_folder, verdicts


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BGSUB_LIGHTNING_CACHE", str(folder))
    return folder


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"video/{number}.jpg" for number in range(40)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        path.write_text("x" * (number % 3))
    return paths


class Looks:
    """A check that counts how often it looks."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, path: Path) -> bool:
        self.count += 1
        return path.stat().st_size > 0


def test_unchanged_files_are_not_looked_at_again(files: list[Path], pool: ThreadPoolExecutor) -> None:
    check = Looks()
    expected = [number % 3 > 0 for number in range(40)]
    assert verdicts("a", check, files, pool) == expected
    assert verdicts("a", check, files, pool) == expected
    assert check.count == 40
    assert verdicts("b", check, files, pool) == expected  # another check
    assert check.count == 80


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files[3].write_text("now it is whole"),
        lambda files: os.utime(files[3], ns=(1, 1)),
        lambda files: files.pop(),
        lambda files: (
            files[3].rename(files[3].with_name("41.jpg")) and files.__setitem__(3, files[3].with_name("41.jpg"))
        ),
    ],
    ids=["content", "time", "fewer", "name"],
)
def test_a_change_is_noticed(
    change: Callable[[list[Path]], object], files: list[Path], pool: ThreadPoolExecutor
) -> None:
    check = Looks()
    verdicts("a", check, files, pool)
    change(files)
    assert verdicts("a", check, files, pool) == [path.stat().st_size > 0 for path in files]
    assert check.count == 40 + len(files)


@pytest.mark.parametrize("content", ["", "x", "a b c", "\x00\xff", "{state}\n01", "{state}\n" + "2" * 40])
def test_a_damaged_record_is_no_record(content: str, files: list[Path], pool: ThreadPoolExecutor, cache: Path) -> None:
    check = Looks()
    verdicts("a", check, files, pool)
    (record,) = (path for path in cache.rglob("*") if path.is_file())
    record.write_text(content.replace("{state}", record.read_text().split()[0]), encoding="latin-1")
    assert verdicts("a", check, files, pool) == [path.stat().st_size > 0 for path in files]
    assert check.count == 80


def test_a_cache_that_cannot_be_written(files: list[Path], pool: ThreadPoolExecutor, cache: Path) -> None:
    cache.write_text("a file, not a folder")
    check = Looks()
    for _ in range(2):
        assert sum(verdicts("a", check, files, pool)) == sum(number % 3 > 0 for number in range(40))
    assert check.count == 80


def test_vanished_files_are_left_to_the_check(files: list[Path], pool: ThreadPoolExecutor) -> None:
    files[5].unlink()
    for _ in range(2):
        assert not verdicts("a", Path.is_file, files, pool)[5]


def test_no_files(pool: ThreadPoolExecutor) -> None:
    assert verdicts("a", Looks(), [], pool) == []


def test_a_frame_that_is_cut_off_later_is_left_out(cdnet: Path) -> None:
    def highway() -> list[int]:
        (scene,) = CDnet2014().scenes(cdnet, ["baseline/highway"])
        return list(scene.frames)

    before = highway()
    assert highway() == before
    path = cdnet / "baseline/highway/input/in000005.jpg"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 5 not in highway()
    assert 5 not in highway()
    path.write_bytes(content)
    assert highway() == before


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BGSUB_LIGHTNING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "bgsub_lightning"
