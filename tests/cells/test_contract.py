"""The cell contract, for every cell of the registry: what a file declares, says and computes must agree."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cells.variants import CELL_NAMES, TOO_FINE, VARIANTS, Variant, each_cell, each_variant, normal
from designs import over
from tolerances import EXACT, FLOAT32, FLOAT64, LANES
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import gatelab.cells
from gatelab.cells import CELLS, Attention, Cell, Parts, parameter_count, reductions_of, without_weights
from gatelab.errors import UserError
from gatelab.models import RNN

WORD = re.compile(r"[a-z]{3,}(_([a-z]+|[0-9]+))*")  # a number where a cell has several of a kind


# What a file says.


def test_every_file_is_an_entry() -> None:
    folder = Path(gatelab.cells.__file__).parent
    assert {path.stem for path in folder.glob("[!_]*.py")} <= set(CELL_NAMES)


@each_cell
def test_name_is_the_file_stem(name: str) -> None:
    cls = CELLS.get(name)
    assert Path(inspect.getfile(cls)).stem == name
    assert CELLS.name_of(cls) == name


@each_cell
def test_frozen_dataclass_of_its_own(name: str) -> None:
    """Without a decorator of its own, a class would inherit that of its base and lose its options without a word."""
    cls = CELLS.get(name)
    assert "__dataclass_params__" in vars(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert hash(cls()) == hash(cls())
    assert cls() == cls()


@each_cell
def test_every_option_has_a_help(name: str) -> None:
    for field in dataclasses.fields(CELLS.get(name)):
        assert field.metadata.get("help"), field.name
        assert field.default is not dataclasses.MISSING, field.name


@each_cell
def test_docstring(name: str) -> None:
    """Identity, equation, bounds, differs from the paper, references, in this order."""
    text = inspect.getdoc(CELLS.get(name)) or ""
    marks = ["```", "```", "\n\nBounds:", "\n\nDiffers from the paper:", "\n\nReferences:\n"]
    at = 0
    for mark in marks:
        found = text.find(mark, at)
        assert found >= 0, f"no {mark!r} behind character {at}"
        at = found + len(mark)
    identity, blank, opening, *_ = text.splitlines()
    assert identity.endswith(".")
    assert (blank, opening) == ("", "```")
    equations = text.split("```")[1]
    for part in CELLS.build(name).own_state:
        assert re.search(rf"^{part} += ", equations, re.MULTILINE), f"no equation for {part}"
    references = text.split("References:\n")[1].strip().splitlines()
    assert all(re.search(r"\b(19|20)\d\d\b", line) for line in references), "a reference has no year"
    module = inspect.getmodule(CELLS.get(name))
    assert module is not None
    assert module.__doc__


# What it declares.


@each_variant
def test_declarations(variant: Variant) -> None:
    cell = variant.cell()
    cell.check(variant.name)
    assert len(set(cell.gates.values())) == len(cell.gates)
    assert all(WORD.fullmatch(word) for word in cell.gates.values())
    names = [*cell.gates, *cell.state, *cell.vectors]
    assert all(name.isidentifier() for name in names)
    assert len({*cell.vectors, "W", "R", "b"}) == len(cell.vectors) + 3
    assert set(cell.sources.values()) <= {"input", "recurrent", "raw", "time"}
    assert set(cell.input_gates) | set(cell.recurrent_gates) | set(cell.late) == set(cell.gates)


@over(
    "variant",
    VARIANTS,
    quick=lambda *_: True,
    bias=[pytest.param(True, id="bias"), pytest.param(False, id="no bias")],
    sizes=[(1, 1), (3, 4), (7, 5)],
)
def test_parameter_count(variant: Variant, bias: bool, sizes: tuple[int, int]) -> None:
    D, H = sizes
    rnn = variant.rnn(D, H, bias=bias)
    assert parameter_count(rnn.cell, D, H, bias) == sum(parameter.numel() for parameter in rnn.parameters())
    deep = variant.rnn(D, H, bias=bias, num_layers=3, bidirectional=True)
    expected = 2 * (parameter_count(rnn.cell, D, H, bias) + 2 * parameter_count(rnn.cell, 2 * rnn.cell.output_size(H), H, bias))
    assert expected == sum(parameter.numel() for parameter in deep.parameters())


@each_cell
def test_initial_bias_lands_in_its_rows(name: str) -> None:
    H = 3
    owners = {field.name: field.metadata["bias_of"] for field in dataclasses.fields(CELLS.get(name)) if "bias_of" in field.metadata}
    assert all(option == f"{CELLS.get(name).gates[owner]}_bias" for option, owner in owners.items())
    chosen: dict[str, Any] = {option: 2.0 + number for number, option in enumerate(owners)}
    rnn = RNN(name, 2, H, num_layers=2, bidirectional=True, **chosen)
    for layer in rnn.layers.values():
        for number, gate in enumerate(rnn.cell.rows("b")):
            rows = layer.b[number * H : (number + 1) * H]  # type: ignore[index]
            expected = next(
                (chosen[option] for option, owner in owners.items() if owner == gate), rnn.cell.initial_bias.get(gate, 0.0)
            )
            if not {"b", f"b.{gate}"} & set(rnn.cell.initial):
                assert rows.tolist() == [expected] * H


@each_variant
def test_initial_weights_fill_their_interval(variant: Variant) -> None:
    """U(-1/sqrt(H), 1/sqrt(H)), as in torch, where the cell declares nothing else; `reset_parameters` draws again."""
    H = 64
    rnn = RNN(variant.name, 64, H, **variant.options)
    before = {name: value.clone() for name, value in rnn.layers["0"].state_dict().items()}
    rnn.reset_parameters()
    for name, value in rnn.layers["0"].state_dict().items():
        gates = rnn.cell.rows(name) or ("",)
        for gate, block, old in zip(gates, value.chunk(len(gates)), before[name].chunk(len(gates)), strict=True):
            declared = rnn.cell.initial.get(f"{name}.{gate}", rnn.cell.initial.get(name))
            if declared is None and name != "b":
                assert float(block.abs().max()) <= 1 / math.sqrt(H)
                assert float(block.abs().max()) > 0.8 / math.sqrt(H)
                assert float(block.min()) < 0 < float(block.max())
                assert not torch.equal(block, old)
            elif declared is not None and name != "b":
                low, high = declared.limits
                assert low - FLOAT32 <= float(block.min()) <= float(block.max()) <= high + FLOAT32


# What `step` computes.


def arguments(cell: Cell, *shape: int, scale: float = 1.0, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Pre-activations and states of that shape and vectors (H,), in the order of the declarations."""
    tensors = [scale * normal(*shape, seed=seed + n, dtype=dtype) for n in range(len(cell.gates) + len(cell.state))]
    times = without_weights(cell, "time")
    tensors[: len(cell.gates)] = [value.abs() if name in times else value for name, value in zip(cell.gates, tensors, strict=False)]
    return tensors + [scale * normal(shape[-1], seed=seed + 50 + n, dtype=dtype) for n in range(len(cell.vectors))]


