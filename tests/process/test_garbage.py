"""The search for garbage: rare while a command imports, as usual while it works, and never changed in a user's own process."""

import gc

import pytest

from gatelab.cli.main import main
from gatelab.process import garbage


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch):
    """Counts the calls of `gc.freeze`, which would change the whole process of the tests."""
    before, calls = gc.get_threshold(), []
    monkeypatch.setattr(garbage, "LEAK_CHECKERS", ())  # another test may have imported one
    monkeypatch.setattr(gc, "freeze", lambda: calls.append(gc.get_threshold()))
    yield calls
    gc.set_threshold(*before)


def test_imports_are_left_out_of_later_searches(frozen: list[object]) -> None:
    usual = gc.get_threshold()
    garbage.spare_imports()
    assert gc.get_threshold() == garbage.WHILE_IMPORTING
    assert not frozen
    garbage.settle()
    assert gc.get_threshold() == usual
    assert frozen == [garbage.WHILE_IMPORTING]
    garbage.settle()
    assert len(frozen) == 1


def test_what_a_leak_checker_looks_at_is_not_left_out(frozen: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LEAK_CHECKERS", ("pytest",))
    usual = gc.get_threshold()
    garbage.spare_imports()
    garbage.settle()
    assert gc.get_threshold() == usual
    assert not frozen


def test_a_call_from_a_program_leaves_its_settings_alone(frozen: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    usual = gc.get_threshold()
    assert main(["list", "cells"]) == 0
    assert gc.get_threshold() == usual
    assert not frozen


def test_a_command_leaves_out_what_it_imported(
    frozen: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = gc.get_threshold()
    monkeypatch.setattr("sys.argv", ["gatelab", "list", "cells"])
    assert main() == 0
    assert gc.get_threshold() == usual
    assert frozen == [garbage.WHILE_IMPORTING]
