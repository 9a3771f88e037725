"""What is observed: whole batches, samples of larger ones, and both backends alike."""

from typing import Any

import numpy as np
import pytest
import torch
from cells.variants import DEFAULTS, Variant, each_default, each_kind
from designs import over
from tolerances import FLOAT64

from gatelab.cells import Cell, Parts
from gatelab.diagnostics import findings, observe, timescales
from gatelab.models import SequenceModel
from gatelab.tasks import TASKS, Batch, Task

H = 4


def setting(variant: Variant, readout: str, ragged: bool = False, **settings: Any) -> tuple[SequenceModel, Task, Batch]:
    """A float64 model on 40 steps of adding, whose answer is the last step's, or of copying, where every step has one."""
    task = TASKS.build("adding", length=40) if readout == "last" else TASKS.build("copying", length=20)
    torch.manual_seed(0)  # of the head
    rnn = variant.rnn(task.input_size, H, batch_first=True, **settings)
    model = SequenceModel(rnn, task.output_size, readout, task.vocabulary).double()
    batch = task.batch("train", 0, np.arange(3))
    return model, task, batch._replace(lengths=torch.tensor([31, 40, 17])) if ragged else batch


@each_kind
@pytest.mark.parametrize("readout", ["last", "all"])
def test_a_long_row_is_sampled_as_it_would_be_seen_whole(variant: Variant, readout: str) -> None:
    """With room for seven steps of one row: every sixth step of all, and the gradients at the last seven."""
    model, task, batch = setting(variant, readout, ragged=True, num_layers=2)
    whole, own, end, rows = observe.sampled(model, task, batch.first(1), 10**6)
    cut, cut_own, cut_end, cut_rows = observe.sampled(model, task, batch, 7 * H)
    assert len(rows.x) == len(cut_rows.x) == 1
    steps = 40 if model.rnn.cell.memory is not None else 31
    for name, layer in cut.items():
        if model.rnn.cell.memory is None:
            assert layer.at.tolist() == [0, 5, 10, 15, 20, 25, 30]
        assert layer.length == steps
        for found, expected in ((layer.gates, whole[name].gates), (layer.states, whole[name].states)):
            assert found.keys() == expected.keys()
            for key, values in found.items():
                close(values, expected[key][layer.at])
        for key, values in layer.last.items():
            close(values, whole[name].gates[key][steps - len(values) : steps])
        for flows, reference in ((cut_own, own), (cut_end, end)):
            for part, values in flows[name][0].items():
                close(values, reference[name][0][part][steps - len(values) : steps])


def test_many_rows_are_sampled() -> None:
    model, task, batch = setting(Variant("lstm", {}), "all")
    layers, own, _, rows = observe.sampled(model, task, batch, 2 * 40 * H)
    assert len(rows.x) == 2
    assert layers["0"].gates["forget"].shape == (40, 2, H)
    assert own["0"][0]["c"].shape == (40, 2, H)
    assert observe.fits(model.rnn, batch, 3 * 40 * H)
    assert not observe.fits(model.rnn, batch, 3 * 40 * H - 1)
    assert not model.rnn.recording
    assert model.rnn.recorded == model.rnn.followed == {}


def test_both_directions_are_seen_in_their_own_order() -> None:
    """The reverse layer's events are where its scan meets them, behind which its rows are over."""
    model, task, batch = setting(Variant("lstm", {}), "last", ragged=True, bidirectional=True)
    layers, *_ = observe.sampled(model, task, batch)
    found = findings.of_layers(layers, batch.events)
    _, _, traces = model.rnn.trace(model.encode(batch.x), lengths=batch.lengths)
    alive = torch.arange(40) < batch.lengths[:, None]  # type: ignore[index]
    for layer, trace in traces.items():
        assert batch.events is not None
        gate = trace.gates["forget"].mean(-1)
        assert found.scalars[f"gate/{layer}/forget/at_events"] == pytest.approx(gate[alive & batch.events].mean().item())
        assert found.scalars[f"gate/{layer}/forget/elsewhere"] == pytest.approx(gate[alive & ~batch.events].mean().item())


