"""Gated orthogonal recurrent unit."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, relu, sigmoid

from gatelab.cells import Cell, Constant, Orthogonal, Rotations, Uniform, bias_option


@dataclass(frozen=True)
class GORU(Cell):
    """Gated orthogonal unit: a GRU whose candidate turns the state without changing its length.

    ```
    U = exp(A - A^T)                            A: the part of M above the diagonal
    r = sigmoid(W_r x + R_r h + b_r)            reset gate
    z = sigmoid(W_z x + R_z h + b_z)            update gate, keeps where it is 1
    y = W_n x + b_n + r . (U h + b_m)
    n = sign(y) . relu(|y| + v)                 modrelu
    h = z . h + (1 - z) . n
    ```

    Bounds: |h| is not bounded: the product keeps its length, and every input adds to it.

    Differs from the paper: U is the exponential of a skew-symmetric matrix, where the paper has a product of rotations of pairs,
    which need not reach every orthogonal matrix. b_n and b_m are not theirs. As in the authors' code v and b_r start from 2, W,
    R_r and R_z from U(-0.01, 0.01).

    References:
        Jing, Gulcehre, Peurifoy, Shen, Tegmark, Soljacic & Bengio 2017, arXiv 1706.02761; jingli9111/GORU-tensorflow.
    """

    family = "dynamics"
    gates = {"z": "update", "r": "reset", "n": "candidate", "m": "candidate_recurrent"}
    sources = {"n": "input", "m": "recurrent"}
    vectors = ("v",)
    constraint = {"R.m": Orthogonal()}
    initial = {
        "W": Uniform(-0.01, 0.01),
        "R": Uniform(-0.01, 0.01),
        "R.m": Rotations(Uniform(-math.pi, math.pi)),
        "v": Constant(2.0),
    }
    retention = "update"

    reset_bias: float = bias_option("r", 2.0, "initial bias of the reset gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r, z = sigmoid(a.r), sigmoid(a.z)
        y = a.n + r * a.m
        n = torch.sign(y) * relu(torch.abs(y) + p.v)
        return {"h": z * s.h + (1 - z) * n}, {"reset": r, "update": z}
