"""`download` against a local server: whole, broken and continued, other digests, full disks, bad archives."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from local_site import Site, serving
from message_parts import in_order

from bgsub_lightning.cli import main
from bgsub_lightning.commands.prepare import READERS
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.datasets.downloads import publications

HIGHWAY = "/baseline/highway.zip"
Download = Callable[..., tuple[int, str]]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, cdnet: Path) -> Iterator[Site]:
    """A mirror of CDnet2014, as a whole and by video."""
    noise = np.random.default_rng(0).bytes(300_000)
    with serving(monkeypatch) as site:
        for video in (*cdnet.glob("baseline/*"), *cdnet.glob("shadow/*")):
            site.files[f"/{video.relative_to(cdnet)}.zip"] = zipped(video, video.name, noise=noise)
        site.files["/dataset2014.zip"] = zipped(cdnet, "dataset2014/dataset")
        yield site


@pytest.fixture
def download(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Download:
    """Runs the command, of the video highway if no other is named: exit status, and what it printed."""

    def run(*options: str, name: str = "CDnet2014", scene: str | None = "baseline/highway") -> tuple[int, str]:
        chosen = [] if scene is None else [f"--scene={scene}"]
        shared = [f"--out={tmp_path / 'data'}", f"--mirror={site.url}", "--accept_terms"]
        status = main(["download", name, *shared, *chosen, *options])
        captured = capfd.readouterr()
        return status, captured.out + captured.err

    return run


def zipped(folder: Path, name: str, **more: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{name}/{path.relative_to(folder)}")
        for key, data in more.items():
            archive.writestr(f"{name}/{key}", data)
    return content.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def data(tmp_path: Path) -> Path:
    return tmp_path / "data/CDnet2014"


def part(tmp_path: Path) -> Path:
    return tmp_path / "data/CDnet2014.archives/baseline/highway.zip.part"


def test_a_video_is_unpacked_checked_and_recorded(site: Site, download: Download, tmp_path: Path) -> None:
    status, shown = download()
    assert status == 0
    assert len([*(data(tmp_path) / "baseline/highway/input").iterdir()]) == 26
    digest = sha256(site.files[HIGHWAY])
    record = json.loads((tmp_path / "data/CDnet2014.download.json").read_text())
    assert record == {
        HIGHWAY[1:]: {
            "url": site.url + HIGHWAY,
            "size": len(site.files[HIGHWAY]),
            "sha256": digest,
            "unpacked": True,
        }
    }
    assert digest in shown
    assert in_order(shown, "1 videos, 0 errors", f"CDNET2014_ROOT={data(tmp_path)}")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"CDnet2014", "CDnet2014.download.json"}


def test_a_second_call_downloads_nothing(site: Site, download: Download, tmp_path: Path) -> None:
    assert download()[0] == 0
    before = len(site.asked)
    status, shown = download()
    assert (status, len(site.asked)) == (0, before)
    assert f"CDNET2014_ROOT={data(tmp_path)}" in shown


def test_more_videos_are_added(site: Site, download: Download, tmp_path: Path) -> None:
    assert download()[0] == 0
    status, shown = download(scene="baseline/highway,shadow/bungalows")
    assert status == 0
    assert site.asked == [HIGHWAY, "/shadow/bungalows.zip"]
    assert "2 videos" in shown


def test_all_comes_in_one_archive_with_inner_folders(site: Site, download: Download, tmp_path: Path) -> None:
    digest = sha256(site.files["/dataset2014.zip"])
    status, shown = download("--accept_digest", digest, "--keep_archives", scene=None)
    assert status == 0
    assert f"CDNET2014_ROOT={data(tmp_path) / 'dataset2014/dataset'}" in shown
    assert (tmp_path / "data/CDnet2014.archives/dataset2014.zip").is_file()
    assert download()[0] == 0  # a video of it is there, too
    assert site.asked == ["/dataset2014.zip"]


@pytest.mark.parametrize("continues", [True, False])
def test_a_broken_connection_is_continued(site: Site, download: Download, tmp_path: Path, continues: bool) -> None:
    site.cuts, site.continues = [1000], continues
    assert download()[0] == 0
    assert site.ranges == ["", "bytes=1000-"]
    assert (data(tmp_path) / "baseline/highway").is_dir()


def test_the_next_call_continues(site: Site, download: Download, tmp_path: Path) -> None:
    site.cuts = [1000, 0, 0, 0, 0]
    status, shown = download()
    assert status == 2
    assert in_order(shown, f"{site.url}{HIGHWAY}: ", "1,000 of", f"{len(site.files[HIGHWAY]):,}")
    assert part(tmp_path).stat().st_size == 1000
    assert not data(tmp_path).exists()
    site.ranges.clear()
    assert download()[0] == 0
    assert site.ranges == ["bytes=1000-"]


def test_ctrl_c_leaves_what_has_come(site: Site, download: Download, tmp_path: Path) -> None:
    def interrupt() -> None:
        for _ in range(1000):
            if part(tmp_path).is_file() and part(tmp_path).stat().st_size:
                break
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    site.midway = interrupt
    assert download()[0] == 130
    come = part(tmp_path).stat().st_size
    assert 0 < come < len(site.files[HIGHWAY])
    assert part(tmp_path).read_bytes() == site.files[HIGHWAY][:come]
    site.midway = None
    assert download()[0] == 0
    assert site.ranges[-1] == f"bytes={come}-"


def test_another_digest_than_the_published_one_is_refused(site: Site, download: Download, tmp_path: Path) -> None:
    content = site.files["/dataset2014.zip"]
    status, shown = download(scene=None)
    assert status == 2
    published = publications()["CDnet2014"].whole[0].md5
    assert in_order(shown, "dataset2014.zip", f"md5: must be {published}; got {hashlib.md5(content).hexdigest()}")
    assert not data(tmp_path).exists()
    assert download("--accept_digest", sha256(content), scene=None)[0] == 0
    assert site.ranges == ["", f"bytes={len(content)}-"]  # nothing comes twice


def test_another_digest_than_before_is_refused(
    site: Site, download: Download, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    assert download()[0] == 0
    before = sha256(site.files[HIGHWAY])
    shutil.rmtree(data(tmp_path))
    site.etag = '"two"'
    site.files[HIGHWAY] = zipped(make_video(tmp_path / "new", "baseline", "highway"), "highway")
    now = sha256(site.files[HIGHWAY])
    status, shown = download()
    assert status == 2
    assert in_order(shown, f"sha256: must be {before}; got {now}")
    assert download("--accept_digest", now.upper())[0] == 0


def test_a_disk_without_room_is_named_before_anything_comes(
    site: Site, download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(site.files[HIGHWAY])
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 2 * size, 2 * size))
    status, shown = download()
    assert status == 2
    assert in_order(shown, "--out", tmp_path / "data", "free")
    assert not site.asked
    assert not (tmp_path / "data").exists()


def test_files_that_do_not_fit_keep_the_archive(
    site: Site, download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.heads = False
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda path: Usage(10**9, 10**9 - 1000, 1000))
        status, shown = download()
    assert status == 2
    assert in_order(shown, "--out", "free")
    assert not data(tmp_path).exists()
    assert download()[0] == 0
    assert site.asked == [HIGHWAY]


def test_a_disk_that_fills_up_is_named(
    site: Site, download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as filled:
        filled.setattr("shutil.copyfileobj", full)
        status, shown = download()
    assert status == 2
    assert in_order(shown, tmp_path / "data", "No space left on device")
    assert not data(tmp_path).exists()


def test_what_is_not_there_is_named(site: Site, download: Download, tmp_path: Path) -> None:
    status, shown = download(scene="PTZ/continuousPan")
    assert status == 2
    assert in_order(shown, f"{site.url}/PTZ/continuousPan.zip: ", "404")
    assert not (tmp_path / "data").exists()


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "bad",
    [
        entry("highway/../../../../evil"),
        entry("/tmp/evil"),
        entry("highway\\..\\..\\evil"),
        entry("C:/evil"),
        entry("highway/evil", stat.S_IFLNK | 0o777),
    ],
    ids=lambda each: each.filename,
)
def test_no_file_lands_outside(site: Site, download: Download, tmp_path: Path, bad: zipfile.ZipInfo) -> None:
    content = io.BytesIO(site.files[HIGHWAY])
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(bad, "../../../../evil")
    site.files[HIGHWAY] = content.getvalue()
    status, shown = download()
    assert status == 2
    assert in_order(shown, "highway.zip: ", "evil")
    assert not data(tmp_path).exists()
    assert not [*tmp_path.rglob("evil")]


@pytest.mark.parametrize("content", [b"<!doctype html>", b""], ids=["page", "empty"])
def test_what_is_no_archive_is_refused(site: Site, download: Download, tmp_path: Path, content: bytes) -> None:
    site.files[HIGHWAY] = content
    status, shown = download()
    assert status == 2
    assert in_order(shown, tmp_path / "data/CDnet2014.archives/baseline/highway.zip", ": ")
    assert not data(tmp_path).exists()


def test_a_damaged_archive_leaves_no_folder(site: Site, download: Download, tmp_path: Path) -> None:
    content = bytearray(site.files[HIGHWAY])
    content[len(content) // 2] ^= 1
    site.files[HIGHWAY] = bytes(content)
    status, shown = download()
    assert status == 2
    assert "highway.zip: " in shown
    assert not data(tmp_path).exists()


def test_a_folder_in_use_is_left_alone(site: Site, download: Download, tmp_path: Path) -> None:
    folder = data(tmp_path) / "baseline/highway"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    status, shown = download()
    assert status == 2
    assert in_order(shown, "--out", folder)
    assert not site.asked
    assert (folder / "notes.txt").read_text() == "mine"


def test_terms_must_be_accepted(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "cdnet2014", f"--out={tmp_path / 'data'}", f"--mirror={site.url}"]) == 2
    captured = capfd.readouterr()
    assert "changedetection.net" in captured.out
    assert in_order(captured.err, "--accept_terms", "CDnet2014")
    assert not site.asked
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["SBI2015", "LIMU", "Wallflower"])
def test_what_only_a_page_offers_is_said(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["download", name, "--accept_terms", f"--out={tmp_path / 'data'}"]) == 2
    shown = capfd.readouterr().err
    assert in_order(shown, f"{name}: ", publications()[name].page, READERS[name].root_variable)
    assert ("--mirror" in shown) == (name == "Wallflower")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["nothing"], ("--name", "'nothing'", "CDnet2014")),
        (["CDnet2014", "--scene=baseline/highwai"], ("--scene", "'baseline/highwai'", "highway")),
        (["CDnet2014", "--mirror=/mnt/data"], ("--mirror", "'/mnt/data'")),
        (["CDnet2014", "--mirror=http://me:secret@host/"], ("--mirror", "http://me:***@host/")),
    ],
)
def test_bad_options(options: list[str], parts: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["download", *options, "--accept_terms"]) == 2
    shown = capfd.readouterr().err
    assert in_order(shown, *parts)
    assert "secret" not in shown


def test_rar_is_left_to_the_user(site: Site, download: Download, tmp_path: Path) -> None:
    site.files["/I_SI_01.rar"] = b"Rar!" + bytes(100)
    status, shown = download(name="LASIESTA", scene="I_SI_01")
    assert status == 0
    store, folder = tmp_path / "data/LASIESTA.archives", tmp_path / "data/LASIESTA"
    assert (store / "I_SI_01.rar").read_bytes() == site.files["/I_SI_01.rar"]
    assert in_order(shown, "unrar x", folder)
    assert "LASIESTA_ROOT" not in shown
    for place, name, colour in (("I_SI_01", "I_SI_01-{}.bmp", 90), ("I_SI_01-GT", "I_SI_01-GT_{}.png", 0)):
        (folder / "I_SI_01" / place).mkdir(parents=True)
        for number in range(1, 4):
            image = np.full((48, 64, 3), colour, np.uint8)
            assert cv2.imwrite(str(folder / "I_SI_01" / place / name.format(number)), image)
    status, shown = download(name="LASIESTA", scene="I_SI_01")
    assert status == 0
    assert in_order(shown, "1 videos, 0 errors", f"LASIESTA_ROOT={folder}")
    assert len(site.asked) == 1


def test_wallflower_comes_from_a_mirror(site: Site, download: Download, tmp_path: Path) -> None:
    source = tmp_path / "source/WavingTrees"
    source.mkdir(parents=True)
    for number in range(4):
        assert cv2.imwrite(str(source / f"b{number:05d}.bmp"), np.full((48, 64, 3), 90, np.uint8))
    assert cv2.imwrite(str(source / "hand_segmented_00003.BMP"), np.zeros((48, 64), np.uint8))
    site.files["/WavingTrees.zip"] = zipped(source, "WavingTrees")
    status, shown = download(name="Wallflower", scene="WavingTrees")
    assert status == 0
    assert in_order(shown, "1 videos, 0 errors", f"WALLFLOWER_ROOT={tmp_path / 'data/Wallflower'}")


def test_the_table_fits_the_readers() -> None:
    assert publications().keys() == READERS.keys()
    videos = {f"{row['category']}/{row['video']}" for row in published_videos()}
    assert {archive.scene for archive in publications()["CDnet2014"].scenes} == videos
    assert {archive.scene for archive in publications()["LASIESTA"].scenes} < {*READERS["LASIESTA"].sequences}
    assert {archive.scene for archive in publications()["Wallflower"].scenes} == {*READERS["Wallflower"].sequences}
    for publication in publications().values():
        assert publication.page.startswith("http")
        assert publication.base is None or publication.base.endswith("/")
