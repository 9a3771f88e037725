"""Layer normalisation beside a cell: every pre-activation is normalised over the units of its row before the step reads it."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gatelab.cells._cell import Cell
from gatelab.cells._initial import Constant, Place, Start
from gatelab.cells._operands import without_weights
from gatelab.cells._reductions import normalize

GAIN, SHIFT = "norm_gain_", "norm_shift_"  # vectors, before the name of the pre-activation


def normalized(cell: Cell) -> Cell:
    """The same equations of normalised pre-activations; late ones, too.

    ```
    a_g <- gain_g . LN(a_g) + shift_g    LN(a) = (a - mean(a)) / sqrt(mean((a - mean(a))^2) + 1e-5), over the H units of a row
    ```

    a_g is W_g x + R_g h + b_g as a whole; the input itself and the time between steps stay as they are. Gains start from 1, shifts
    from what the biases of the cell start from: a constant in b_g would have no effect, and b_g starts from 0.

    Args:
        cell: the equations.

    Returns:
        A cell of a derived class with the same options, with two vectors more for each pre-activation.

    References:
        Ba, Kiros & Hinton 2016, arXiv 1607.06450.
    """
    return _class(type(cell))(**{field.name: getattr(cell, field.name) for field in dataclasses.fields(cell) if field.init})


@functools.cache
def _class(kind: type[Cell]) -> type[Cell]:
    base: Any = kind
    if TYPE_CHECKING:
        base = Cell

    @dataclass(frozen=True)
    class Normalized(base):
        """As `normalized` says."""

        @property
        def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
            return (*super().vectors, *(f"{of}{gate}" for of in (GAIN, SHIFT) for gate in _gates(self)))

        @property
        def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
            declared, biases = super().initial, super().initial_bias
            starts = {name: start for name, start in declared.items() if name.partition(".")[0] != "b"}
            for gate in _gates(self):
                start, bias = declared.get(f"b.{gate}", declared.get("b")), biases.get(gate, 0.0)
                starts[GAIN + gate] = Constant(1.0)
                starts[SHIFT + gate] = Constant(bias) if start is None else Raised(start, bias)
            return starts

        @property
        def initial_bias(self) -> Mapping[str, float]:
            return {}

        def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            return super().step(_Normalized(a, p), s, p)

        def before(self, a: Any, s: Any, p: Any) -> Mapping[str, Tensor] | Iterator[Mapping[str, Tensor]]:
            return super().before(_Normalized(a, p), s, p)

    if kind.before is Cell.before:  # a cell without values has no `before`
        del Normalized.before
    Normalized.__name__, Normalized.__module__ = kind.__name__, kind.__module__
    Normalized.__qualname__ = f"normalized {kind.__qualname__}"
    return Normalized


def _gates(cell: Cell) -> tuple[str, ...]:
    """The pre-activations that are normalised: neither the input itself or the time, nor what is carried of earlier inputs."""
    others = {*cell.delayed, *without_weights(cell)}
    return tuple(gate for gate in cell.gates if gate not in others)


class _Normalized:
    """Pre-activations, each normalised when it is first read: a late one is there only when its product has been computed."""

    def __init__(self, a: Any, p: Any) -> None:
        self._a, self._p = a, p

    def __getattr__(self, gate: str) -> Any:
        value = getattr(self._a, gate)
        if hasattr(self._p, GAIN + gate):
            value = normalize(value) * getattr(self._p, GAIN + gate) + getattr(self._p, SHIFT + gate)
        setattr(self, gate, value)
        return value


@dataclass(frozen=True)
class Raised(Start):
    """A start value with a number added to it."""

    start: Start
    by: float

    @property
    def limits(self) -> tuple[float, float]:
        low, high = self.start.limits
        return low + self.by, high + self.by

    @property
    def random(self) -> bool:
        return self.start.random

    def draw(self, like: Tensor, place: Place) -> Tensor:
        return self.start.draw(like, place) + self.by

    def __str__(self) -> str:
        return f"{self.start} + {self.by:g}" if self.by else str(self.start)