def step(cell: Cell, *tensors: Tensor) -> dict[str, Tensor]:
    """New state and activated gates, from tensors in the order of the declarations."""
    G, S = len(cell.gates), len(cell.state)
    a, s, p = tensors[:G], tensors[G : G + S], tensors[G + S :]
    parts = (
        Parts(**dict(zip(names, given, strict=True))) for names, given in ((cell.gates, a), (cell.state, s), (cell.vectors, p))
    )
    state, gates = cell.step(*parts)
    assert list(state) == list(cell.state)
    return {f"state {name}": value for name, value in state.items()} | {f"gate {name}": value for name, value in gates.items()}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=tolerance, atol=tolerance, msg=lambda text, at=name: f"{at}: {text}")


@each_variant
def test_step_is_pointwise(variant: Variant) -> None:
    cell, H = variant.cell(), 5
    given = arguments(cell, 2, 6, H)
    whole = step(cell, *given)
    assert all(value.shape == (2, 6, H) for value in whole.values())
    rows, units = torch.tensor([4, 0, 5, 5]), torch.tensor([3, 1, 0, 4, 2])
    if reductions_of(cell):  # `check` takes their results from the whole; here the rows alone are moved
        units = torch.arange(H)
    moved = [value[:, rows][..., units] if value.ndim == 3 else value[units] for value in given]
    assert_same(step(cell, *moved), {name: value[:, rows][..., units] for name, value in whole.items()}, LANES)
    one = slice(None) if reductions_of(cell) else slice(3, 4)
    alone = [value[1:, 2:3, one] if value.ndim == 3 else value[one] for value in given]
    assert_same(step(cell, *alone), {name: value[1:, 2:3, one] for name, value in whole.items()}, LANES)


