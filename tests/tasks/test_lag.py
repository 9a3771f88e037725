"""The steps over which a task asks to keep something, measured on its data."""

import numpy as np
import pytest

from gatelab.tasks import TASKS

ROWS = np.arange(1000)


def test_adding_keeps_a_number_from_one_mark_to_the_other() -> None:
    task = TASKS.build("adding", length=40)
    events = task.batch("test", 0, ROWS).events
    assert events is not None
    first, second = (events.nonzero()[:, 1].view(-1, 2)[:, column].double() for column in (0, 1))
    assert task.lag == 20
    assert (second - first).mean().item() == pytest.approx(task.lag, rel=0.03)


@pytest.mark.parametrize("name", ["copying", "variable_copying"])
def test_copying_keeps_a_letter_until_its_repetition(name: str) -> None:
    task = TASKS.build(name, length=30)
    batch = task.batch("test", 0, ROWS)
    lengths = batch.lengths.double() if batch.lengths is not None else np.full(len(ROWS), batch.x.shape[1])
    assert task.lag is not None
    assert float((lengths - 10).mean()) == pytest.approx(task.lag, rel=0.03)


def test_a_reber_string_keeps_its_symbol_over_the_inner_string() -> None:
    task = TASKS.build("embedded_reber")
    lengths = task.batch("test", 0, ROWS).lengths  # without the last E: the step before the last asks for the symbol at step 1
    assert lengths is not None
    assert task.lag is not None
    assert (lengths - 2 - 1).double().mean().item() == pytest.approx(task.lag, rel=0.03)


def test_warp_keeps_a_letter_over_the_next() -> None:
    assert TASKS.build("warp", factor=7).lag == 7
    assert TASKS.build("digits").lag is None
