"""The dashboard: what it answers, to whom, and that it follows the runs."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatelab.analysis.live import HOST, Source, serve
from gatelab.registry import UserError


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def port(tmp_path: Path, clock: Clock) -> Iterator[int]:
    (tmp_path / "runs").mkdir(exist_ok=True)
    with serve(Source([str(tmp_path / "runs")], "lstm", "gatelab report runs", clock), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_the_page(make_run, port: int):
    make_run("lstm")
    status, text, headers = ask(port, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "connect-src &#39;self&#39;" in text
    assert "<body data-live>" in text
    assert "gatelab report runs" in text


def test_an_empty_folder_has_a_page(port: int):
    status, text, _ = ask(port, "/")
    assert (status, "0 runs" in text) == (200, True)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", ""])
def test_other_names_are_refused(make_run, port: int, host: str):
    make_run("lstm")
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 403
    assert b"lstm" not in answer.read()
    connection.close()


def test_localhost_is_our_name(port: int):
    assert ask(port, "/state", host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize("path", ["/runs", "/../../etc/passwd", "/state/"])
def test_there_is_nothing_else(port: int, path: str):
    assert ask(port, path)[0] == 404


def test_nothing_can_be_sent(port: int):
    assert ask(port, "/", method="POST")[0] == 501


def test_the_version_follows_the_runs(make_run, port: int, clock: Clock):
    def state() -> dict[str, object]:
        clock.now += 10
        return json.loads(ask(port, "/state")[1])

    empty = state()
    make_run("lstm", state="running")
    begun = state()
    assert begun == state()
    make_run("lstm", state="finished")
    done = state()
    assert [empty["running"], begun["running"], done["running"]] == [0, 1, 0]
    assert len({str(item["version"]) for item in (empty, begun, done)}) == 3
    assert "1 finished" in ask(port, "/")[1]


def test_folders_are_not_looked_at_for_every_request(make_run, tmp_path: Path, clock: Clock):
    source = Source([str(tmp_path / "runs")], None, "", clock)
    assert source.state()["running"] == 0  # the folder is not even there
    make_run("lstm", state="running")
    assert source.state()["running"] == 0
    clock.now += 10
    assert source.state()["running"] == 1


def test_loopback_only(port: int):
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, _, listening = line.split()[1:4]
        own, _, number = address.partition(":")
        if int(number, 16) == port and listening == "0A":
            assert own == "0100007F"  # 127.0.0.1, as the kernel writes it
            break
    else:
        pytest.fail(f"nothing listens on port {port}")


def test_a_port_that_is_taken(port: int):
    with pytest.raises(UserError, match=rf"Port {port} cannot be used: .*`--port 0` takes one that is free"):
        serve(Source([], None, ""), port)


def test_a_port_that_there_is_not():
    with pytest.raises(UserError, match="Port 70000 cannot be used"):
        serve(Source([], None, ""), 70000)
