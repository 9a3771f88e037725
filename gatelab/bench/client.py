"""The other end of a worker's pipe."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gatelab


class WorkerError(RuntimeError):
    """A worker could not do what was asked; the message says why."""


class DiedError(WorkerError):
    """The worker's process ended."""


class Client:
    """Starts a worker and asks it.

    Args:
        kind: "found", "tuned" or "flax".
        threads: how many the worker may use.
        plugins: files with cells to load.

    Raises:
        WorkerError: the process does not come up.
    """

    def __init__(self, kind: str, threads: int, plugins: Sequence[str] = ()) -> None:
        home = str(Path(gatelab.__file__).parents[1])
        path = os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH")) if part)
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-P", "-m", "gatelab.bench.worker", kind, str(threads), *plugins]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            self.hello = self.ask("hello")
        except WorkerError:
            self.close()
            raise

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request (the methods of `gatelab.bench.worker.Worker`).

        Raises:
            DiedError: the process has ended.
            WorkerError: the answer is that it cannot be done.
        """
        assert self._process.stdin is not None and self._process.stdout is not None  # both are pipes
        try:
            self._process.stdin.write(json.dumps({"do": what} | arguments) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise DiedError(f"its process ended with status {self._process.wait()}; -9 is most often a lack of memory")
        answer = json.loads(line)
        if "refused" in answer:
            raise WorkerError(answer["refused"])
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was not sent to a process that has ended
                    pipe.close()
