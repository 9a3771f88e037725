"""Signals that ask this process to end: what they raise passes through everything that handles errors, and is never lost."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from gatelab.errors import Stopped

# Sent by Ctrl-C, by a scheduler or launcher, and when a terminal is closed.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
# A launcher and the terminal may both send one. A further one after this time comes from a user who is tired of waiting.
IMPATIENT_SECONDS = 2.0
# Python prints and drops what is raised in a __del__: the signal is sent again after this time.
AGAIN_SECONDS = 0.01

_asked: tuple[int, float] | None = None  # which signal, and when
_installed = False


@contextlib.contextmanager
def stoppable(*more: signal.Signals) -> Iterator[None]:
    """Has SIGINT, SIGTERM and SIGHUP raise `Stopped`, so that runs can note that they were stopped.

    Nested, and in threads, it does nothing. A signal that is ignored (nohup) stays ignored.

    Args:
        more: other signals that a cluster sends for the same purpose.

    Raises:
        Stopped: when such a signal arrives; at the end of the block if something swallowed it.
    """
    global _asked, _installed
    if _installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = {*_SIGNALS, *more}
    before = {number: signal.signal(number, _stop) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    _asked, _installed = None, True
    try:
        yield
        check()
    except Exception:  # raised by a library (NumPy's C code, for one) whose import was interrupted
        check()
        raise
    finally:
        _installed = False
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def check() -> None:
    """Raises Stopped if a signal has arrived and something, such as a callback from C, swallowed its exception."""
    stopped = asked()
    if stopped is not None:
        raise stopped


def asked() -> Stopped | None:
    """The exception of the signal that has arrived; None if there was none."""
    return Stopped(_asked[0]) if _installed and _asked is not None else None


def passed_on(number: int) -> Stopped:
    """Notes a signal that another process of the run received, and returns the exception to raise for it."""
    global _asked
    if _installed and _asked is None:
        _asked = number, time.monotonic()
    return Stopped(number)


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    if _dropped(frame):
        again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        return
    if _asked is not None and time.monotonic() - _asked[1] < IMPATIENT_SECONDS:
        return  # the process is already ending, and must not be interrupted while it notes how
    _asked = number, time.monotonic()
    raise Stopped(number)


def _dropped(frame: FrameType | None) -> bool:
    """Whether Python would drop what is raised here, because an object is being deleted."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
