"""Gradient norms against NumPy, on numbers and on the gradients of every cell."""

import numpy as np
import pytest
import torch
from cells.variants import Variant, each_kind, normal
from tolerances import SUM32

from gatelab.cells import without_weights
from gatelab.diagnostics import gradients


def test_norms() -> None:
    given = {"W": normal(6, 4, dtype=torch.float32), "b": normal(5, seed=1, dtype=torch.float32), "zero": torch.zeros(2)}
    total, single = gradients.norms(given)
    exact = {name: float(np.linalg.norm(value.numpy().astype(np.float64))) for name, value in given.items()}
    assert list(single) == list(given)
    assert single == pytest.approx(exact, rel=SUM32)
    assert total == pytest.approx(float(np.linalg.norm(list(exact.values()))), rel=SUM32)
    assert single["zero"] == 0
    assert gradients.norms({"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]])}) == (5.0, {"a": 3.0, "b": 4.0})


def test_norms_of_nothing() -> None:
    assert gradients.norms({}) == (0.0, {})


def test_a_gradient_that_is_not_finite_shows() -> None:
    total, single = gradients.norms({"a": torch.tensor([torch.nan, 1.0]), "b": torch.ones(1)})
    assert np.isnan(total)
    assert np.isnan(single["a"])
    assert single["b"] == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_float_types(dtype: torch.dtype) -> None:
    gradient = normal(6, 4).to(dtype)
    assert gradients.norms({"W": gradient}) == gradients.norms({"W": gradient.float()})
    assert gradients.block_norms(gradient, "ab") == gradients.block_norms(gradient.float(), "ab")


@pytest.mark.parametrize("shape", [(12, 5), (12,), (12, 2, 3)], ids=str)
def test_block_norms(shape: tuple[int, ...]) -> None:
    gradient = normal(*shape, dtype=torch.float32)
    found = gradients.block_norms(gradient, iter(["input", "forget", "output"]))
    rows = np.split(gradient.numpy().astype(np.float64), 3)
    assert list(found) == ["input", "forget", "output"]
    assert list(found.values()) == pytest.approx([float(np.linalg.norm(row)) for row in rows], rel=SUM32)


@each_kind
def test_blocks_of_a_cell_are_its_gates(variant: Variant) -> None:
    """The blocks that `rows` names make up the whole parameter; a gate without gradient has the norm 0."""
    H = 3
    rnn = variant.rnn(2, H)
    rnn(normal(4, 3, 2))[0].sum().backward()
    layer = dict(rnn.layers["0"].named_parameters())
    found = {name: value.grad for name, value in layer.items() if value.grad is not None and rnn.cell.rows(name)}
    alone = [*(f"W_{gate}" for gate in without_weights(rnn.cell, "raw")), *(f"R_{gate}" for gate in rnn.cell.late)]
    assert found.keys() == {"W", "b", *(["R"] if rnn.cell.recurrent_gates else []), *alone}
    for name, gradient in found.items():
        rows = rnn.cell.rows(name)
        assert len(gradient) == len(rows) * H
        words = [rnn.cell.gates[row] for row in rows]
        blocks = gradients.block_norms(gradient, words)
        assert list(blocks) == words
        assert float(np.linalg.norm(list(blocks.values()))) == pytest.approx(gradients.norms({name: gradient})[0], rel=SUM32)
        without = gradient.clone()
        without[H : 2 * H] = 0
        if len(words) > 1:
            expected = {word: 0.0 if number == 1 else norm for number, (word, norm) in enumerate(blocks.items())}
            assert gradients.block_norms(without, words) == expected
    assert all(rnn.cell.rows(name) == () for name in layer if name not in found)