@over("variant", DEFAULTS, readout=["last", "all"], ragged=[False, True])
def test_every_number_is_the_same_on_every_backend(variant: Variant, readout: str, ragged: bool) -> None:
    """`auto` takes the compiled loop where it serves the cell. Counts agree but for activations on the edge of a bin."""
    results = []
    for backend in ("eager", "auto"):
        model, task, batch = setting(variant, readout, ragged, num_layers=2, backend=backend)
        layers, own, end, rows = observe.sampled(model, task, batch)
        results.append(findings.of_layers(layers, rows.events) | findings.of_flows(own, end, per_step=True))
    one, other = results
    assert one.scalars == pytest.approx(other.scalars, rel=1e-6, nan_ok=True)  # slopes of curves down to 1e-12
    assert one.histograms == other.histograms
    assert one.arrays.keys() == other.arrays.keys()
    for key, values in one.arrays.items():
        assert values == pytest.approx(other.arrays[key], rel=1.1e-3, abs=1e-12, nan_ok=True), key  # rounded to four digits


def reads(cell: Cell, part: str) -> bool:
    """Whether the new state depends on a part of the old one; a part that depends on itself alone, as a clock, does not count."""
    p = {name: torch.ones(1) for name in cell.vectors}
    a, s = ({name: torch.ones(1, requires_grad=True) for name in names} for names in (cell.gates, cell.state))
    state, _ = cell.step(Parts(**a), Parts(**s), Parts(**p))
    alone = torch.autograd.grad(state[part].sum(), [*a.values()], retain_graph=True, allow_unused=True)
    read = [value for name, value in state.items() if name != part or any(one is not None for one in alone)]
    return torch.autograd.grad(torch.stack(read).sum(), s[part], allow_unused=True)[0] is not None


@each_default
def test_what_is_found_of_a_cell_follows_from_its_declarations(variant: Variant) -> None:
    model, task, batch = setting(variant, "all")
    layers, own, end, rows = observe.sampled(model, task, batch)
    found = findings.of_layers(layers, rows.events) | findings.of_flows(own, end)
    cell, gates = model.rnn.cell, layers["0"].gates
    for gate in gates:
        if gate in cell.unbounded:
            assert {f"gate/0/{gate}/{what}" for what in ("mean", "std", "at_events", "elsewhere")} <= found.scalars.keys()
            assert f"gate/0/{gate}/entropy" not in found.scalars
            continue
        for what in ("mean", "std", "saturated_left", "saturated_right", "entropy", "at_events", "elsewhere"):
            assert 0 <= found.scalars[f"gate/0/{gate}/{what}"] <= (1 if what != "entropy" else np.log(32))
        assert sum(found.histograms[f"gate/0/{gate}"]) == 3 * 40 * H
        assert len(found.arrays[f"gate/0/{gate}/units/mean"]) == H
        assert len(found.arrays[f"gate/0/{gate}/positions/mean"]) == 40
    assert ("timescale/0/q50" in found.scalars) == (cell.retention in gates)
    assert ("retention/0/mean" in found.arrays) == (cell.retention in gates)
    carried = [part for part in cell.own_state if part in cell.fed_back or reads(cell, part)]  # others are outputs alone
    for part in (*carried, "state"):
        for family in ("flow", "flow_end"):
            assert found.arrays[f"{family}/0/{part}/lags"] == timescales.lags(40).tolist()
            assert len(found.arrays[f"{family}/0/{part}/norm"]) == 40
            assert {f"{family}/0/{part}/{what}" for what in ("slope", "half_life", "omega")} <= found.scalars.keys()
    assert {f"state/0/{part}/{what}" for part in cell.own_state for what in ("norm", "growth")} <= found.scalars.keys()


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=FLOAT64, atol=FLOAT64)
