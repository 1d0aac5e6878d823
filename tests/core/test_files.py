"""Files that are whole or not there, and folders that one process at a time works in."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import (
    atomic_write,
    claimed,
    folder_lock,
    lock_environment,
    make_folder,
    remove_partials,
    second_name,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.txt"
    with atomic_write(path) as file:
        file.write("é\r\n\udcff")
        assert not path.exists()
    assert path.read_bytes() == b"\xc3\xa9\r\n\\udcff"
    assert names(path.parent) == ["a.txt"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt(), ValueError()])
def test_what_is_raised_leaves_the_file_as_it_was(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    expected = UserError if isinstance(error, OSError) else type(error)

    def write() -> None:
        with atomic_write(path) as file:
            file.write("half")
            raise error

    with pytest.raises(expected):
        write()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    path = tmp_path / "run" / "a.txt"
    path.parent.mkdir()
    path.symlink_to(outside)
    (path.parent / ".a.txt.partial").symlink_to(outside)  # a name that could be guessed
    with atomic_write(path, "wb") as file:
        file.write(b"ours")
    assert outside.read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_bytes() == b"ours"


@pytest.mark.parametrize("depth", ["tables", "tables/deeper"])
def test_a_folder_that_is_a_link_is_refused(depth: str, tmp_path: Path) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    (run / depth).parent.mkdir(parents=True)
    (run / depth).symlink_to(outside)
    with (
        pytest.raises(UserError, match=rf"{run / depth}: .*{outside}"),
        atomic_write(run / depth / "a.txt", within=run),
    ):
        pass
    assert not list(outside.iterdir())
    with atomic_write(run / depth / "a.txt") as file:  # a folder that the user has named
        file.write("x")
    assert (outside / "a.txt").is_file()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"{tmp_path}/file/a"):
        make_folder(tmp_path / "file" / "a")


def test_two_writers_never_tear(tmp_path: Path) -> None:
    path, wrong = tmp_path / "a", []
    path.write_bytes(bytes([0]) * 100_000)
    done = threading.Event()

    def write(value: int) -> None:
        for _ in range(20):
            with atomic_write(path, "wb", sync=False) as file:
                for _ in range(10):
                    file.write(bytes([value]) * 10_000)

    def read() -> None:
        while not done.is_set():
            data = path.read_bytes()
            if len(data) != 100_000 or len(set(data)) != 1:
                wrong.append(len(data))

    writers = [threading.Thread(target=write, args=(value,)) for value in (1, 2)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not wrong
    assert names(tmp_path) == ["a"]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal; from bgsub_lightning.core.files import atomic_write\n"
        f"with atomic_write(pathlib.Path({str(tmp_path / 'deep' / 'a')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert len(names(tmp_path / "deep")) == 1
    (tmp_path / "deep" / "b").touch()
    remove_partials(tmp_path)
    assert names(tmp_path / "deep") == ["b"]


def test_second_name(tmp_path: Path) -> None:
    first, second = tmp_path / "last", tmp_path / "previous"
    first.write_text("x")
    for _ in range(2):  # also where it has it already
        second_name(first, second)
        assert names(tmp_path) == ["last", "previous"]
        assert first.samefile(second)


def gets(folder: Path, environment: dict[str, str] | None = None, pass_on: tuple[int, ...] = ()) -> bool:
    """Whether another process can work in a folder."""
    script = """
import pathlib, sys
from bgsub_lightning.core.files import claimed
with claimed(pathlib.Path(sys.argv[1])): pass
"""
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, env=environment, pass_fds=pass_on, check=False, capture_output=True, text=True)
    assert done.returncode == 0 or f"UserError: {folder}: " in done.stderr
    return done.returncode == 0


def test_one_process_has_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with folder_lock(folder) as lock:
        assert lock is not None
        assert not gets(folder)
        assert not gets(folder, os.environ | lock_environment(lock))  # the number alone opens nothing
        assert gets(folder, os.environ | lock_environment(lock), (lock,))
        assert not gets(folder)  # and that process has not given it up
        with claimed(folder), folder_lock(folder) as other:  # this process has it
            assert other is None
    assert gets(folder)


def test_a_forked_worker_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Such as a loader's, which outlives a killed run by seconds."""
    context = multiprocessing.get_context("fork")
    goes_on, ends = context.Event(), context.Event()

    def work() -> None:
        goes_on.set()
        ends.wait(30)

    with folder_lock(tmp_path):
        worker = context.Process(target=work)
        worker.start()
        goes_on.wait(30)
        assert not gets(tmp_path)
    assert worker.is_alive()
    assert gets(tmp_path)
    ends.set()
    worker.join()


def test_a_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError), claimed(tmp_path / "new"):
        raise ValueError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with claimed(tmp_path / "old"):
        pass
    assert (tmp_path / "old").is_dir()
