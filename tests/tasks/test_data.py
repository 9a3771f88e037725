"""Data files: from a mirror, from the cache, from a server; and every way in which that fails."""

import hashlib
import io
import logging
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pooch
import pytest

from gatelab.errors import UserError
from gatelab.tasks import TASKS, _data, data_status

NAME = "folder/file.bin"
CONTENT = bytes(range(256)) * 40
HASH = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one content at every path, and counts; `together` makes that many requests wait for each other."""

    content, requests, together = CONTENT, 0, threading.Barrier(1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.requests += 1
        server.together.wait(timeout=300)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(server.content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base names it
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, one known file, and an address where nobody listens."""
    monkeypatch.delenv("GATELAB_DATA_MIRROR", raising=False)
    monkeypatch.setenv("GATELAB_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_data, "FILES", {NAME: _data.File("http://127.0.0.1:1/file.bin", HASH)})
    return tmp_path / "cache"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(_data, "FILES", {NAME: _data.File(f"http://127.0.0.1:{running.server_port}/file.bin", HASH)})
        yield running
        running.shutdown()
        thread.join()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def put(folder: Path, content: bytes) -> Path:
    path = folder / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_downloads_once_and_quietly(cache: Path, server: Server) -> None:
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    pooch.get_logger().addHandler(handler)  # a logger without a parent: pytest's caplog does not see it
    pooch.get_logger().setLevel("INFO")
    assert _data.read(NAME) == CONTENT
    assert _data.read(NAME) == CONTENT
    pooch.get_logger().removeHandler(handler)
    assert server.requests == 1
    assert files(cache) == [cache / NAME]
    assert stat.S_IMODE((cache / NAME).stat().st_mode) == 0o644
    assert said.getvalue() == ""


def test_processes_that_start_together_all_get_the_file(cache: Path, server: Server) -> None:
    """Four readers with an empty cache: all requests are in flight at once, as the server answers none before it has four."""
    server.together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_data.read, [NAME] * 4))
    assert found == [CONTENT] * 4
    assert server.requests == 4
    assert files(cache) == [cache / NAME]


def test_other_bytes_from_the_server_are_refused(cache: Path, server: Server) -> None:
    server.content = b"<html>Please log in" + CONTENT[19:]
    with pytest.raises(UserError, match="served other data") as raised:
        _data.read(NAME)
    assert HASH in str(raised.value)
    assert hashlib.sha256(server.content).hexdigest() in str(raised.value)
    assert server.requests == 1
    assert files(cache) == []


def test_a_broken_transfer_leaves_nothing(cache: Path, server: Server) -> None:
    server.content = CONTENT[:1000]  # fewer bytes than the header promises
    with pytest.raises(UserError, match="GATELAB_DATA_MIRROR"):
        _data.read(NAME)
    assert files(cache) == []


def test_no_network(cache: Path) -> None:
    with pytest.raises(UserError, match="could not be downloaded") as raised:
        _data.read(NAME)
    for part in (NAME, HASH, "http://127.0.0.1:1/file.bin", "GATELAB_DATA_MIRROR"):
        assert part in str(raised.value)
    assert files(cache) == []


def test_a_cache_that_cannot_be_made(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="could not be downloaded"):
        _data.read(NAME)


def test_a_damaged_cached_file_is_an_error_and_stays(cache: Path, server: Server) -> None:
    path = put(cache, CONTENT[:-1])
    with pytest.raises(UserError, match="is damaged") as raised:
        _data.read(NAME)
    for part in (str(path), HASH, hashlib.sha256(CONTENT[:-1]).hexdigest(), "Delete it"):
        assert part in str(raised.value)
    assert server.requests == 0
    assert path.read_bytes() == CONTENT[:-1]
    path.unlink()  # what the message says to do
    assert _data.read(NAME) == CONTENT


def test_the_mirror_is_read_and_nothing_else(cache: Path, server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("GATELAB_DATA_MIRROR", str(tmp_path / "mirror"))
    put(cache, b"damaged")
    put(tmp_path / "mirror", CONTENT)
    assert _data.read(NAME) == CONTENT
    assert server.requests == 0


def test_a_damaged_mirror_file(cache: Path, server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("GATELAB_DATA_MIRROR", str(tmp_path / "mirror"))
    path = put(tmp_path / "mirror", b"damaged")
    with pytest.raises(UserError, match="is damaged") as raised:
        _data.read(NAME)
    for part in (str(path), HASH, hashlib.sha256(b"damaged").hexdigest(), "Replace it with the file from http://"):
        assert part in str(raised.value)
    assert server.requests == 0


def test_a_file_missing_from_the_mirror(cache: Path, server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("GATELAB_DATA_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(UserError, match="there is no file") as raised:
        _data.read(NAME)
    for part in (str(tmp_path / "mirror" / NAME), HASH, "unset GATELAB_DATA_MIRROR"):
        assert part in str(raised.value)
    assert server.requests == 0


def test_status(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_status() == [(NAME, cache / NAME, "missing")]
    put(cache, b"damaged")
    assert data_status() == [(NAME, cache / NAME, "damaged")]
    put(cache, CONTENT)
    assert data_status() == [(NAME, cache / NAME, "present")]
    monkeypatch.setenv("GATELAB_DATA_MIRROR", str(tmp_path / "mirror"))
    assert data_status() == [(NAME, tmp_path / "mirror" / NAME, "missing")]


def test_without_variables_the_cache_is_the_users(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATELAB_DATA")
    assert data_status()[0].path == Path(pooch.os_cache("gatelab")) / NAME


def test_every_file_a_task_declares_is_in_the_mirror(mirror: Path) -> None:
    assert {row.state for row in data_status()} == {"present"}
    declared = {name for task in TASKS.names() for name in TASKS.build(task).data_hashes()}
    assert _data.FILES.keys() <= declared
