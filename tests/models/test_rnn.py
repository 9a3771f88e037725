"""What RNN computes, for every cell and option: lengths, directions, states, gradients, and the trace of its inside."""

import dataclasses
from typing import Any

import pytest
import torch
from cells.variants import KINDS, VARIANTS, Variant, each_kind, each_variant, normal, random_state
from kernels.late_cells import completed
from tolerances import EXACT, FLOAT64, GRADCHECK
from torch import Tensor
from torch.func import functional_call

from gatelab.cells import CELLS, Cell, Parts
from gatelab.models import RNN

T, B, D, H = 6, 4, 3, 5
LENGTHS = torch.tensor([4, T, 1, 3])

each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
each_layout = pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])


def close(left: Any, right: Any, tolerance: float = FLOAT64) -> None:
    torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


def total(output: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """A scalar in which every output and every part of the last state has its own weight."""
    return sum((part * normal(*part.shape, seed=60 + n)).sum() for n, part in enumerate((output, *state)))  # type: ignore[return-value]


def gradients(rnn: RNN, loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [*rnn.parameters(), *inputs], retain_graph=True, materialize_grads=True))


# Lengths.


@each_kind
def test_lengths_are_each_row_alone(variant: Variant) -> None:
    """Outputs, last states and gradients of a padded batch are those of its rows, run one by one without padding."""
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x, state = normal(T, B, D).requires_grad_(), random_state(rnn, B)
    state = tuple(part.requires_grad_() for part in state)
    output, last = rnn(x, state, LENGTHS)
    loss: Any = 0.0
    for row, length in enumerate(LENGTHS.tolist()):
        alone, alone_last = rnn(x[:length, row], tuple(part[:, row] for part in state))
        close(output[:length, row], alone)
        assert not output[length:, row].any()
        for part, expected in zip(last, alone_last, strict=True):
            close(part[:, row], expected)
        weights = normal(*output.shape, seed=60)[:length, row]
        loss = loss + (alone * weights).sum()
        for n, part in enumerate(alone_last):
            loss = loss + (part * normal(*last[n].shape, seed=61 + n)[:, row]).sum()
    for own, expected in zip(gradients(rnn, total(output, last), x, *state), gradients(rnn, loss, x, *state), strict=True):
        close(own, expected)


def poisoned(x: Tensor, value: float) -> Tensor:
    behind = torch.arange(T)[:, None] >= LENGTHS
    return torch.where(behind[..., None], value * torch.sign(x.detach()), x)


@each_kind
@pytest.mark.parametrize("value", [1e30, float("nan")])
def test_nothing_behind_the_end_reaches_the_result(variant: Variant, value: float) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x, state = normal(T, B, D), random_state(rnn, B)
    for clean, dirty in zip(flat(rnn(x, state, LENGTHS)), flat(rnn(poisoned(x, value), state, LENGTHS)), strict=True):
        close(dirty, clean, EXACT)


def assert_gradients_unmoved(variant: Variant, value: float) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x, state = normal(T, B, D).requires_grad_(), tuple(part.requires_grad_() for part in random_state(rnn, B))
    clean = gradients(rnn, total(*rnn(x, state, LENGTHS)), x, *state)
    dirty = gradients(rnn, total(*rnn(poisoned(x, value), state, LENGTHS)), x, *state)
    assert clean[0].any()
    for own, expected in zip(dirty, clean, strict=True):
        close(own, expected)


@each_kind
def test_nothing_behind_the_end_reaches_a_gradient(variant: Variant) -> None:
    assert_gradients_unmoved(variant, 1e30)


@pytest.mark.slow
def test_nan_behind_the_end_does_not_reach_a_gradient() -> None:
    for variant in VARIANTS:
        assert_gradients_unmoved(variant, float("nan"))


