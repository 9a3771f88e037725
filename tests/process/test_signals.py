"""A signal that asks the process to end is acted on once, and never lost."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from gatelab.errors import Stopped
from gatelab.process import signals
from gatelab.process.signals import check, stoppable

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _nothing_is_ignored() -> Iterator[None]:
    """Tests that were started with `nohup`, or in the background of a script, have inherited that SIGHUP or SIGINT is ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0)  # the handler runs before the next line of Python


def sent(*numbers: int) -> None:
    with stoppable():
        for number in numbers:
            send(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_it_is_raised_and_the_handlers_are_put_back(number: int):
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped:
        sent(number)
    assert stopped.value.number == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", SIGNALS)
def test_an_ignored_signal_stays_ignored(number: int):
    """As `nohup gatelab train ...` asks for."""
    signal.signal(number, signal.SIG_IGN)
    sent(number)
    assert signal.getsignal(number) is signal.SIG_IGN


def test_what_swallows_it_does_not_lose_it():
    def swallow() -> None:
        with stoppable():
            with pytest.raises(KeyboardInterrupt):
                send(signal.SIGTERM)
            with pytest.raises(Stopped):
                check()

    with pytest.raises(Stopped):  # at the end it is raised again
        swallow()
    check()  # outside nothing is asked of anybody


def test_what_makes_another_error_of_it_does_not_lose_it():
    def mistake() -> None:
        with stoppable():
            try:
                send(signal.SIGTERM)
            except KeyboardInterrupt as stop:
                raise ImportError("half of a module") from stop

    with pytest.raises(Stopped):
        mistake()


def test_twice_at_once_is_once(monkeypatch: pytest.MonkeyPatch):
    """A launcher and a terminal both send one, and what is noted at the end is not broken off; later it is impatience."""
    written = []

    def end() -> None:
        with stoppable():
            try:
                send(signal.SIGTERM)
            finally:
                send(signal.SIGINT)
                written.append("the end")
                monkeypatch.setattr(signals, "IMPATIENT_SECONDS", 0.0)
                send(signal.SIGINT)
                written.append("not reached")

    with pytest.raises(Stopped) as stopped:
        end()
    assert written == ["the end"]
    assert stopped.value.number == signal.SIGINT


class Deleted:
    """Gets a signal while it is being deleted, where Python prints what is raised and drops it."""

    finished = False

    def __del__(self) -> None:
        send(signal.SIGTERM)
        Deleted.finished = True


def test_it_is_not_dropped_where_something_is_being_deleted():
    def delete() -> None:
        with stoppable():
            del [Deleted()][0]
            time.sleep(10)

    with pytest.raises(Stopped) as stopped:
        delete()
    assert stopped.value.number == signal.SIGTERM
    assert Deleted.finished


def test_inside_of_itself_it_does_nothing():
    def nested() -> None:
        with stoppable():
            sent()
            send(signal.SIGTERM)

    with pytest.raises(Stopped):
        nested()


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
