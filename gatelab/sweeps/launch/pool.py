"""Processes for the jobs of a sweep: one each, started in milliseconds by a server that has imported everything.

The server is that of multiprocessing's start method `forkserver`: a process without threads, from which jobs are forked. Where
there is no fork, every job starts its own interpreter. A job ignores Ctrl-C, which a terminal sends to all processes:
its launcher ends it with SIGTERM, and without its launcher it ends, too.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import cloudpickle

from gatelab.process.signals import stoppable
from gatelab.sweeps.jobs.needs import Needs
from gatelab.sweeps.launch import orphan

GRACE_SECONDS = 20.0  # for a job to write its state after it was asked to end
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
LOST = 255  # multiprocessing's exit status for a process whose server was killed
# The modules that jobs of a sweep import, in this order.
MODULES = (
    "gatelab.training.lean_imports",
    "gatelab.sweeps.launch.batch",
    "gatelab.training.fit",
    "gatelab.sweeps.launch.preload",
    "wandb",
)
_context: Any = multiprocessing.get_context(METHOD)


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        index: the index of its call.
        exit_status: its exit status; negative: the number of the signal that ended it.
        result: what the call returned; None if it returned nothing or did not return.
        error: its exception, in words; "" if it raised nothing.
    """

    index: int
    exit_status: int
    result: Any = None
    error: str = ""


def start_server(modules: Sequence[str]) -> None:
    """Starts the server of this process, which imports in parallel; once in its life."""
    if METHOD != "forkserver":
        return
    from multiprocessing import forkserver, resource_tracker

    _context.set_forkserver_preload([orphan.__name__, *modules])
    with _starting():
        resource_tracker.ensure_running()  # separately, because it unblocks signals
        # What is blocked here is blocked in the server: a signal to a group must not kill the server,
        # which reports the jobs' exit statuses.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals())
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Running:
    process: Any
    reader: Any
    need: Needs
    received: tuple[Any, str] | None = None

    def receive(self) -> None:
        """Reads the result from the pipe while the process lives: it may be larger than the pipe."""
        with contextlib.suppress(EOFError, OSError):
            if self.reader.poll():
                self.received = pickle.loads(self.reader.recv_bytes())  # written by our own child
        self.reader.close()


class Pool:
    """Runs calls in processes, as many at once as the room allows.

    Args:
        modules: what the server imports.
        room: threads and memory of all processes together. A call that needs more than there is runs alone.
        at_once: the most processes at once; None: as many as the room allows.
    """

    def __init__(self, modules: Sequence[str], room: Needs, at_once: int | None = None) -> None:
        self._modules, self._room, self._at_once = modules, room, at_once
        self._running: dict[int, _Running] = {}

    def run(self, function: Callable[..., Any], calls: Sequence[Sequence[Any]], needs: Sequence[Needs]) -> Generator[Ended]:
        """Yields the ends of the calls `function(*arguments)` as they finish.

        When the caller is interrupted (KeyboardInterrupt) or closes the iterator, all processes are asked to end and waited for;
        at a second interruption they are killed.
        """
        shared = cloudpickle.dumps((function, dict(os.environ)))
        waiting = [*range(len(calls))][::-1]
        try:
            while waiting or self._running:
                while waiting and self._fits(needs[waiting[-1]]):
                    index = waiting.pop()
                    self._start(index, shared, calls[index], needs[index])
                yield from self._ended()
        finally:
            self._stop()

    def _fits(self, need: Needs) -> bool:
        used = [item.need for item in self._running.values()]
        if self._at_once is not None:
            return len(used) < self._at_once
        threads, memory = sum(item.threads for item in used), sum(item.memory for item in used)
        return not used or (threads + need.threads <= self._room.threads and memory + need.memory <= self._room.memory)

    def _start(self, index: int, shared: bytes, arguments: Sequence[Any], need: Needs) -> None:
        start_server(self._modules)  # again, in case it was killed
        reader, writer = _context.Pipe(duplex=False)
        process = _context.Process(target=_child, args=(shared, cloudpickle.dumps(arguments), writer))
        with _starting():
            process.start()
        writer.close()
        self._running[index] = _Running(process, reader, need)

    def _ended(self) -> Iterator[Ended]:
        handles = {item.process.sentinel: index for index, item in self._running.items()}
        handles |= {item.reader: index for index, item in self._running.items() if not item.reader.closed}
        ready = connection.wait([*handles])
        for handle in ready:
            item = self._running[handles[handle]]
            if not item.reader.closed:
                item.receive()
        for index in [handles[handle] for handle in ready if isinstance(handle, int)]:
            item = self._running.pop(index)
            status = _exit_status(item.process)
            result, error = item.received or (None, "")
            yield Ended(index, status, result, error)

    def _stop(self) -> None:
        processes = [item.process for item in self._running.values()]
        for process in processes:
            with contextlib.suppress(OSError):
                process.terminate()
        try:
            deadline = time.monotonic() + GRACE_SECONDS
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:  # also at a second Ctrl-C
            for process in processes:
                _kill(process)
            self._running.clear()


def _exit_status(process: Any) -> int:
    """The exit status of a process whose sentinel shows that it ended or that the server is gone; in that case it is ended here."""
    process.join()
    status = process.exitcode
    if status == LOST and _there(process.pid):
        os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while _there(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        _kill(process)
    process.close()
    return status


def _there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _kill(process: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.kill(process.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        process.join(GRACE_SECONDS)


def _child(shared: bytes, arguments: bytes, writer: Any) -> None:
    """The main function of a process: calls, and writes the result or the error into the pipe."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in _signals() - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        with stoppable():
            if METHOD == "forkserver":
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
            function, environment = pickle.loads(shared)
            _become(environment)
            answer = (function(*pickle.loads(arguments)), "")
    except KeyboardInterrupt as stop:
        sys.exit(128 + getattr(stop, "number", signal.SIGINT))
    except Exception as error:
        answer = (None, str(error) or repr(error))
    with contextlib.suppress(OSError):  # the launcher is gone
        writer.send_bytes(cloudpickle.dumps(answer))
    sys.stdout.flush()
    sys.stderr.flush()


def _signals() -> set[signal.Signals]:
    """The signals that end a process of a terminal or of a service."""
    return {signal.SIGTERM, signal.SIGINT} | ({signal.SIGHUP} if os.name == "posix" else set())


def _end_with_launcher() -> None:
    launcher = multiprocessing.parent_process()
    assert launcher is not None
    launcher.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)


def _become(environment: Mapping[str, str]) -> None:
    """Sets the present environment of the launcher, instead of that at the start of the server."""
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Prepares the start of an interpreter by multiprocessing.

    The main module is hidden, because multiprocessing would run it again in every process, which a script may not expect. The
    current folder, where `python -c` looks for modules first, is not searched: a file there must not replace a module.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    own = {"PYTHONSAFEPATH": "1", orphan.LAUNCHER: str(os.getpid())}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def describe(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"its process ended with exit status {status}"
    hint = ", perhaps out of memory" if -status == getattr(signal, "SIGKILL", None) else ""
    return f"its process was killed (signal {-status}){hint}"