def flat(result: tuple[Tensor, tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return result[0], *result[1]


@each_kind
def test_full_lengths_are_no_lengths(variant: Variant) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x = normal(T, B, D)
    for full in (torch.full((B,), T), torch.full((B,), T, dtype=torch.int32)):
        for own, expected in zip(flat(rnn(x, None, full)), flat(rnn(x)), strict=True):
            close(own, expected)


# Directions, layers, layouts, states.


@each_kind
def test_directions_and_layers_are_single_networks(variant: Variant) -> None:
    """Two layers of two directions, put together by hand from four networks of one layer and direction."""
    whole = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x, state = normal(T, B, D), random_state(whole, B)
    output, last = whole(x, state)
    inner = x
    for depth in (0, 1):
        outputs = []
        for direction, suffix in enumerate(("", "_reverse")):
            one = variant.rnn(inner.shape[-1], H)
            one.layers["0"].load_state_dict(whole.layers[f"{depth}{suffix}"].state_dict())
            at = 2 * depth + direction
            part, part_last = one(inner.flip(0) if suffix else inner, tuple(value[at : at + 1] for value in state))
            outputs.append(part.flip(0) if suffix else part)
            for own, expected in zip(last, part_last, strict=True):
                close(own[at], expected[0])
        inner = torch.cat(outputs, -1)
    close(output, inner)


@each_kind
@each_direction
def test_layouts_agree(variant: Variant, bidirectional: bool) -> None:
    """Batch first, time first and one sequence at a time are the same numbers; states are never batch first, as in torch."""
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=bidirectional)
    first = variant.rnn(D, H, num_layers=2, bidirectional=bidirectional, batch_first=True)
    x, state = normal(T, B, D), random_state(rnn, B)
    output, last = rnn(x, state, LENGTHS)
    swapped, swapped_last = first(x.transpose(0, 1), state, LENGTHS)
    close(swapped.transpose(0, 1), output)
    close(swapped_last, last)
    for network in (rnn, first):
        single, single_last = network(x[:, 1], tuple(part[:, 1] for part in state), LENGTHS[1:2])
        close(single, output[:, 1])
        close(single_last, tuple(part[:, 1] for part in last))


@each_kind
def test_state_is_a_tuple_or_a_tensor_if_it_has_one_part(variant: Variant) -> None:
    rnn = variant.rnn(D, H)
    x, state = normal(T, B, D), random_state(rnn, B)
    expected = flat(rnn(x, state))
    close(flat(rnn(x, list(state))), expected, EXACT)  # type: ignore[arg-type]
    if len(state) == 1:
        close(flat(rnn(x, state[0])), expected, EXACT)
        close(flat(rnn(x[:, 0], state[0][:, 0])), tuple(part[:, 0] for part in expected))


def remembers(variant: Variant) -> bool:
    """Whether `step` reads more than the last state."""
    memory = variant.cell().memory
    return memory is not None and memory.window != 1


@each_kind
def test_a_returned_state_carries_on(variant: Variant) -> None:
    """T = 2 + 4 steps are T steps, unless the cell reads a tape: a new call starts a new one."""
    rnn = variant.rnn(D, H, num_layers=2)
    x, state = normal(T, B, D), random_state(rnn, B)
    whole = flat(rnn(x, state))
    start, middle = rnn(x[:2], state)
    rest, last = rnn(x[2:], middle)
    close(start, whole[0][:2])
    if remembers(variant):
        assert float((rest - whole[0][2:]).detach().abs().max()) > 1e-3
    else:
        close((rest, *last), (whole[0][2:], *whole[1:]))


# Gradients.


def gradcheck(rnn: RNN, lengths: Tensor | None, T: int, B: int, fast: bool) -> bool:
    """Of every output and state with respect to input, initial state and every parameter; `fast` along a random direction."""
    leaves = [normal(T, B, rnn.input_size), *random_state(rnn, B), *(value.detach() for value in rnn.parameters())]
    names, parts = [name for name, _ in rnn.named_parameters()], len(rnn.cell.state)

    def run(point: Tensor) -> Tensor:
        pieces = point.split([leaf.numel() for leaf in leaves])
        x, *rest = (piece.view_as(leaf) for piece, leaf in zip(pieces, leaves, strict=True))
        parameters = dict(zip(names, rest[parts:], strict=True))
        results = flat(functional_call(rnn, parameters, (x, tuple(rest[:parts]), lengths)))
        return torch.cat([result.flatten() for result in results])

    point = torch.cat([leaf.flatten() for leaf in leaves]).requires_grad_()
    return torch.autograd.gradcheck(run, point, eps=1e-6, atol=GRADCHECK, rtol=GRADCHECK, fast_mode=fast)


each_differentiable = pytest.mark.parametrize("variant", [one for one in VARIANTS if not one.cell().straight_through], ids=str)


@each_differentiable
def test_gradients_are_derivatives(variant: Variant) -> None:
    assert gradcheck(variant.rnn(2, 2), None, T=3, B=1, fast=False)


@each_differentiable
@pytest.mark.slow
def test_gradients_are_derivatives_with_lengths_layers_and_directions(variant: Variant) -> None:
    assert gradcheck(variant.rnn(2, 3, num_layers=2, bidirectional=True), torch.tensor([2, 4]), T=4, B=2, fast=True)


# The inside.


@each_kind
def test_trace_returns_what_forward_returns(variant: Variant) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x, state = normal(T, B, D), random_state(rnn, B)
    for lengths in (None, LENGTHS):
        output, last, traces = rnn.trace(x, state, lengths)
        close((output, *last), flat(rnn(x, state, lengths)), EXACT)
        assert list(traces) == list(rnn.layers)


@each_kind
@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_traced_states_are_last_states_of_shorter_runs(variant: Variant, lengths: Tensor | None) -> None:
    """The state after step t is where a run over steps 0..t ends; in reverse, a run over steps t..T-1."""
    rnn = variant.rnn(D, H, bidirectional=True)
    x, state = normal(T, B, D), random_state(rnn, B)
    output, _, traces = rnn.trace(x, state, lengths)
    ends = lengths if lengths is not None else torch.full((B,), T)
    for t in range(T):
        rows = ends > t
        start = tuple(part[:, rows] for part in state)
        _, until = rnn(x[: t + 1, rows], start)
        _, since = rnn(x[t:, rows], start, ends[rows] - t)
        for number, part in enumerate(rnn.cell.state):
            close(traces["0"].states[part][t, rows], until[number][0])
            close(traces["0_reverse"].states[part][t, rows], since[number][1])
        states = [traces[name].states[part][t, rows] for name in ("0", "0_reverse") for part in rnn.cell.outputs]
        close(torch.cat(states, -1), output[t, rows])


@pytest.mark.parametrize("variant", [variant for variant in KINDS if not remembers(variant)], ids=str)
def test_traced_gates_are_those_of_each_step(variant: Variant) -> None:
    """Recomputed from the weights, the inputs of the layer and its states; a tape is checked in test_equations."""
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    cell, x, initial = rnn.cell, normal(T, B, D), random_state(rnn, B)
    _, _, traces = rnn.trace(x, initial, LENGTHS)
    below = x
    for number, (name, trace) in enumerate(traces.items()):
        if name == "1":
            below = torch.cat([traces[lower].states[part] for lower in ("0", "0_reverse") for part in cell.outputs], -1)
        weights = {of: value[0] for of, value in rnn.layers[name].weights().named().items()}  # type: ignore[operator]
        parts = Parts(**{vector: weights[vector] for vector in cell.vectors})
        for row, end in enumerate(LENGTHS.tolist()):
            order = range(end - 1, -1, -1) if name.endswith("_reverse") else range(end)
            s = dict(zip(cell.state, (part[number, row] for part in initial), strict=True))
            for t in order:
                a = dict(zip(cell.gates, weights["b"].split(H), strict=True))
                read = torch.cat([below[t, row], below.new_ones(int(cell.timed))])
                fed = torch.cat([s[part] for part in cell.fed_back]) if cell.fed_back else read
                for letter, operand, gates_of in (("W", read, cell.input_gates), ("R", fed, cell.recurrent_gates)):
                    product = weights[letter] @ operand if letter in weights else torch.zeros(0)
                    a |= {gate: a[gate] + value for gate, value in zip(gates_of, product.split(H), strict=letter in weights)}
                s, gates = cell.step(completed(cell, weights, a, s, parts), Parts(**s), parts)
                assert trace.gates.keys() == gates.keys()
                close({word: value[t, row] for word, value in trace.gates.items()}, gates)
                close({part: value[t, row] for part, value in trace.states.items()}, s)


@each_kind
@each_layout
@pytest.mark.slow
def test_trace_has_the_layout_of_the_input(variant: Variant, batch_first: bool) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True, batch_first=batch_first)
    time_first = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x = normal(T, B, D)
    _, _, expected = time_first.trace(x, None, LENGTHS)
    _, _, traces = rnn.trace(x.transpose(0, 1) if batch_first else x, None, LENGTHS)
    _, _, single = rnn.trace(x[:, 1])  # a row that is T long
    for name, trace in expected.items():
        for kind in ("gates", "states"):
            for word, values in getattr(trace, kind).items():
                own = getattr(traces[name], kind)[word]
                assert own.shape == ((B, T, H) if batch_first else (T, B, H))
                close(own.transpose(0, 1) if batch_first else own, values)
                assert getattr(single[name], kind)[word].shape == (T, H)
                close(getattr(single[name], kind)[word], values[:, 1])


