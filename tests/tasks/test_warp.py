"""Warp and variable copying: what lies where."""

import math

import numpy as np
import pytest
import torch

from gatelab.tasks import TASKS


@pytest.mark.parametrize("mode", ["uniform", "variable"])
@pytest.mark.parametrize("kind", ["repeat", "pad"])
def test_warped_sequences(mode: str, kind: str) -> None:
    """Unwarped again, they are random letters and the letter before each."""
    task = TASKS.build("warp", length=60, factor=4, mode=mode, kind=kind)
    padded = TASKS.build("warp", length=60, factor=4, mode=mode, kind="pad").batch("train", 0, np.arange(200))
    batch = task.batch("train", 0, np.arange(200))
    assert torch.equal(batch.y, padded.y)
    lasting = []
    for x, y, marks in zip(batch.x.tolist(), batch.y.tolist(), padded.x.tolist(), strict=True):
        begins = [t for t, symbol in enumerate(marks) if symbol != 10]
        assert begins[0] == 0
        lasting += np.diff(begins).tolist()
        letters = [marks[t] for t in begins]
        for number, (start, stop) in enumerate(zip(begins, [*begins[1:], 60], strict=True)):
            assert y[start:stop] == [letters[number - 1] if number else 10] * (stop - start)
            filled = letters[number] if kind == "repeat" else 10
            assert x[start:stop] == [letters[number]] + [filled] * (stop - start - 1)
    expected = {4} if mode == "uniform" else {1, 2, 3, 4}
    assert set(lasting) == expected
    assert np.mean(lasting) == pytest.approx(4 if mode == "uniform" else 2.5, abs=0.05)


def test_chance_of_warp_by_hand() -> None:
    plain = TASKS.build("warp", length=10, factor=1)
    assert plain.chance == pytest.approx(0.9 * math.log(10))
    stretched = TASKS.build("warp", length=10, factor=2)  # the second step belongs to the first letter in half of the sequences
    assert stretched.chance == pytest.approx((8.5 * math.log(10) + math.log(2)) / 10)


def test_variable_copying_layout() -> None:
    task = TASKS.build("variable_copying", length=7)
    batch = task.batch("train", 0, np.arange(300))
    assert batch.lengths is not None
    gaps = (batch.lengths - 20).tolist()
    assert set(gaps) == set(range(1, 8))
    for x, y, gap in zip(batch.x, batch.y, gaps, strict=True):
        assert (x[:10] < 8).all()
        assert x[10 : gap + 9].eq(8).all()
        assert x[gap + 9] == 9
        assert x[gap + 10 :].eq(8).all()
        assert y[: gap + 10].eq(8).all()
        assert torch.equal(y[gap + 10 : gap + 20], x[:10])


def test_chance_of_variable_copying_is_ten_letters_among_the_mean_length() -> None:
    assert TASKS.build("variable_copying", length=100).chance == pytest.approx(10 * math.log(8) / 70.5)
