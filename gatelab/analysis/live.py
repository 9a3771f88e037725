"""The report as a page that is served while runs go on: on this machine only, and to nobody but its own browser."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gatelab.analysis.report import build_page
from gatelab.registry import UserError
from gatelab.runs import Run, Skipped, find_runs

HOST = "127.0.0.1"
_FRESH_SECONDS = 2.0  # for so long the folders are not looked at again,
_REST = 10  # and for so many times as long as the last page took: the runs need the processor more
_FILES = ("status.json", "metrics.jsonl", "arrays.jsonl", "histograms.jsonl", "summary.json", "inspect.json")


class Source:
    """The page of some folders, built anew when their runs have changed.

    Args:
        folders: with runs; they may be empty, or come later.
        baseline: the cell that the others are compared with; passed over as long as it has no runs.
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


def serve(source: Source, port: int) -> ThreadingHTTPServer:
    """A server on loopback that is bound and not yet running.

    Args:
        source: what it serves.
        port: 0 for any that is free.

    Raises:
        UserError: the port is taken or not allowed.
    """

    class Handler(_Handler):
        pages = source

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
        Handler.hosts = frozenset(f"{name}:{server.server_port}" for name in (HOST, "localhost"))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Port {port} cannot be used: {reason}. `--port 0` takes one that is free.") from error
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    pages: Source
    hosts: frozenset[str] = frozenset()  # what we are called in a request
    server_version, sys_version = "gatelab", ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        # A name that another site has pointed at this machine (DNS rebinding) is not ours.
        if self.headers.get("Host") not in self.hosts:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"This page is for this machine only.\n")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", self.pages.page())
        elif self.path == "/state":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(self.pages.state()).encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is / and /state.\n")

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is http.server's
        """Says nothing: the terminal belongs to the one line that names the address."""
