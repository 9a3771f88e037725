"""The common store of several processes, found by one that comes before its host."""

import socket
from typing import Any

import pytest
from training.teams import free_port

from gatelab.process.place import Place
from gatelab.training import parallel


def test_a_process_that_comes_first_waits_in_silence(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """It is refused three times before the host is there; torch would print a stack trace every two seconds."""
    find: Any = parallel._store.__wrapped__
    port = free_port()
    hosted, refused = [], []
    connect = socket.create_connection

    def counted(*arguments: Any) -> socket.socket:
        try:
            return connect(*arguments)
        except ConnectionRefusedError:
            refused.append(arguments)
            if len(refused) == 3:
                hosted.append(find(Place(0, 2, 0, "127.0.0.1", port)))
            raise

    monkeypatch.setattr(parallel.socket, "create_connection", counted)
    store = find(Place(1, 2, 1, "127.0.0.1", port))
    hosted[0].set("key", "value")
    assert store.get("key") == b"value"
    assert len(refused) == 3
    assert capfd.readouterr() == ("", "")
