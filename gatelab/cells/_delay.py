"""What `delay` declares: earlier inputs beside x(t), and earlier states beside s(t-1), carried as parts of the state.

All other modules see a cell without delays, which has more parts of the state: they move on by one place at every step. What is
carried of an earlier input is its product W_g x, which is as wide as every other part.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gatelab.registry.contract import BrokenError

if TYPE_CHECKING:
    from gatelab.cells._cell import Cell

INPUT = "x"
EXAMPLE = 'delay = {"h": 3} or delay = {"x": 1}'

Move = tuple[str | None, str | None]  # the pre-activation and the part before the step whose sum is the part after it


def unfold(cell: "Cell") -> None:
    """Gives a cell that declares `delay` the pre-activations and parts of the state that follow from it, and a `step` for them."""
    try:
        check_delay(cell)
        delay = cell.delay
    except Exception:  # `check` explains it
        return
    if not delay:
        return
    moves: dict[str, Move] = {}
    for part, steps in delay.items():
        if part != INPUT:
            moves |= {f"{part}_{lag}": (None, part if lag == 2 else f"{part}_{lag - 1}") for lag in range(2, steps + 1)}
    window, words, sums = delay.get(INPUT, 0), {}, {}
    for lag in range(1, window + 1):
        for gate in cell.weighted_gates:
            name = f"{gate}_x{lag}"
            moves[name] = (name, f"{gate}_x{lag + 1}" if lag < window else None)
            words[name] = cell.gates[gate] + "_before" * lag
            sums[gate] = f"{gate}_x1"
    derived: dict[str, Any] = {
        "delayed": tuple(moves),
        "gates": {**cell.gates, **words},
        "state": (*cell.state, *moves),
        "sources": {**cell.sources, **dict.fromkeys(words, "input")},
        "step": functools.partial(_step, cell, sums, moves),
        "before": functools.partial(_before, cell, sums),
    }
    for name, value in derived.items():
        object.__setattr__(cell, name, value)


class _Summed:
    """Pre-activations, those of `sums` with what is carried of earlier inputs; all else, errors included, is as in `a`."""

    def __init__(self, a: Any, s: Any, sums: Mapping[str, str]) -> None:
        self._a, self._s, self._sums = a, s, sums

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._a, name)
        return value + getattr(self._s, self._sums[name]) if name in self._sums else value


def _step(cell: "Cell", sums: Mapping[str, str], moves: Mapping[str, Move], a: Any, s: Any, p: Any) -> Any:
    """`step` of the class, with the carried parts one place on."""
    returned = type(cell).step(cell, _Summed(a, s, sums) if sums else a, s, p)
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[0], Mapping):
        return returned  # `check` explains it
    moved: dict[str, Tensor] = {}
    for name, (product, part) in moves.items():
        terms = [getattr(of, source) for of, source in ((a, product), (s, part)) if source is not None]
        moved[name] = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    return {**returned[0], **moved}, returned[1]


def _before(cell: "Cell", sums: Mapping[str, str], a: Any, s: Any, p: Any) -> Any:
    return type(cell).before(cell, _Summed(a, s, sums) if sums else a, s, p)


def check_kind(value: Any) -> None:
    """Refuses a `delay` of the wrong type.

    Raises:
        BrokenError: the message shows the right one.
    """
    steps = value.values() if isinstance(value, Mapping) else [None]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in steps):
        raise BrokenError(f"`delay` is {value!r}, but it must be a dict from names to numbers of steps, as in {EXAMPLE}")


def check_delay(cell: "Cell") -> None:
    """Refuses a declaration `delay` that cannot be used.

    Raises:
        BrokenError: the message says what is declared and what is accepted.
    """
    check_kind(cell.delay)
    own = cell.own_state
    for name, steps in cell.delay.items():
        least = 1 if name == INPUT else 2
        if name not in (INPUT, *own):
            raise BrokenError(f"`delay` names '{name}', but only the input 'x' and the state ({', '.join(own)}) can be delayed")
        if steps < least:
            reason = "the input of the step before" if name == INPUT else "the state before s(t-1)"
            raise BrokenError(f"`delay` gives '{name}' {steps} steps, but the least is {least}, {reason}")
    if not cell.delay:
        return
    if INPUT in own:
        raise BrokenError("`state` has a part 'x', which in a cell with `delay` is the name of the input; give it another name")
    if INPUT in cell.delay and not cell.weighted_gates:
        raise BrokenError("`delay` names the input 'x', but no pre-activation reads it")
    for name in ("gates", "state", "sources"):
        if isinstance(inspect.getattr_static(type(cell), name), property):
            raise BrokenError(f"`{name}` is a property; in a cell with `delay` it must be an attribute of the class")
