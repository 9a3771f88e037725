"""Signals that ask this process to end: what they raise passes through everything that handles errors, and is never lost."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from gatelab.errors import Stopped

# Ctrl-C, a scheduler or a launcher, a terminal that was closed.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
# A launcher and the terminal may both send one; from here on a further one is somebody who is tired of waiting for the end.
IMPATIENT_SECONDS = 2.0
# What is raised in a __del__ is printed and dropped by Python: the signal is sent again, this much later.
AGAIN_SECONDS = 0.01

_asked: tuple[int, float] | None = None  # which signal, and when
_installed = False


@contextlib.contextmanager
def stoppable(*more: signal.Signals) -> Iterator[None]:
    """Has SIGINT, SIGTERM and SIGHUP raise `Stopped`, so that runs can note that they were stopped.

    Inside of itself, and in threads, it does nothing. A signal that is ignored (nohup) stays so.

    Args:
        more: other signals that a cluster sends for the same purpose.

    Raises:
        Stopped: when such a signal comes; at the end if something swallowed that.
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
    except Exception:  # what a library, NumPy's C for one, makes of an import that is broken off
        check()
        raise
    finally:
        _installed = False
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def check() -> None:
    """Raises Stopped if a signal has come and something, a callback from C for example, swallowed what it raised."""
    stopped = asked()
    if stopped is not None:
        raise stopped


def asked() -> Stopped | None:
    """What a signal that has come raised; None if there was none."""
    return Stopped(_asked[0]) if _installed and _asked is not None else None


def passed_on(number: int) -> Stopped:
    """As if this signal had come here: another process of the run got it. What is raised for it is returned."""
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
        return  # it is on its way: what is noted at the end must not be broken off
    _asked = number, time.monotonic()
    raise Stopped(number)


def _dropped(frame: FrameType | None) -> bool:
    """Whether Python would drop what is raised here: something is just being deleted."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
