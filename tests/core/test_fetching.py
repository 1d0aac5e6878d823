"""Downloads from a local server: whole, broken and continued, begun again, too large, not there."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from local_site import Site, serving

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.fetching import Remote, describe, fetch

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serving(monkeypatch) as site:
        site.files["/a"] = CONTENT
        yield site


def begun(count: int) -> io.BytesIO:
    file = io.BytesIO(CONTENT[:count])
    file.seek(0, io.SEEK_END)
    return file


def test_a_file_comes_whole(site: Site) -> None:
    file, seen, moves = io.BytesIO(), [], []
    fetch(f"{site.url}/a", file, began=lambda remote, start: seen.append((remote, start)), moved=moves.append)
    assert file.getvalue() == CONTENT
    assert seen == [(Remote(len(CONTENT), '"one"'), 0)]
    assert moves[-1] == len(CONTENT)


@pytest.mark.parametrize("mark", ["", '"one"'])
def test_what_is_there_is_not_asked_for_again(site: Site, mark: str) -> None:
    file = begun(1000)
    fetch(f"{site.url}/a", file, mark)
    assert file.getvalue() == CONTENT
    assert site.ranges == ["bytes=1000-"]


def test_a_broken_connection_is_continued(site: Site) -> None:
    site.cuts = [3000, 100, 4000]
    file = io.BytesIO()
    fetch(f"{site.url}/a", file, tries=2)
    assert file.getvalue() == CONTENT
    assert site.ranges == ["", "bytes=3000-", "bytes=3100-", "bytes=7100-"]


def test_one_try_leaves_what_has_come(site: Site) -> None:
    site.cuts = [3000]
    file = io.BytesIO()
    with pytest.raises(UserError, match=rf"{site.url}/a: .*3,000 of {len(CONTENT):,} bytes"):
        fetch(f"{site.url}/a", file)
    assert file.getvalue() == CONTENT[:3000]


def test_another_file_under_the_address_begins_again(site: Site) -> None:
    file = io.BytesIO(b"x" * 1000)
    file.seek(1000)
    fetch(f"{site.url}/a", file, mark='"zero"')
    assert file.getvalue() == CONTENT


def test_a_file_that_changes_between_two_tries_is_not_mixed(site: Site) -> None:
    site.cuts = [3000]

    def change(remote: Remote, start: int) -> None:
        site.etag, site.files["/a"] = '"two"', CONTENT[::-1]

    file = io.BytesIO()
    fetch(f"{site.url}/a", file, tries=2, began=change)
    assert file.getvalue() == CONTENT[::-1]


def test_a_server_without_ranges_begins_again(site: Site) -> None:
    site.continues = False
    site.cuts = [3000]
    file = io.BytesIO()
    fetch(f"{site.url}/a", file, tries=2)
    assert file.getvalue() == CONTENT
    assert site.ranges == ["", "bytes=3000-"]


def test_a_whole_file_needs_no_more_bytes(site: Site) -> None:
    file = begun(len(CONTENT))
    fetch(f"{site.url}/a", file)
    assert file.getvalue() == CONTENT


def test_more_than_the_file_has_begins_again(site: Site) -> None:
    file = io.BytesIO(CONTENT + b"more")
    file.seek(0, io.SEEK_END)
    fetch(f"{site.url}/a", file)
    assert file.getvalue() == CONTENT


def test_tries_that_bring_nothing_end(site: Site) -> None:
    site.promised, site.continues = 7, False
    with pytest.raises(UserError, match=rf"{len(CONTENT):,} of {len(CONTENT) + 7:,} bytes"):
        fetch(f"{site.url}/a", io.BytesIO(), tries=3)
    assert len(site.asked) == 3


def test_a_busy_server_is_asked_again(site: Site) -> None:
    site.busy = 2
    file = io.BytesIO()
    fetch(f"{site.url}/a", file, tries=3)
    assert file.getvalue() == CONTENT


def test_what_is_not_there_is_asked_for_once(site: Site) -> None:
    with pytest.raises(UserError, match=rf"{site.url}/b: .*404"):
        fetch(f"{site.url}/b", io.BytesIO(), tries=5)
    with pytest.raises(UserError, match=rf"{site.url}/b: .*404"):
        describe(f"{site.url}/b")
    assert site.asked == ["/b"]


@pytest.mark.parametrize("url", ["no address", "gopher://host/a"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UserError, match=url):
        fetch(url, io.BytesIO())


def test_a_file_beyond_the_limit_is_refused(site: Site) -> None:
    file = io.BytesIO()
    with pytest.raises(UserError, match=rf"{site.url}/a: .*at most 1,000 "):
        fetch(f"{site.url}/a", file, tries=5, largest=1000)
    assert file.getvalue() == b""


def test_a_file_is_described(site: Site) -> None:
    assert describe(f"{site.url}/a") == Remote(len(CONTENT), '"one"')
    site.heads = False
    assert describe(f"{site.url}/a") == Remote(None, "")
    assert not site.asked


def test_a_full_disk_is_no_matter_of_the_network(site: Site) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fetch(f"{site.url}/a", Full(), tries=5)
    assert len(site.asked) == 1