def sees(cell: Cell, word: str) -> tuple[bool, bool]:
    """Whether a gate is computed from pre-activations of its step, and from more than those of the input alone."""
    a, s = ({name: normal(2).requires_grad_() for name in names} for names in (cell.gates, cell.state))
    _, gates = cell.step(Parts(**a), Parts(**s), Parts(**{name: normal(2) for name in cell.vectors}))
    past = [value for name, value in a.items() if cell.sources.get(name) != "input"] + [*s.values()]
    now, before = (
        any(value is not None for value in torch.autograd.grad(gates[word].sum(), of, retain_graph=True, allow_unused=True))
        for of in ([*a.values()], past)
    )
    return now, before


@each_variant
def test_trace_is_differentiable(variant: Variant) -> None:
    """The gradient of the traced output is that of the output; that of a gate reaches the parameters of its layer."""
    rnn = variant.rnn(D, H)
    x, state = normal(T, B, D).requires_grad_(), tuple(part.requires_grad_() for part in random_state(rnn, B))
    times = normal(B, T, seed=3).abs().requires_grad_() if rnn.cell.timed else None
    output, _, traces = rnn.trace(x, state, times=times)
    weights = normal(*output.shape, seed=5)
    out = torch.cat([traces["0"].states[name] for name in rnn.cell.outputs], -1)
    traced = gradients(rnn, (out * weights).sum(), x, *state)
    plain = gradients(rnn, (output * weights).sum(), x, *state)
    for own, expected in zip(traced, plain, strict=True):
        close(own, expected)
    shut = torch.zeros(T, B, dtype=torch.bool)  # a gate that jumps to 0 lets nothing of a step through
    for word in rnn.cell.straight_through:
        shut |= (traces["0"].gates[word] == 0).all(-1)
    for word, gate in traces["0"].gates.items():
        (grad, *by_times) = torch.autograd.grad(
            gate[-1].sum(), [x] if times is None else [x, times], retain_graph=True, allow_unused=True
        )
        if grad is None:  # the same at every step
            vectors = [rnn.layers["0"].get_parameter(name) for name in rnn.cell.vectors]
            parts = torch.autograd.grad(gate[-1].sum(), vectors, retain_graph=True, allow_unused=True)
            assert any(part is not None and part.all() for part in parts), f"{word} depends neither on the input nor on a vector"
        else:
            reached = grad.any(dim=-1)
            reached = reached | by_times[0].mT.bool() if by_times else reached
            now, past = sees(rnn.cell, word)
            if now:
                assert (reached | shut)[-1].all(), f"{word} at the last step does not depend on its input"
            # Without R it may read only the largest of what was read.
            if rnn.cell.recurrent_gates and past:
                assert (reached | shut)[:-1].all(), f"{word} at the last step does not depend on every input before"
            assert reached.any()


