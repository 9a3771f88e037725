"""Recurrent highway network: several gated layers within one step."""

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class RHN(Cell):
    """Recurrent highway network: the state passes `depth` highway layers in a step, each with matrices of its own.

    ```
    n_1 = tanh(W_n x + R_n h + b_n1)            t_1 = sigmoid(W_t x + R_t h + b_t1)     the first layer sees the input
    y_1 = t_1 . n_1 + (1 - t_1) . h
    n_l = tanh(R_nl y_(l-1) + b_nl)             t_l = sigmoid(R_tl y_(l-1) + b_tl)      layers l = 2 ... depth
    y_l = t_l . n_l + (1 - t_l) . y_(l-1)
    h = y_depth
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since each layer is a convex combination. Cost: 2 (D + depth H + depth) H parameters.

    Differs from the paper: the carry gate is coupled, c = 1 - t, as in its experiments. The option `transform_bias` is -2, their
    value for Penn Treebank; -4 for enwik8. The product of all 1 - t_l, which keeps the state, is returned as the gate `kept`. A
    depth of 1 is `ugrnn` with the gate turned round.

    References:
        Zilly, Srivastava, Koutnik & Schmidhuber 2017, ICML (arXiv 1607.03474), Eqs. 6 to 9.
    """

    family = "gated units"
    retention = "kept"

    depth: int = option(2, "highway layers within a step", minimum=2, maximum=13)
    transform_bias: float = option(-2.0, "initial bias of the transform gates")
    candidate_bias: float = option(0.0, "initial bias of the candidates")

    @property
    def gates(self) -> dict[str, str]:  # type: ignore[override]
        return {f"{letter}{at}": f"{word}_{at}" for at in self.layers for letter, word in (("n", "candidate"), ("t", "transform"))}

    @property
    def layers(self) -> range:
        return range(1, self.depth + 1)

    @property
    def sources(self) -> dict[str, str]:  # type: ignore[override]
        return dict.fromkeys(self.late, "recurrent")

    @property
    def late(self) -> dict[str, str]:  # type: ignore[override]
        return {f"{letter}{at}": f"y{at - 1}" for at in self.layers[1:] for letter in "nt"}

    @property
    def initial_bias(self) -> dict[str, float]:
        return {gate: self.transform_bias if gate[0] == "t" else self.candidate_bias for gate in self.gates}

    def before(self, a: Any, s: Any, p: Any) -> Iterator[dict[str, Tensor]]:
        y = s.h
        for at in self.layers[:-1]:
            y = self.highway(a, y, at)
            yield {f"y{at}": y}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        h, transforms = s.h, {f"transform_{at}": sigmoid(getattr(a, f"t{at}")) for at in self.layers}
        for at in self.layers:
            h = self.highway(a, h, at)
        return {"h": h}, transforms | {"kept": functools.reduce(operator.mul, (1 - t for t in transforms.values()))}

    def highway(self, a: Any, y: Tensor, at: int) -> Tensor:
        t = sigmoid(getattr(a, f"t{at}"))
        return t * tanh(getattr(a, f"n{at}")) + (1 - t) * y
