"""Clockwork RNN: groups of units that are updated at periods of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, tanh, where

from gatelab.cells import Cell, Constraint, Groups, Hierarchy, Start
from gatelab.errors import UserError
from gatelab.options import option


@dataclass(frozen=True)
class Clockwork(Cell):
    """Simple network in groups with clocks: a slow group keeps its state between updates and reads no faster one.

    ```
    active: n(t-1) = 0                                      n counts the steps since a unit was updated
    h = tanh(W x + R h(t-1) + b) if active else h(t-1)      R: 0 from faster to slower groups
    n = 0 if n(t-1) + 1 = period else n(t-1) + 1
    ```

    A group with period T is updated at the steps 0, T, 2T, ...

    Bounds: |h| <= 1 from |h_0| <= 1.

    Cost: (D + H + 1) H parameters, of which those of R from faster to slower groups have no effect; 2 (D + H) H FLOPs a step.

    Differs from the paper: every step computes all products and discards those of units that keep their state, where the paper
    computes those of active groups alone. Weights start uniform, as in other cells here.

    References:
        Koutnik, Greff, Gomez & Schmidhuber 2014, ICML (arXiv 1402.3511).
    """

    family = "delays and clocks"
    gates = {"z": "candidate"}
    state = ("h", "n")
    vectors = ("period",)

    periods: tuple[int, ...] = option((1, 2, 4, 8), "steps between two updates of each group of units, ascending")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.periods or self.periods[0] < 1 or list(self.periods) != sorted(set(self.periods)):
            raise UserError(
                f"Clockwork: option 'periods' is {list(self.periods)}, but it must be ascending numbers from 1 on, as in [1, 2, 4]."
            )

    @property
    def fixed(self) -> Mapping[str, Start]:  # type: ignore[override]
        return {"period": Groups(tuple(map(float, self.periods)))}

    @property
    def constraint(self) -> Mapping[str, Constraint]:  # type: ignore[override]
        return {"R": Hierarchy(len(self.periods))}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        passed = s.n + 1
        h = where(s.n < 0.5, tanh(a.z), s.h)
        return {"h": h, "n": where(passed > p.period - 0.5, 0, passed)}, {}