@each_kind
def test_recording_is_the_trace_in_scan_order(variant: Variant) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x, state = normal(T, B, D).requires_grad_(), random_state(rnn, B)
    assert list(rnn.replayed()) == []
    silent = flat(rnn(x, state, LENGTHS))
    assert rnn.recorded == {}
    rnn.recording = True
    close(flat(rnn(x, state, LENGTHS)), silent, EXACT)
    _, _, traces = rnn.trace(x, state, LENGTHS)
    found = list(rnn.replayed())
    assert [layer for layer, _, _ in found] == list(traces)
    for layer, inside, lengths in found:
        assert lengths is not None
        assert torch.equal(lengths, LENGTHS)
        for named, traced in zip(inside, traces[layer], strict=True):
            assert named.keys() == traced.keys()
            for word, values in named.items():
                assert not values.requires_grad
                for row, end in enumerate(LENGTHS.tolist()):
                    expected = traced[word][:end, row]
                    close(values[:end, row], expected.flip(0) if layer.endswith("_reverse") else expected)


def test_every_boolean_option_changes_the_result() -> None:
    """An option that a cell declares and forgets is found here: the output changes, or the size of a weight."""
    for name in CELLS.names():
        flags = [field.name for field in dataclasses.fields(CELLS.get(name)) if isinstance(field.default, bool)]
        for flag in flags:
            off, on = (Variant(name, {flag: value}).rnn(D, H) for value in (False, True))
            sizes = [{key: value.shape for key, value in rnn.state_dict().items()} for rnn in (off, on)]
            if any(sizes[1].get(key, size) != size for key, size in sizes[0].items()):
                continue
            on.load_state_dict(off.state_dict(), strict=False)
            assert not torch.allclose(off(normal(T, B, D))[0], on(normal(T, B, D))[0])
