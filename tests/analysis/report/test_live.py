"""The dashboard: what it answers, to whom, and that it follows the runs."""

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatelab.analysis.report.live import HOST, Server, Source, serve
from gatelab.errors import UserError


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.contextmanager
def serving(source: Source, **limits: Any) -> Iterator[Server]:
    with serve(source, 0, **limits) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    (tmp_path / "runs").mkdir(exist_ok=True)
    with serving(Source([str(tmp_path / "runs")], "lstm", "gatelab report runs", clock)) as server:
        yield server


def ask(
    server: Server, path: str, host: str | None = None, method: str = "GET", token: str | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    """The answer to a request for a path behind the token."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    try:
        connection.request(method, f"/{token or server.token}{path}", headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_the_page(make_run, server: Server):
    make_run("lstm")
    status, text, headers = ask(server, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "connect-src &#39;self&#39;" in text
    assert "<body data-live>" in text
    assert "gatelab report runs" in text


def test_an_empty_folder_has_a_page(server: Server):
    status, text, _ = ask(server, "/")
    assert (status, "0 runs" in text) == (200, True)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", ""])
def test_other_names_are_refused(make_run, server: Server, host: str):
    make_run("lstm")
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    connection.putrequest("GET", f"/{server.token}/", skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 403
    assert b"lstm" not in answer.read()
    connection.close()


def test_localhost_is_our_name(server: Server):
    assert ask(server, "/state", host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("path", ["/runs", "/../../etc/passwd", "/state/"])
def test_there_is_nothing_else(server: Server, path: str):
    assert ask(server, path)[0] == 404


def test_nothing_can_be_sent(server: Server):
    assert ask(server, "/", method="POST")[0] == 501


def test_the_version_follows_the_runs(make_run, server: Server, clock: Clock):
    def state() -> dict[str, object]:
        clock.now += 10
        return json.loads(ask(server, "/state")[1])

    empty = state()
    make_run("lstm", state="running")
    begun = state()
    assert begun == state()
    make_run("lstm", state="finished")
    done = state()
    assert [empty["running"], begun["running"], done["running"]] == [0, 1, 0]
    assert len({str(item["version"]) for item in (empty, begun, done)}) == 3
    assert "1 finished" in ask(server, "/")[1]


def test_folders_are_not_looked_at_for_every_request(make_run, tmp_path: Path, clock: Clock):
    source = Source([str(tmp_path / "runs")], None, "", clock)
    assert source.state()["running"] == 0  # the folder is not even there
    make_run("lstm", state="running")
    assert source.state()["running"] == 0
    clock.now += 10
    assert source.state()["running"] == 1


def test_loopback_only(server: Server):
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, _, listening = line.split()[1:4]
        own, _, number = address.partition(":")
        if int(number, 16) == server.server_port and listening == "0A":
            assert own == "0100007F"  # 127.0.0.1, as the kernel writes it
            break
    else:
        pytest.fail(f"nothing listens on port {server.server_port}")


def test_a_port_that_is_taken(server: Server):
    with pytest.raises(UserError, match=rf"Port {server.server_port} cannot be used: .*`--port 0` takes one that is free"):
        serve(Source([], None, ""), server.server_port)


def test_a_port_that_there_is_not():
    with pytest.raises(UserError, match="Port 70000 cannot be used"):
        serve(Source([], None, ""), 70000)


@pytest.mark.parametrize("path", ["/", "/state", "/nothing"])
def test_without_the_token_there_is_nothing(make_run, server: Server, path: str):
    make_run("lstm")
    for token in ("x", "a" * len(server.token), "%C3%BC"):
        status, text, _ = ask(server, path, token=token)
        assert (status, "lstm" in text) == (403, False)


def test_bare_paths_and_parts_of_the_token_are_refused(server: Server):
    for path in ("/", "/state", f"/{server.token}", f"/{server.token[:-1]}/", f"/{server.token}x/", "*"):
        connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
        connection.request("GET", path)
        assert connection.getresponse().status == 403, path
        connection.close()


def test_every_start_has_its_own_address(server: Server):
    with serving(Source([], None, "")) as other:
        assert other.token != server.token
        assert len(other.token) >= 32
        assert other.address == f"http://127.0.0.1:{other.server_port}/{other.token}/"
        assert ask(other, "/", token=server.token)[0] == 403


@pytest.mark.parametrize(("path", "token"), [("/", None), ("/nothing", None), ("/", "x")])
def test_an_answer_ends_the_connection(server: Server, path: str, token: str | None):
    assert ask(server, path, token=token)[2]["Connection"] == "close"
    with connected(server, f"GET /{token or server.token}{path} HTTP/1.1\r\nHost: {HOST}:{server.server_port}\r\n\r\n") as client:
        while client.recv(65536):
            pass  # the server ends it: else this would time out


def connected(server: Server, text: str = "") -> socket.socket:
    client = socket.create_connection((HOST, server.server_port), timeout=30)
    client.sendall(text.encode())
    return client


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(client: socket.socket) -> bool:
    """Whether the server has closed the connection; waits for it."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_there_are_only_so_many_connections():
    with serving(Source([], None, ""), connections=2, seconds=3600) as server:
        held = [connected(server), connected(server)]
        until(lambda: server._open == 2)
        with connected(server) as third:
            assert ended(third)
        for client in held:
            client.close()
        until(lambda: server._open == 0)
        assert ask(server, "/state")[0] == 200


def test_a_request_that_does_not_come_is_given_up():
    with serving(Source([], None, ""), seconds=0.1) as server, connected(server) as silent, connected(server, "GET /") as slow:
        assert ended(silent)
        slow.settimeout(0.02)
        deadline = time.monotonic() + 60
        while True:  # a byte at a time, each well before the timeout of the socket
            assert time.monotonic() < deadline
            try:
                slow.sendall(b"x")
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        until(lambda: server._open == 0)


def test_a_client_that_goes_is_not_worth_a_word(capsys: pytest.CaptureFixture[str]):
    asked, gone = threading.Event(), threading.Event()

    class Slow(Source):
        def page(self) -> bytes:
            asked.set()
            assert gone.wait(60)
            return bytes(50_000_000)

    with serving(Slow([], None, "")) as server:
        client = connected(server, f"GET /{server.token}/ HTTP/1.1\r\nHost: {HOST}:{server.server_port}\r\n\r\n")
        assert asked.wait(60)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close resets it
        client.close()
        gone.set()
        until(lambda: server._open == 0)
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_ours_is_printed(capsys: pytest.CaptureFixture[str]):
    class Broken(Source):
        def page(self) -> bytes:
            raise RuntimeError("a fault")

    with serving(Broken([], None, "")) as server:
        with connected(server, f"GET /{server.token}/ HTTP/1.1\r\nHost: {HOST}:{server.server_port}\r\n\r\n") as client:
            assert ended(client)
        until(lambda: server._open == 0)
    assert "RuntimeError: a fault" in capsys.readouterr().err
