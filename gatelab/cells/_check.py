"""Checks that a cell keeps the contract: reads its declarations and runs its `step` on random data."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from gatelab.cells._declared import check_class, check_declarations, is_name
from gatelab.cells._operands import without_weights
from gatelab.cells._run import Key, place_of, run, run_watched, source
from gatelab.registry.contract import BrokenError, base_of, class_place, place

if TYPE_CHECKING:
    from gatelab.cells._cell import Cell

ROWS, UNITS = 3, 8
ROW, UNIT = 0, 2  # the row and unit whose inputs are disturbed
COLUMN = 5  # the unit whose vectors are disturbed
# Rows and units of the data that `step` is given besides all of them, and in how many dimensions: one alone, some moved (as a layer
# gives them: its replicas are in front), many rows, many units.
SELECTIONS = (
    ([1], [4], 2),
    ([2, 0, 2, 1], [3, 1, 0, 6, 2], 3),
    ([row % ROWS for row in range(257)], [5], 2),
    ([1], [unit % UNITS for unit in range(1031)], 2),
)
DISTURBANCES = (5.0, -5.0)  # both signs: a maximum or minimum over units reacts to only one of them
LARGE = 10.0  # the factor on the data with which the range of gates is checked
SAME = 1e-7  # vectorised functions and those for the remaining elements round differently, which a cell may amplify
ROUNDING = 1e-6  # the rounding error by which a gate that is computed from others may leave [0, 1]


def class_problem(cls: "type[Cell]") -> str | None:
    """What is wrong with a class, before a cell of it is made; or None."""
    try:
        check_class(cls)
    except BrokenError as error:
        return error.sentence(class_place(cls))
    return None


def cell_problem(cell: "Cell") -> str | None:
    """What is wrong with a cell, or None. The answer is cached for equal cells."""
    try:
        hash(cell)
    except Exception as error:  # also raised for an option that was never set
        message = (
            f"its options cannot be hashed: {error}; options are numbers, strings, booleans, null and lists of them, and a "
            "__post_init__ must call super().__post_init__(), which turns lists into tuples"
        )
        return class_problem(type(cell)) or BrokenError(message).sentence(class_place(type(cell)))
    return _examined(cell)[0]


def activated(cell: "Cell") -> tuple[str, ...]:
    """The names of the gates that `step` returns; empty for a cell that is refused."""
    return () if cell_problem(cell) else _examined(cell)[1]


@functools.lru_cache(maxsize=1024)
def _examined(cell: "Cell") -> tuple[str | None, tuple[str, ...]]:
    try:
        check_class(type(cell))
        check_declarations(cell)
    except BrokenError as error:
        return error.sentence(class_place(type(cell))), ()
    try:
        with undisturbed():
            return None, _check_step(cell)
    except BrokenError as error:
        return error.sentence(place(type(cell).step)), ()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """The caller's modes, default device and autocast do not affect what runs inside."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_disable_current_modes())
        stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        stack.enter_context(torch.no_grad())
        yield


def _check_step(cell: "Cell") -> tuple[str, ...]:
    """Runs `step` on random data.

    Returns:
        The names of the gates that it returns.

    Raises:
        BrokenError: what it returns is not what is declared, or it is not pointwise.
    """
    data = _draw(cell)
    leaves = {key: value.clone().requires_grad_() for key, value in data.items()}
    with torch.enable_grad():
        given = {key: value.clone() for key, value in leaves.items()}
        results = run_watched(cell, given)
    whole = {key: value.detach() for key, value in results.items()}
    _check_gates(cell, [name for kind, name in whole if kind == "gate"])
    for (letter, name), value in given.items():
        if not torch.equal(value, data[letter, name]):
            raise BrokenError(f"step changes {letter}.{name} in place; compute a new tensor instead, without `+=` and `mul_`")
    again = run(cell, data)
    if any(not _same(again[key], value, exactly=True) for key, value in whole.items()):
        raise BrokenError(
            "step returns other values for the same input; it must not draw random numbers or keep a state of its own"
        )
    _check_disturbed(cell, data, whole)
    for rows, units, dimensions in SELECTIONS:
        _check_selection(cell, data, whole, rows, units, dimensions)
    _check_range(cell, whole)
    _check_range(cell, run(cell, {key: value * LARGE for key, value in data.items()}))
    run(cell, {key: value.float() for key, value in data.items()})
    _check_derivative(leaves, results)
    if cell.peer is not None:
        _check_peer(cell, cell.peer)
    return tuple(name for kind, name in whole if kind == "gate")


