"""What is measured."""

import pytest

from gatelab.bench import plan
from gatelab.cells import CELLS
from gatelab.errors import UserError


def rows(cells, shapes=None, flax=False):
    return plan.rows(plan.parse_cells(cells), shapes, "float32", flax, "lstm")


def test_every_cell_of_the_registry_is_measured_at_every_shape_that_it_can_have():
    made = rows(None)
    assert {row.label.partition(":")[0] for row in made} == set(CELLS.names())
    for row in made:
        assert row.shape in (plan.SHAPES if row.cell.memory is None else plan.MEMORY_SHAPES)
        assert {(column.name, column.worker) for column in row.columns} >= {("eager", "tuned"), ("eager_found", "found")}
        peers = {column.name for column in row.columns if column.step["kind"] == "torch"}
        assert len(peers) == (4 if row.cell.peer is not None else 0)


def test_options_of_a_cell():
    (row,) = rows("attention:window=7:score=dot", [plan.Shape(2, 3, 4, 5)])
    assert (row.cell.memory.window, row.cell.memory.score) == (7, "dot")
    assert row.label == "attention:window=7:score=dot"
    (row,) = rows("attention", [plan.Shape(2, 3, 4, 5)])
    assert row.cell.memory.window == plan.WINDOW
    (row,) = rows("cifg:peepholes=true:forget_bias=2", [plan.Shape(2, 3, 4, 5)])
    assert (row.cell.peepholes, row.cell.forget_bias) == (True, 2)


def test_flax_is_a_peer_of_what_it_has():
    with_flax = {
        row.label
        for row in rows(None, [plan.Shape(2, 3, 4, 5)], flax=True)
        if any(column.worker == "flax" for column in row.columns)
    }
    assert with_flax == {"lstm", "gru"}
    assert not [column for row in rows(None) for column in row.columns if column.worker == "flax"]


def test_the_baseline_is_measured_beside_the_others_once_there_is_a_fast_backend(monkeypatch):
    monkeypatch.setattr(plan, "BACKENDS", {"fast": None, "eager": None})
    for row in rows("lstm,gru", [plan.Shape(2, 3, 4, 5)]):
        base = [column.step for column in row.columns if column.name == "baseline"]
        assert [step["backend"] for step in base] == ([] if row.label == "lstm" else ["fast"])
        assert {"fast", "fast_found", "eager", "eager_found"} <= {column.name for column in row.columns}


@pytest.mark.parametrize("text", ["", "1x2x3", "1x2x3x0", "1x2x3x-4", "axbxcxd", "1x2x3x4,", "1x2x3x4x5", "1.5x2x3x4"])
def test_what_is_no_shape(text):
    with pytest.raises(UserError, match="32x500x32x64"):
        plan.parse_shapes(text)


def test_shapes():
    assert plan.parse_shapes("1x2x3x4, 5x6x7x8") == [(1, 2, 3, 4), (5, 6, 7, 8)]
