"""Random masks beside the cell: what they do to the state, that all backends agree, and that a key decides them."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from cells.variants import DEFAULTS, FEW, Variant, each_kind, normal, random_state
from tolerances import FLOAT64

from gatelab.cells import Cell, Parts, has_products, held_by_zoneout
from gatelab.errors import UserError
from gatelab.models import RNN
from gatelab.models._masks import split, uniform

T, B, D, H = 6, 3, 4, 4
# Each compiles a library of its own: a few that together have all that the masks meet.
TRIED = [
    pytest.param(variant, id=str(variant), marks=[] if variant.name == "lstm" else pytest.mark.slow)
    for variant in DEFAULTS
    if variant.name in {"lstm", "mingru", *FEW}
]
RATES = {"recurrent_dropout": 0.25, "zoneout": 0.3, "zoneout_memory": 0.4}


def rates_of(variant: Variant) -> dict[str, float]:
    """Those that the cell can have."""
    cell = variant.cell()
    fits = {
        "recurrent_dropout": has_products(cell),
        "zoneout": True,
        "zoneout_memory": not set(held_by_zoneout(cell)) <= set(cell.outputs),
    }
    return {name: rate for name, rate in RATES.items() if fits[name]}


def run(rnn: RNN, *arguments: Any, seed: int = 3, **options: Any) -> list[torch.Tensor]:
    """Output, last state and gradients of the parameters, with the masks of a seed."""
    torch.manual_seed(seed)
    output, last = rnn(*arguments, **options)
    loss = (output * normal(*output.shape, seed=5)).sum() + sum(part.sin().sum() for part in last)
    found = torch.autograd.grad(loss, list(rnn.parameters()), materialize_grads=True)
    return [output.detach(), *(part.detach() for part in last), *found]


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)


def assert_close(ones: list[torch.Tensor], others: list[torch.Tensor]) -> None:
    for one, other in zip(ones, others, strict=True):
        close(one, other)


@pytest.mark.parametrize("variant", TRIED)
def test_the_compiled_loop_agrees_with_the_eager_one(variant: Variant) -> None:
    """Two layers and directions, with lengths and resets, in training and in evaluation."""
    rates = rates_of(variant)
    loops = [variant.rnn(D, H, num_layers=2, bidirectional=True, backend=name, **rates) for name in ("eager", "cpu")]
    x, state, resets = normal(T, B, D), random_state(loops[0], B), torch.zeros(B, T, dtype=torch.bool)
    resets[0, 2] = True
    for training in (True, False):
        eager, compiled = (run(rnn.train(training), x, state, [T, 2, T], resets=resets) for rnn in loops)
        assert_close(eager, compiled)


@dataclasses.dataclass(frozen=True)
class Users(Cell):
    """Its kernel is compared with the eager loop before it is used."""

    gates = {"f": "forget", "z": "block_input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        f = torch.sigmoid(a.f)
        return {"h": f * s.h + (1 - f) * torch.tanh(a.z)}, {"forget": f}


def test_a_cell_of_a_user_has_masks_and_a_kernel() -> None:
    loops = [RNN(Users(), D, H, zoneout=0.3, recurrent_dropout=0.2, backend=name, dtype=torch.float64) for name in ("eager", "cpu")]
    loops[1].load_state_dict(loops[0].state_dict())
    assert_close(*(run(rnn, normal(T, B, D)) for rnn in loops))


def test_checkpointing_and_threads_change_no_mask() -> None:
    plain = Variant("lstm", {}).rnn(D, H, backend="cpu", **RATES)
    kept = Variant("lstm", {}).rnn(D, H, backend="cpu", checkpoint_every=1, **RATES)
    x = normal(50, B, D)
    expected = run(plain, x)
    for one, other in zip(expected, run(kept, x), strict=True):
        assert torch.equal(one, other)
    torch.set_num_threads(2)
    try:
        threaded = run(plain, x)
    finally:
        torch.set_num_threads(1)
    assert_close(threaded, expected)  # gradients are added up in another order; other masks would change them far more


@each_kind
def test_zoneout_keeps_parts_of_the_state(variant: Variant) -> None:
    """A unit is what it was or what the step makes of it, all parts but the output together; the gates are undisturbed."""
    rates = rates_of(variant) | {"recurrent_dropout": 0.0}
    rnn = variant.rnn(D, H, **rates)
    x = normal(40, B, D)
    torch.manual_seed(0)
    rnn.recording = True
    with torch.no_grad():
        rnn(x)
    record = rnn.recorded["0"][0]
    p = Parts(**{name: rnn.layers["0"].weights().p[name][:, None, None] for name in rnn.cell.vectors})  # type: ignore[operator]
    plain, gates = rnn.cell.step(Parts(**record.a), Parts(**record.s), p)
    (_, trace, _) = next(rnn.replayed())
    for word, value in gates.items():
        close(trace.gates[word], value[0])
    for name in held_by_zoneout(rnn.cell):
        old, new, found = record.s[name][0], plain[name][0], trace.states[name]
        which = "zoneout_output" if name in rnn.cell.outputs else "zoneout_memory"
        kept = record.a[which][0].bool()
        close(found, torch.where(kept, old, new))
        assert 0.15 < kept.double().mean() < 0.55
        if rnn.cell.memory is None:  # attention reads something else than the state before
            close(found[:-1], record.s[name][0][1:])
    if len(record.a) > len(rnn.cell.gates) + 1:
        assert not torch.equal(record.a["zoneout_output"], record.a["zoneout_memory"])


def test_zoneout_holds_no_clock_and_no_earlier_step() -> None:
    assert held_by_zoneout(Variant("clockwork", {}).cell()) == ("h",)
    assert held_by_zoneout(Variant("taugru", {}).cell()) == ("h",)
    assert held_by_zoneout(Variant("lstm", {}).cell()) == ("h", "c")


def test_evaluation_takes_the_mean_of_zoneout_and_leaves_dropout_out() -> None:
    rnn = Variant("lstm", {}).rnn(D, H, **RATES).eval()
    plain = Variant("lstm", {}).rnn(D, H).eval()
    x, (h, c) = normal(1, B, D), random_state(rnn, B)
    with torch.no_grad():
        _, (new_h, new_c) = rnn(x, (h, c))
        _, (plain_h, plain_c) = plain(x, (h, c))
    torch.testing.assert_close(new_h, 0.3 * h + 0.7 * plain_h)
    torch.testing.assert_close(new_c, 0.4 * c + 0.6 * plain_c)
    dropped = Variant("lstm", {}).rnn(D, H, recurrent_dropout=0.5).eval()
    assert torch.equal(dropped(x)[0], plain(x)[0])


def test_dropout_hides_units_from_the_product_for_a_whole_row() -> None:
    """By hand: h = tanh(W x + R (m . h) + b) with one m for each row."""
    rnn = Variant("rnn", {}).rnn(D, H, recurrent_dropout=0.5)
    x = normal(T, B, D)
    torch.manual_seed(2)
    output = rnn(x)[0].detach()
    torch.manual_seed(2)
    key = split(torch.randint(2**63 - 1, (), dtype=torch.int64), 0, 0)
    mask = (uniform(split(key, 0), (B, H), x) >= 0.5).double() * 2
    assert 0 < mask.mean() < 2
    layer, h = rnn.layers["0"], torch.zeros(B, H, dtype=torch.float64)
    for t in range(T):
        h = torch.tanh(x[t] @ layer.W.T + (mask * h) @ layer.R.T + layer.b).detach()  # type: ignore[union-attr, operator]
        torch.testing.assert_close(output[t], h)


def test_the_flow_goes_through_what_dropout_hides_and_what_it_does_not() -> None:
    """dL/dh(t) from a disturbance of the state between two calls with the same masks is that of the whole row."""
    rnn = Variant("lstm", {}).rnn(D, H, recurrent_dropout=0.5)
    x, state = normal(1, B, D), tuple(part.requires_grad_() for part in random_state(rnn, B))
    rnn.following = True
    torch.manual_seed(4)
    output, _ = rnn(torch.cat([x, normal(T, B, D, seed=8)]))
    output.square().sum().backward()
    (_, whole, _) = next(rnn.gradient_flow())
    torch.manual_seed(4)
    rnn.following = False
    with torch.no_grad():
        first, last = rnn(torch.cat([x, normal(T, B, D, seed=8)])[:1])
    start = tuple(part.detach().requires_grad_() for part in last)
    torch.manual_seed(4)
    rest, _ = rnn(normal(T, B, D, seed=8), start)
    loss = rest.square().sum()
    found = torch.autograd.grad(loss, start)
    torch.testing.assert_close(whole["h"][0], found[0][0] + 2 * first[0])
    torch.testing.assert_close(whole["c"][0], found[1][0])
    assert len(state) == 2


def test_the_state_dict_and_the_state_are_those_of_the_cell() -> None:
    disturbed, plain = RNN("lstm", D, H, **RATES), RNN("lstm", D, H)  # type: ignore[arg-type]
    disturbed.load_state_dict(plain.state_dict())
    assert disturbed.state_dict().keys() == plain.state_dict().keys()
    assert len(disturbed(torch.zeros(T, B, D))[1]) == 2


def test_without_rates_nothing_is_drawn() -> None:
    rnn = RNN("lstm", D, H)
    before = torch.get_rng_state()
    rnn(torch.zeros(T, B, D))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_captured_graph_draws_the_same_masks() -> None:
    rnn = Variant("gru", {}).rnn(D, H, recurrent_dropout=0.5, zoneout=0.5)
    x = normal(T, B, D)
    compiled = torch.compile(rnn, backend="eager")
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = rnn(x)[0]
        torch.manual_seed(seed)
        assert torch.equal(compiled(x)[0], expected)


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        ("lstm", {"zoneout": 1.0}, "zoneout is 1.0, but it is a rate of at least 0 and below 1"),
        ("lstm", {"recurrent_dropout": -0.1}, "recurrent_dropout is -0.1, but it is a rate"),
        ("mingru", {"recurrent_dropout": 0.1}, "no recurrent product of mingru reads its state"),
        ("gru", {"zoneout_memory": 0.1}, "gru carries nothing that it could hold beside its output h. Use zoneout."),
        ("lstm", {"residual": 1}, "residual is 1 of type int, but it must be True or False"),
    ],
)
def test_what_is_refused(cell: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RNN(cell, D, H, **options)


def test_residual_adds_the_input_where_the_sizes_agree() -> None:
    plain, residual = (Variant("lstm", {}).rnn(D, H, num_layers=2, residual=on) for on in (False, True))
    x = normal(T, B, D)
    first, second = (RNN("lstm", D, H, dtype=torch.float64, backend="eager") for _ in range(2))
    for layer, one in zip(plain.stack(), (first, second), strict=True):
        one.layers["0"].load_state_dict(layer.state_dict())
    middle = first(x)[0] + x
    torch.testing.assert_close(residual(x)[0], second(middle)[0] + middle)
    wider = Variant("lstm", {}).rnn(D + 1, H, residual=True)
    same = Variant("lstm", {}).rnn(D + 1, H)
    assert torch.equal(wider(normal(T, B, D + 1))[0], same(normal(T, B, D + 1))[0])


def test_torch_has_no_module_for_it_and_the_text_shows_it() -> None:
    rnn = RNN("lstm", D, H, zoneout=0.1, residual=True)
    assert ", zoneout=0.1, residual=True" in repr(rnn)
    with pytest.raises(UserError, match="neither zoneout nor recurrent dropout nor residual layers"):
        rnn.to_torch()


# The generator.


def test_it_is_splitmix64() -> None:
    """The first numbers from the seed 1234567, as Python's integers give them."""
    mask, state, expected = 2**64 - 1, 1234567, []
    for _ in range(100):
        state = (state + 0x9E3779B97F4A7C15) & mask
        value = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ value >> 27) * 0x94D049BB133111EB) & mask
        expected.append(((value ^ value >> 31) >> 40) / 2**24)
    assert expected[0] == (6457827717110365317 >> 40) / 2**24  # as published for this seed
    found = uniform(torch.tensor(1234567), (100,), torch.zeros((), dtype=torch.float64))
    assert found.tolist() == expected


def test_its_numbers_are_uniform_and_independent_between_keys() -> None:
    keys = [split(torch.tensor(5), layer, purpose) for layer in range(2) for purpose in range(2)]
    drawn = np.stack([uniform(key, (8000,), torch.zeros(())).numpy() for key in keys])
    error = 4 / np.sqrt(8000)  # 4 standard errors
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < error
    assert np.abs(np.corrcoef(drawn[:, 1:], drawn[:, :-1])[:4, 4:]).max() < error
    for row in drawn:
        assert np.abs(np.histogram(row, 10, (0, 1))[0] / 8000 - 0.1).max() < 4 * np.sqrt(0.09 / 8000)
