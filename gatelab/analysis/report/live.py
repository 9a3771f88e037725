"""The report as a page that is served while runs are trained, on this machine only.

A user who knows the address can read it; the address holds a token that is drawn at the start and printed to the terminal alone, so
that other users of the machine cannot guess it.
"""

import contextlib
import hashlib
import json
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gatelab.analysis.report.document import build_page
from gatelab.errors import UserError
from gatelab.runs import Run, Skipped, find_runs

HOST = "127.0.0.1"
CONNECTIONS = 16  # at a time
SECONDS = 10.0  # that a request may take to be read, and its answer to be taken
_FRESH_SECONDS = 2.0  # for so long the folders are not looked at again,
_REST = 10  # and for so many times as long as the last page took: the runs need the processor more
_FILES = ("status.json", "metrics.jsonl", "arrays.jsonl", "histograms.jsonl", "summary.json", "inspect.json")


class Source:
    """The page of some folders, built again when their runs have changed.

    Args:
        folders: with runs; they may be empty, or come later.
        baseline: the cell that the others are compared with; ignored as long as it has no runs.
        command: what makes the report of the same runs.
        clock: seconds, rising.
    """

    def __init__(
        self, folders: Sequence[str], baseline: str | None, command: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folders, self.baseline, self.command, self._clock = folders, baseline, command, clock
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._version, self._built, self._running = "", "", 0
        self._found: tuple[list[Run], list[Skipped]] = ([], [])
        self._page = b""

    def state(self) -> dict[str, Any]:
        """A version that changes with the runs, and how many are running."""
        with self._lock:
            self._look()
            return {"version": self._version, "running": self._running}

    def page(self) -> bytes:
        """The HTML of the present state."""
        with self._lock:
            self._look()
            if self._built != self._version:
                began = self._clock()
                runs, skipped = self._found
                baseline = self.baseline if any(run.cell == self.baseline for run in runs) else None
                self._page = build_page(runs, skipped, baseline, self.command, live=True).html.encode()
                self._built = self._version
                self._due = max(self._due, self._clock() + _REST * (self._clock() - began))
            return self._page

    def _look(self) -> None:
        if self._clock() < self._due:
            return
        self._found = find_runs([folder for folder in self.folders if Path(folder).is_dir()])
        runs, skipped = self._found
        seen = [(str(run.path), name, *_stamp(run.path / name)) for run in runs for name in _FILES]
        seen += [(str(item.path), item.reason) for item in skipped]
        self._version = hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]
        self._running = sum(run.state == "running" for run in runs)
        self._due = self._clock() + _FRESH_SECONDS


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def serve(source: Source, port: int, connections: int = CONNECTIONS, seconds: float = SECONDS) -> "Server":
    """A server on loopback that is bound and not yet running.

    Args:
        source: what it serves.
        port: 0 for any that is free.
        connections: at a time; further ones are closed.
        seconds: that a request may take to come, and that a client may take for what is sent to it.

    Raises:
        UserError: the port is taken or not allowed.
    """
    try:
        return Server(source, port, connections, seconds)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Port {port} cannot be used: {reason}. `--port 0` takes one that is free.") from error


class Server(ThreadingHTTPServer):
    """Serves a page to those who know its address, which holds a token that is drawn at the start. One request a connection."""

    daemon_threads = True

    def __init__(self, source: Source, port: int, connections: int, seconds: float) -> None:
        self.source, self.connections, self.seconds = source, connections, seconds
        self.token = secrets.token_urlsafe()
        self._lock = threading.Lock()
        self._open = 0
        self._unread: dict[socket.socket, float] = {}  # connections whose request has not come yet, and until when it may
        super().__init__((HOST, port), _Handler)
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    @property
    def address(self) -> str:
        """The URL of the page, with the token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for a connection, unless there are enough."""
        with self._lock:
            full = self._open >= self.connections
            if not full:
                self._open += 1
                self._unread[request] = time.monotonic() + self.seconds
        if full:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._ended(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._ended(request)

    def _ended(self, request: Any) -> None:
        self.was_read(request)
        with self._lock:
            self._open -= 1

    def was_read(self, request: Any) -> None:
        """Notes that the request of a connection is complete."""
        with self._lock:
            self._unread.pop(request, None)

    def service_actions(self) -> None:
        """Ends connections whose request comes byte by byte. The timeout of a socket begins again with every byte."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, until in self._unread.items() if until < now]
            for request in late:
                del self._unread[request]
        for request in late:
            with contextlib.suppress(OSError):  # it has ended by itself
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints a traceback, but not of a client that has gone: that is its right."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]
    server_version, sys_version = "gatelab", ""

    @property
    def timeout(self) -> float:  # type: ignore[override]
        """Seconds that a read may take, and all that is written at a time."""
        return self.server.seconds

    def do_GET(self) -> None:
        self.server.was_read(self.request)
        if not self._may_read():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"The address of the page is printed by `gatelab dashboard`.\n")
            return
        _, _, page = self.path[1:].partition("/")
        if page == "":
            self._answer(HTTPStatus.OK, "text/html", self.server.source.page())
        elif page == "state":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(self.server.source.state()).encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is the page itself and state.\n")

    def _may_read(self) -> bool:
        """Whether the request names us and the token."""
        # A name that another site has pointed at this machine (DNS rebinding) is not ours.
        if self.headers.get("Host") not in self.server.hosts:
            return False
        token, slash, _ = self.path.removeprefix("/").partition("/")
        return bool(slash) and secrets.compare_digest(token.encode(), self.server.token.encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is http.server's
        """Says nothing: the terminal belongs to the one line that names the address."""