@each_variant
def test_step_is_free_of_branches(variant: Variant) -> None:
    """What was traced on one input is right on others: small, large, negative, zero."""
    cell = variant.cell()
    given = arguments(cell, 1, 3, 4)
    graph = make_fx(lambda *tensors: step(cell, *tensors))(*given)
    others = [arguments(cell, 1, 3, 4, scale=scale, seed=9) for scale in (0.1, 10.0)]
    others += [[-value for value in given], [value.abs() for value in given], [torch.zeros_like(value) for value in given]]
    for other in others:
        assert_same(graph(*other), step(cell, *other), EXACT)


@each_variant
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_gates_are_words_and_fractions(variant: Variant, dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and variant.name in TOO_FINE:
        pytest.skip(TOO_FINE[variant.name])
    cell = variant.cell()
    large = arguments(cell, 16, 32, 16, scale=10.0, dtype=dtype)
    gates = {name.removeprefix("gate "): value for name, value in step(cell, *large).items() if name.startswith("gate ")}
    for name, value in gates.items():
        assert WORD.fullmatch(name), name
        assert name in cell.unbounded or 0 <= float(value.min()) <= float(value.max()) <= 1, name
        assert float(value.max()) - float(value.min()) > 0.9, f"{name} hardly moves"


# What its docstring claims.


def within(part: str, bound: float, reached: float = 0.9) -> Callable[[Cell, dict[str, Tensor]], None]:
    """|part| stays below the bound and comes near it: an experiment that stays far away would show nothing.

    Args:
        part: of the state.
        bound: what it stays below.
        reached: the share of the bound that random input and weights reach.
    """

    def measure(cell: Cell, states: dict[str, Tensor]) -> None:
        largest = float(states[part][1:].abs().max())  # the state before the first step is the user's
        assert reached * bound < largest <= bound + FLOAT64

    return measure


def grows(by: float, part: str = "c", reached: float = 0.9) -> Callable[[Cell, dict[str, Tensor]], None]:
    """|part| is at most the largest that `step` may have read, plus that much."""

    def measure(cell: Cell, states: dict[str, Tensor]) -> None:
        size = states[part].abs()
        window = (cell.memory.window or len(size)) if cell.memory else 1
        read = torch.stack([size[max(0, t - window) : t].amax(0) for t in range(1, len(size))])
        # Differences of sums: their rounding errors grow with the sums.
        assert reached * by < float((size[1:] - read).max()) <= by + FLOAT64 * max(1.0, float(size.max()))

    return measure


def leaps(part: str) -> Callable[[Cell, dict[str, Tensor]], None]:
    """|part| exceeds its old value by more than 1 somewhere. A state that has no bound may leave the range of floats: it is cut."""

    def measure(cell: Cell, states: dict[str, Tensor]) -> None:
        growth = states[part].abs().diff(dim=0)
        assert float(growth[growth.isfinite()].max()) > 1

    return measure


def creeps(cell: Any, states: dict[str, Tensor]) -> None:
    """No unit moves by more than the step size, and one comes near it."""
    largest = float(states["h"].diff(dim=0).abs().max())
    assert 0.7 * cell.epsilon < largest <= cell.epsilon + FLOAT64


def below_the_cell(cell: Cell, states: dict[str, Tensor]) -> None:
    """|h(t)| is at most |c(t)| and comes near it."""
    h, c = states["h"][1:].abs(), states["c"][1:].abs()
    assert bool((h <= c).all())
    assert float((h - 0.9 * c).max()) > 0


def not_negative(cell: Cell, states: dict[str, Tensor]) -> None:
    """h is rectified: it is 0 somewhere and never below."""
    assert float(states["h"][1:].min()) == 0


def exceeds(part: str) -> Callable[[Cell, dict[str, Tensor]], None]:
    """|part| passes 1, from where it started, by itself."""

    def measure(cell: Cell, states: dict[str, Tensor]) -> None:
        assert float(states[part][1:].abs().max()) > 1

    return measure


def settles(cell: Any, states: dict[str, Tensor]) -> None:
    """|y| is at most 1 / gamma in the second half, and comes within a third of it: what is left of the start is below 0.1 of it."""
    largest = float(states["y"][100:].abs().max())
    assert 1 / (3 * cell.gamma) < largest < 1.1 / cell.gamma


# A claim under "Bounds:", and how it is measured on states (T+1, B, H) that start from |s_0| <= 1.
CLAIMS: dict[str, Callable[[Cell, dict[str, Tensor]], None]] = {
    "|h| < 1": within("h", 1.0),
    "|h| stays below 1": within("h", 1.0, reached=0.5),  # a normalised c, or a gate that is shut for most units
    "|h| < 2": within("h", 2.0),
    "|h| < 0.72": within("h", 0.72, reached=0.85),
    "|h| < exp(beta) from |h_0| <= 1": within("h", math.e, reached=0.5),  # a test of its own comes nearer
    "|c| < 1": within("c", 1.0),
    "|h| < tanh(1)": within("h", math.tanh(1)),
    "|h| <= 1 from |h_0| <= 1": within("h", 1.0),
    "|c| <= 1 from |c_0| <= 1": within("c", 1.0),
    "h >= 0": not_negative,
    "|h| is not bounded": exceeds("h"),
    "|y| is not bounded": exceeds("y"),
    "|re| is not bounded": exceeds("re"),
    "|y| <= 1 / gamma once the start is forgotten": settles,
    "|y| <= 1 from |y_0| <= 1": within("y", 1.0),
    "|z| <= 1 from |z_0| <= 1": within("z", 1.0),
    "|s| <= 1 from |s_0| <= 1": within("s", 1.0),
    "|h| <= |c|": below_the_cell,
    "|c| grows by less than 1 a step": grows(1.0),
    "|c| of a unit grows by less than 1 a step": grows(1.0, reached=0.3),  # gates that are normalised seldom open all at once
    "|c| grows by less than 2 a step": grows(2.0),
    "|c| can grow by more than 1 a step": leaps("c"),
    "|h| can grow by more than 1 a step": leaps("h"),
    "|h| grows by less than 1 a step": grows(1.0, "h", reached=-math.inf),  # as much as scalars that are drawn allow
    "|h| grows by less than 2 a step": grows(2.0, "h", reached=-math.inf),  # a test of its own comes near both
    "|c| exceeds the largest |c_j| read by less than 1": grows(1.0),
    "|h| grows by less than epsilon a step": creeps,
}


def claims(name: str) -> list[str]:
    text = inspect.getdoc(CELLS.get(name)) or ""
    bounds = " ".join(text.split("Bounds:")[1].split("\n\n")[0].split("Cost:")[0].split())
    return [claim.strip().rstrip(".") for claim in bounds.split(";")]


@each_variant
@pytest.mark.parametrize("scale", [0.5, 8.0])
def test_bounds_hold(variant: Variant, scale: float) -> None:
    """Over 200 steps, with small and with large weights, of which one comes near the bound."""
    rnn = variant.rnn(3, 6, scale=scale)
    found = claims(variant.name)
    start = 0.0 if any("from the zero state" in claim for claim in found) else 1.0
    initial = tuple(start * torch.sign(normal(1, 8, 6, seed=part)) for part in range(len(rnn.cell.state)))
    with torch.no_grad():
        _, _, traces = rnn.trace(3 * normal(200, 8, 3), initial)
    states = {name: torch.cat((start, traces["0"].states[name])) for name, start in zip(rnn.cell.state, initial, strict=True)}
    assert found
    for claim in found:
        measures = [measure for key, measure in CLAIMS.items() if re.match(rf"{re.escape(key)}(\W|$)", claim)]
        assert len(measures) == 1, f"no measurement for the bound {claim!r}: add it to CLAIMS"
        measures[0](rnn.cell, states)


def test_memory_declares_the_shapes_of_the_read() -> None:
    additive, dot = Attention(score="additive"), Attention(score="dot")
    assert additive.parameters(3, 5) == {"K": (5, 5), "Q": (5, 3), "P": (5, 5), "v": (5,)}
    assert dot.parameters(3, 5) == {"K": (5, 5), "Q": (5, 3), "P": (5, 5)}
    with pytest.raises(UserError, match="'window' is 0, but it must be at least 1"):
        Attention(window=0)
    with pytest.raises(UserError, match="Did you mean 'dot'"):
        Attention(score="dott")
