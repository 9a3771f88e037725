"""Orthogonal network: the recurrent matrix is the exponential of a skew-symmetric one."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, relu

from gatelab.cells import Cell, Normal, Orthogonal, Rotations, Scaled, Uniform


@dataclass(frozen=True)
class ExpRNN(Cell):
    """Orthogonal network: its recurrent matrix keeps all lengths, and its activation moves them by a learned amount.

    ```
    U = exp(A - A^T)                          A: the part of M above the diagonal
    u = W x + U h(t-1) + b
    h = sign(u) . relu(|u| + v)               modrelu
    ```

    Bounds: |h| is not bounded: the recurrent product keeps its length, and every input adds to it.

    Differs from the paper: W x has the bias b, 0 at the start. The learning rate of M is that of the other weights, not a tenth of
    it. Angles start uniform in [-pi, pi] (Henaff et al. 2016), one of the paper's two starts.

    References:
        Lezcano-Casado & Martinez-Rubio 2019, ICML (arXiv 1901.08428).
        Arjovsky, Shah & Bengio 2016, ICML (arXiv 1511.06464): modrelu.
    """

    family = "dynamics"
    gates = {"u": "block_input"}
    vectors = ("v",)
    constraint = {"R": Orthogonal()}
    initial = {"R": Rotations(Uniform(-math.pi, math.pi)), "W": Scaled(Normal(math.sqrt(2))), "v": Uniform(-0.01, 0.01)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": torch.sign(a.u) * relu(torch.abs(a.u) + p.v)}, {}
