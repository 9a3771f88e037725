"""What is measured."""

from types import SimpleNamespace
from typing import Any

import pytest

from gatelab.bench import cases
from gatelab.cells import CELLS
from gatelab.errors import UserError


def rows(cells, shapes=None, flax=False):
    named = [(name, {}) for name in CELLS.names()] if cells is None else cells
    return cases.cases_of(cases.labelled(named), shapes, "float32", flax, "lstm")


def test_every_cell_of_the_registry_is_measured_at_every_shape_that_it_can_have():
    made = rows(None)
    assert {case.label.partition(":")[0] for case in made} == set(CELLS.names())
    for case in made:
        assert case.shape in (cases.SHAPES if case.cell.memory is None else cases.MEMORY_SHAPES)
        assert {(column.name, column.worker) for column in case.columns} >= {("eager", "tuned"), ("eager_found", "found")}
        peers = {column.name for column in case.columns if column.step["kind"] == "torch"}
        assert len(peers) == (4 if case.cell.peer is not None else 0)


def test_options_of_a_cell():
    (case,) = rows([("attention", {"window": 7, "score": "dot"})], [cases.Shape(2, 3, 4, 5)])
    assert case.cell.memory is not None
    assert (case.cell.memory.window, case.cell.memory.score) == (7, "dot")
    assert case.label == "attention:window=7:score=dot"
    (case,) = rows([("attention", {})], [cases.Shape(2, 3, 4, 5)])
    assert case.cell.memory is not None
    assert case.cell.memory.window == cases.WINDOW
    (case,) = rows([("cifg", {"peepholes": True, "forget_bias": 2})], [cases.Shape(2, 3, 4, 5)])
    cell: Any = case.cell
    assert (cell.peepholes, cell.forget_bias) == (True, 2)


def test_flax_is_a_peer_of_what_it_has():
    with_flax = {
        case.label
        for case in rows(None, [cases.Shape(2, 3, 4, 5)], flax=True)
        if any(column.worker == "flax" for column in case.columns)
    }
    assert with_flax == {"lstm", "gru"}
    assert not [column for case in rows(None) for column in case.columns if column.worker == "flax"]


def test_the_baseline_is_measured_beside_the_others_once_there_is_a_fast_backend(monkeypatch):
    monkeypatch.setattr(cases, "BACKENDS", dict.fromkeys(("fast", "eager"), SimpleNamespace(DEVICE=None)))
    for case in rows([("lstm", {}), ("gru", {})], [cases.Shape(2, 3, 4, 5)]):
        base = [column.step for column in case.columns if column.name == "baseline"]
        assert [step["backend"] for step in base] == ([] if case.label == "lstm" else ["fast"])
        assert {"fast", "fast_found", "eager", "eager_found"} <= {column.name for column in case.columns}


@pytest.mark.parametrize("text", ["", "1x2x3", "1x2x3x0", "1x2x3x-4", "axbxcxd", "1x2x3x4,", "1x2x3x4x5", "1.5x2x3x4"])
def test_what_is_no_shape(text):
    with pytest.raises(UserError, match="32x500x32x64"):
        cases.parse_shapes(text)


def test_shapes():
    assert cases.parse_shapes("1x2x3x4, 5x6x7x8") == [(1, 2, 3, 4), (5, 6, 7, 8)]
