"""The overlay in a browser."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import serving
from bgsub_lightning.inference.serving import CLIENTS, FrameServer


@pytest.fixture
def server() -> Iterator[FrameServer]:
    with FrameServer() as made:
        yield made


def picture(level: int) -> np.ndarray:
    return np.full((48, 64, 3), (level, 0, 255 - level), np.uint8)


def get(url: str, **headers: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", b""


def parts(server: FrameServer, count: int) -> list[np.ndarray]:
    found = []
    with urllib.request.urlopen(server.url + "stream", timeout=20) as answer:
        while len(found) < count:
            assert answer.readline().strip() == b"--frame"
            head = {}
            while line := answer.readline().strip():
                name, _, value = line.decode().partition(": ")
                head[name] = value
            found.append(cv2.imdecode(np.frombuffer(answer.read(int(head["Content-Length"])), np.uint8), 1)[..., ::-1])
            answer.readline()
            server.show(picture(10 * len(found)))
    return found


def test_a_page_with_the_stream(server: FrameServer) -> None:
    status, kind, content = get(server.url)
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b'src="stream"' in content


def test_the_stream_has_each_picture_as_it_comes(server: FrameServer) -> None:
    server.show(picture(0))
    for number, shown in enumerate(parts(server, 4)):
        assert shown.shape == (48, 64, 3)
        np.testing.assert_allclose(shown.reshape(-1, 3).mean(0), picture(10 * number)[0, 0], atol=4)


def test_one_picture(server: FrameServer) -> None:
    server.show(picture(200))
    status, kind, content = get(server.url + "frame.jpg?1")
    assert (status, kind) == (200, "image/jpeg")
    assert cv2.imdecode(np.frombuffer(content, np.uint8), 1).shape == (48, 64, 3)


def test_heads_are_those_of_pages_and_pictures(server: FrameServer) -> None:
    server.show(picture(0))
    for path, status in (("", 200), ("frame.jpg", 200), ("stream", 200), ("x", 404)):
        connection = http.client.HTTPConnection(server.url.rpartition("//")[2].strip("/"), timeout=20)
        connection.request("HEAD", f"/{path}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        kind = answer.headers["Content-Type"]
        connection.request("GET", f"/{path}")
        with connection.getresponse() as whole:
            assert (whole.status, whole.headers["Content-Type"]) == (status, kind)
            if path != "stream":
                assert whole.headers["Content-Length"] == answer.headers["Content-Length"]
        connection.close()


def test_there_may_be_no_picture_yet(server: FrameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_PATIENCE", 0.05)
    assert get(server.url + "frame.jpg")[0] == 503


def test_an_old_picture_is_not_the_newest(server: FrameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.show(picture(0))
    monkeypatch.setattr(serving, "_OLD", 0.0)
    assert get(server.url + "frame.jpg")[0] == 503
    monkeypatch.setattr(serving, "_OLD", 60.0)
    assert get(server.url + "frame.jpg")[0] == 200


def test_addresses_of_version_6() -> None:
    try:
        server = FrameServer(0, "::1")
    except UserError:
        pytest.skip("this machine has no IPv6")
    with server:
        server.show(picture(0))
        assert server.url.startswith("http://[::1]:")
        assert get(server.url + "frame.jpg")[0] == 200
        assert get(server.url + "frame.jpg", Host="evil.example")[0] == 403


@pytest.mark.parametrize("path", ["x", "../etc/passwd", "stream/.."])
def test_nothing_else_is_there(server: FrameServer, path: str) -> None:
    assert get(server.url + path)[0] == 404


def test_a_foreign_name_of_this_machine_is_refused(server: FrameServer) -> None:
    server.show(picture(0))
    port = server.url.rpartition(":")[2].strip("/")
    assert get(server.url + "frame.jpg", Host=f"evil.example:{port}")[0] == 403
    assert get(server.url + "frame.jpg", Host=f"localhost:{port}")[0] == 200


def test_nothing_is_written(server: FrameServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(urllib.request.Request(server.url, data=b"x", method="POST"), timeout=20)


def test_connections_are_bounded(server: FrameServer) -> None:
    server.show(picture(0))
    with ExitStack() as opened:
        for _ in range(CLIENTS):
            answer = opened.enter_context(urllib.request.urlopen(server.url + "stream", timeout=20))
            assert answer.readline()
        with pytest.raises(OSError):
            urllib.request.urlopen(server.url, timeout=20)


def test_the_end_ends_those_that_watch() -> None:
    with FrameServer() as server:
        server.show(picture(0))
        answer = urllib.request.urlopen(server.url + "stream", timeout=20)
        reader = threading.Thread(target=answer.read)
        reader.start()
    reader.join(20)
    assert not reader.is_alive()
    answer.close()


def test_a_port_in_use_and_an_impossible_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--serve.*{port}"):
            FrameServer(port)
    with pytest.raises(UserError, match=r"--serve.*70000"):
        FrameServer(70_000)
    with pytest.raises(UserError, match=r"--serve.*192\.0\.2\.1"):
        FrameServer(0, "192.0.2.1")


def test_several_cameras_have_a_page_and_their_own_pictures() -> None:
    with FrameServer(cameras=["yard", "é&<b>"]) as server:
        server.show(picture(0), "yard")
        server.show(picture(200), "é&<b>")
        page = get(server.url)[2].decode()
        assert 'data-frame="yard/frame.jpg"' in page
        assert 'data-frame="%C3%A9%26%3Cb%3E/frame.jpg"' in page
        assert "<b>" not in page
        for name, level in (("yard", 0), ("%C3%A9%26%3Cb%3E", 200)):
            status, _, content = get(f"{server.url}{name}/frame.jpg?1")
            shown = cv2.imdecode(np.frombuffer(content, np.uint8), 1)[..., ::-1]
            assert status == 200
            np.testing.assert_allclose(shown.reshape(-1, 3).mean(0), picture(level)[0, 0], atol=4)
        assert [get(server.url + path)[0] for path in ("frame.jpg", "street/frame.jpg", "yard", "yard/x/stream")] == [
            404
        ] * 4
