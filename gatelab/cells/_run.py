"""Runs the `step` of a cell on given data, and refuses what it returns or raises in another form than the contract's."""

import difflib
import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gatelab.cells._late import run_before, unavailable
from gatelab.cells._reductions import REDUCTIONS, Cut
from gatelab.cells._watch import ValueReadError, Watch
from gatelab.registry.contract import BrokenError, kind_of, line_in, place, raised

if TYPE_CHECKING:
    from gatelab.cells._cell import Cell

DECLARED = {"a": "gates", "s": "state", "p": "vectors"}

Key = tuple[str, str]  # ("a", "f") for inputs; ("state", "h"), ("gate", "forget") for what step returns


def run(cell: "Cell", data: Mapping[Key, Tensor], held: Mapping[Key, Tensor] | None = None) -> dict[Key, Tensor]:
    """What `step` returns, checked for names, types and shapes.

    Args:
        cell: the cell.
        data: pre-activations, state and vectors.
        held: results of functions over units, ("result", "0") for the first call, which the calls return whatever their argument
            is, so that all else can be checked for being pointwise.

    Returns:
        The new state, the gates and what `before` returns; and of each call of a function over units ("argument of total", "0")
        and ("result", "0").
    """

    def result(call: int, of: Any, x: Tensor) -> Tensor:
        if x.shape != next(iter(data.values())).shape:
            shapes = f"{tuple(x.shape)} from pre-activations of shape {tuple(next(iter(data.values())).shape)}"
            raise BrokenError(f"{REDUCTIONS[of]} is given a tensor of shape {shapes}; it takes (..., H)")
        if held is None:
            return of(x)
        if ("result", str(call)) not in held:
            raise BrokenError("step calls functions over units more often for some shapes of tensors than for others")
        return held["result", str(call)]

    cut = Cut(result)
    parts = {letter: SimpleNamespace(**{name: value for (at, name), value in data.items() if at == letter}) for letter in DECLARED}
    given = dict(vars(parts["p"]))
    name, like = "before", next(iter(data.values()))
    try:
        with cut:
            found = _tensors("value", run_before(cell, parts), like)
            name = "step"
            returned = cell.step(parts["a"], parts["s"], parts["p"])
    except BrokenError as broken:
        raise BrokenError(str(broken), broken.where or place(getattr(type(cell), name))) from broken
    except ValueReadError as error:
        raise BrokenError(
            f"{name} turns a tensor into a Python value (`if`, `float()`, `.item()` or a function of `math`); use torch.where and "
            "the functions of torch",
            _line(cell, error),
        ) from error
    except (Exception, SystemExit) as error:
        raise BrokenError(_raised(cell, name, error, parts), _line(cell, error)) from error
    if vars(parts["p"]).keys() != given.keys() or any(vars(parts["p"])[of] is not value for of, value in given.items()):
        raise BrokenError("step assigns to p; use a variable of its own instead, because p is the same at all steps")
    found |= _checked(cell, returned, like)
    for call, (of, x, value) in enumerate(cut.calls):
        found |= {(f"argument of {REDUCTIONS[of]}", str(call)): x, ("result", str(call)): value}
    return found


def _checked(cell: "Cell", returned: Any, like: Tensor) -> dict[Key, Tensor]:
    pair = isinstance(returned, tuple) and len(returned) == 2 and all(isinstance(part, Mapping) for part in returned)
    if not pair:
        raise BrokenError(f"step returns {kind_of(returned)}, but it must return two dicts, the new state and the activated gates")
    state, gates = returned
    if set(state) != set(cell.state):
        raise BrokenError(f"step returns the state {sorted(map(str, state))}, but `state` declares {sorted(cell.state)}")
    return _tensors("state", state, like) | _tensors("gate", gates, like)


def _tensors(kind: str, part: Mapping[Any, Any], like: Tensor) -> dict[Key, Tensor]:
    """What was returned, checked for types and shapes."""
    found: dict[Key, Tensor] = {}
    for name, value in part.items():
        what = f"{source(kind)} returns the {kind} '{name}'"
        if not isinstance(value, Tensor):
            raise BrokenError(f"{what} as {kind_of(value)}; it must be a tensor of shape (..., H)")
        if value.shape != like.shape:
            shapes = f"{tuple(value.shape)} from pre-activations of shape {tuple(like.shape)}"
            raise BrokenError(f"{what} of shape {shapes}; it must be pointwise, (..., H)")
        found_as, given_as = ((of.dtype, of.device.type, of.layout) for of in (value, like))
        if found_as != given_as:
            listed = (", ".join(map(str, of)) for of in (found_as, given_as))
            raise BrokenError("{} as {} from pre-activations that are {}; it must keep all three".format(what, *listed))
        found[kind, name] = value
    return found


def source(kind: str) -> str:
    """The method that returns results of a kind."""
    return "before" if kind == "value" else "step"


def place_of(cell: "Cell", kind: str) -> str | None:
    return place(getattr(type(cell), source(kind)))


def _raised(cell: "Cell", method: str, error: BaseException, parts: Mapping[str, Any]) -> str:
    """Explains an exception in `step` or `before`."""
    if isinstance(error, AttributeError):
        for letter, what in DECLARED.items():
            if error.obj is parts[letter]:
                if method == "before" and letter == "a" and error.name in cell.late:
                    return unavailable(cell, str(error.name))
                known = list(getattr(cell, what))
                near = difflib.get_close_matches(str(error.name), known, n=1)
                hint = f"; did you mean {letter}.{near[0]}?" if near else ""
                return f"{method} reads {letter}.{error.name}, but `{what}` declares {', '.join(known) or 'nothing'}{hint}"
    return raised(method, error)


def _line(cell: "Cell", error: BaseException) -> str | None:
    """The innermost line of the file of `step` that an exception passed through."""
    where = place(type(cell).step)
    return line_in([where.rpartition(":")[0] if where else None], error) or where


def run_watched(cell: "Cell", data: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    with Watch(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about a value that is read before it is refused here
        try:
            return run(cell, data)
        except BrokenError as broken:
            if broken.__cause__ is not None:
                # Torch itself refuses `if` and `float()` of several values, in other words, but not of one value.
                _check_value_read(cell, {key: value[..., :1] for key, value in data.items()})
            raise


def _check_value_read(cell: "Cell", data: Mapping[Key, Tensor]) -> None:
    try:
        run(cell, {key: value[:1] for key, value in data.items()})
    except BrokenError as broken:
        if isinstance(broken.__cause__, ValueReadError):
            raise