def _draw(cell: "Cell") -> dict[Key, Tensor]:
    """Random inputs: (ROWS, UNITS) of pre-activations and states, (UNITS,) of vectors; times are not negative."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    data = {("a", name): normal(ROWS, UNITS) for name in cell.gates}
    data |= {("a", name): data["a", name].abs() for name in without_weights(cell, "time")}
    data |= {("s", name): normal(ROWS, UNITS) for name in cell.state}
    return data | {("p", name): normal(UNITS) for name in cell.vectors}


# The values that are compared.


def _check_gates(cell: "Cell", names: Sequence[str]) -> None:
    """The names of the returned gates, and what refers to them."""
    returned = ", ".join(map(str, names)) or "none"
    for name in names:
        if name in cell.gates and name not in cell.gates.values():
            word = cell.gates[name]
            raise BrokenError(f"step returns the gate '{name}', but `gates` calls it '{word}'; return it as '{word}'")
        if not is_name(name):
            raise BrokenError(f"step returns the gate '{name}', but a name consists of letters, digits and underscores")
    if cell.retention not in names:
        own = type(cell).__mro__[: type(cell).__mro__.index(base_of(type(cell)))]
        if any("retention" in vars(owner) for owner in own):
            raise BrokenError(f"retention names '{cell.retention}', but step returns the gates {returned}")
        if cell.retention in cell.gates.values():
            raise BrokenError(
                f"step returns the gates {returned}, but not '{cell.retention}', which `gates` declares and timescales are read "
                "off; return it, or declare another gate as `retention`"
            )
    for declared in ("unbounded", "straight_through"):
        for name in getattr(cell, declared):
            if name not in names:
                raise BrokenError(f"{declared} names '{name}', but step returns the gates {returned}")


def _check_disturbed(cell: "Cell", data: Mapping[Key, Tensor], whole: Mapping[Key, Tensor]) -> None:
    """Disturbing one unit leaves all others unchanged, to the last bit, where functions over units return what they did before."""
    for disturbance in DISTURBANCES:
        moved = {key: value.clone() for key, value in data.items()}
        for (letter, _), value in moved.items():
            if letter != "p":
                value[ROW, UNIT] += disturbance
        for (kind, name), value in run(cell, moved, whole).items():
            changed = ~_equal(value, whole[kind, name])
            changed[ROW, UNIT] = False
            if changed.any():
                what = "units" if changed[ROW].any() else "rows"
                raise BrokenError(
                    f"{source(kind)} couples {what}: {_called(kind, name)} of other {what} changes with the inputs of one; it must "
                    f"be pointwise{_BUT if what == 'units' else ''}",
                    place_of(cell, kind),
                )
    moved = {key: value.clone() for key, value in data.items()}
    for value in moved.values():
        value[..., COLUMN] += DISTURBANCES[0]
    for (kind, name), value in run(cell, moved, whole).items():
        changed = ~_equal(value, whole[kind, name])
        changed[:, COLUMN] = False
        if changed.any():
            raise BrokenError(
                f"{source(kind)} couples units: {_called(kind, name)} of other units changes with the vectors of one; it must be "
                f"pointwise{_BUT}",
                place_of(cell, kind),
            )


_BUT = "; functions over the units of a row are total, mean, cumulate, softmax and normalize, of gatelab.cells"


def _called(kind: str, name: str) -> str:
    """What `run` returned, in words."""
    return f"the {kind} '{name}'" if kind in ("state", "gate", "value") else f"the {kind}"


def _check_selection(
    cell: "Cell",
    data: Mapping[Key, Tensor],
    whole: Mapping[Key, Tensor],
    rows: Sequence[int],
    units: Sequence[int],
    dimensions: int,
) -> None:
    """Some rows and units computed alone give the same as among the others."""
    row, unit = torch.tensor(rows), torch.tensor(units)

    def selected(value: Tensor) -> Tensor:
        chosen = value[row[:, None], unit] if value.dim() > 1 else value[unit]
        return chosen[(None,) * (dimensions - chosen.dim())]

    held = {key: selected(value) for key, value in whole.items() if key[0] == "result"}
    for (kind, name), value in run(cell, {key: selected(value) for key, value in data.items()}, held).items():
        if not _same(value, selected(whole[kind, name])):
            raise BrokenError(
                f"{source(kind)} gives {_called(kind, name)} other values in tensors of shape {tuple(value.shape)} than for the "
                f"same units in {(ROWS, UNITS)}; it must be pointwise, without a branch on the shape and without the position of a "
                "unit",
                place_of(cell, kind),
            )


def _check_range(cell: "Cell", results: Mapping[Key, Tensor]) -> None:
    """Gates are within [0, 1] unless they are declared as unbounded. NaN is ignored: it comes from the state."""
    for (kind, name), value in results.items():
        outside = (value < -ROUNDING) | (value > 1 + ROUNDING)
        if kind == "gate" and name not in cell.unbounded and outside.any():
            raise BrokenError(
                f"the gate '{name}' is {float(value[outside][0]):.3g} on random input, but a gate is within [0, 1]; declare "
                f'unbounded = ("{name}",) if it is meant to leave it'
            )


def _check_derivative(leaves: Mapping[Key, Tensor], results: Mapping[Key, Tensor]) -> None:
    """The derivative can be computed (`step` changed nothing that it needs), and the new state depends on pre-activations."""
    inputs = [value for (letter, _), value in leaves.items() if letter == "a"]
    learnt = False
    for kind in ("state", "gate"):
        values = [value for (of, _), value in results.items() if of == kind and value.requires_grad]
        try:
            # A sum, because torch imports sympy when it is given a gradient.
            with torch.enable_grad():
                total: Any = sum(value.sum() for value in values)
            found = torch.autograd.grad(total, inputs, retain_graph=True, allow_unused=True) if values else ()
        except RuntimeError as error:
            text = str(error).partition(":")[0]
            raise BrokenError(
                f"the derivative of step cannot be computed: {text}; compute new tensors without `+=` and `mul_`"
            ) from error
        learnt = learnt or any(value is not None for value in found)
        if not learnt:
            raise BrokenError(
                "step gives the new state no derivative by any pre-activation, so that no weight could be learnt; look for "
                "detach(), no_grad() and constant functions"
            )


def _check_peer(cell: "Cell", peer: Any) -> None:
    """The torch module that `peer` names computes the same step with weights of its shapes."""
    D, generator = 2, torch.Generator().manual_seed(1)
    try:
        module: Any = peer(D, UNITS, bias=False, dtype=torch.float64, device="meta")  # draws no random numbers
    except (TypeError, ValueError) as error:
        raise BrokenError(f"peer {peer.__name__} cannot be made: {error}") from error
    for name, value in [*module.named_parameters()]:  # `to_empty` does this, but imports sympy
        setattr(module, name, nn.Parameter(torch.empty(value.shape, dtype=value.dtype)))
    W, R = module.weight_ih_l0, module.weight_hh_l0
    for weight, name, gates in ((W, "W", cell.input_gates), (R, "R", cell.recurrent_gates)):
        if len(weight) != len(gates) * UNITS:
            blocks = f"{len(weight) // UNITS} blocks of rows, but {', '.join(gates) or 'no pre-activation'} in {name}"
            raise BrokenError(f"peer {peer.__name__} has {blocks} of the cell; declare the peer that has these equations, or none")
        weight.normal_(generator=generator)
    x, *states = (torch.randn(ROWS, size, generator=generator, dtype=torch.float64) for size in (D, *[UNITS] * len(cell.state)))
    s = {("s", name): value for name, value in zip(cell.state, states, strict=True)}
    a = dict(zip(cell.input_gates, (x @ W.mT).chunk(len(cell.input_gates), -1), strict=True))
    for name, part in zip(cell.recurrent_gates, (states[0] @ R.mT).chunk(len(cell.recurrent_gates), -1), strict=True):
        a[name] = a[name] + part if name in a else part
    p = {("p", name): torch.ones(UNITS, dtype=torch.float64) for name in cell.vectors}
    ours = run(cell, {("a", name): a[name].contiguous() for name in cell.gates} | s | p)
    given = [value[None] for value in states]
    last = module(x[None], tuple(given) if len(given) > 1 else given[0])[1]
    for name, value in zip(cell.state, last if isinstance(last, tuple) else (last,), strict=True):
        if not _same(ours["state", name], value[0]):
            raise BrokenError(f"step computes another '{name}' than its peer {peer.__name__}; declare no peer, or its equations")


def _same(value: Tensor, other: Tensor, exactly: bool = False) -> bool:
    """Whether two tensors are equal up to rounding; NaN equals NaN."""
    tolerance = 0.0 if exactly else SAME
    return torch.allclose(value, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def _equal(value: Tensor, other: Tensor) -> Tensor:
    return (value == other) | (value.isnan() & other.isnan())
