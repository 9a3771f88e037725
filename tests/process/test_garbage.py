"""The search for garbage: rare while a command imports, as usual while it trains, and never changed in a user's own process."""

import atexit
import gc

import pytest

from gatelab.cli.main import main
from gatelab.process import garbage


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch):
    """Counts the calls of `gc.freeze`, which would change the whole process of the tests, and keeps back what is registered."""
    before, calls = gc.get_threshold(), []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    monkeypatch.setattr(atexit, "register", lambda call: calls.append(call))
    yield calls
    gc.set_threshold(*before)


def test_imports_are_left_out_of_later_searches(frozen: list[object]) -> None:
    usual = gc.get_threshold()
    garbage.spare_imports()
    assert gc.get_threshold() == garbage.WHILE_IMPORTING
    assert frozen == [gc.freeze]  # at the end of the process
    garbage.settle()
    assert gc.get_threshold() == usual
    assert frozen == [gc.freeze, "freeze"]
    garbage.settle()
    assert frozen == [gc.freeze, "freeze"]


def test_a_call_from_a_program_leaves_its_settings_alone(frozen: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    usual = gc.get_threshold()
    assert main(["--version"]) == 0
    garbage.settle()
    assert gc.get_threshold() == usual
    assert not frozen


def test_a_process_of_the_command_line_spares_its_imports(
    frozen: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gatelab", "--version"])
    assert main() == 0
    assert gc.get_threshold() == garbage.WHILE_IMPORTING
    assert frozen == [gc.freeze]
