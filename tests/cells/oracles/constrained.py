"""Networks whose recurrent matrix keeps a property; matrices are made from their parameters here, too."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid
from scipy.linalg import expm


def _block(w: Network, block: int) -> Array:
    return w.values["R"][block * w.H : (block + 1) * w.H]


def antisymmetric(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Chang et al. 2019, Eq. 10."""
    M = _block(w, 0)
    A = M - M.T - options.get("gamma", 0.01) * np.eye(w.H)
    for x in xs:
        h = h + options.get("epsilon", 0.01) * np.tanh(w.input(0, x) + A @ h + w.b(0))
        yield {"h": h}, {}


def gated_antisymmetric(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Chang et al. 2019, Eq. 12: stored as input gate, block input; the matrix alone in R."""
    M = _block(w, 0)
    A = M - M.T - options.get("gamma", 0.01) * np.eye(w.H)
    for x in xs:
        common = A @ h + w.b(2)
        i = sigmoid(w.input(0, x) + w.b(0) + common)
        h = h + options.get("epsilon", 0.01) * i * np.tanh(w.input(1, x) + w.b(1) + common)
        yield {"h": h}, {"input": i}


def lipschitz(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Erichson et al. 2021: the linear part first in R, the block input alone in W."""
    beta, gamma = options.get("beta", 0.75), options.get("gamma", 0.001)
    A, B = ((1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * np.eye(w.H) for M in (_block(w, 0), _block(w, 1)))
    for x in xs:
        h = h + options.get("epsilon", 0.03) * (A @ h + w.b(0) + np.tanh(w.input(0, x) + B @ h + w.b(1)))
        yield {"h": h}, {}


def orthogonal(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Lezcano-Casado & Martinez-Rubio 2019."""
    A = np.triu(_block(w, 0), 1)
    U = expm(A - A.T)
    for x in xs:
        u = w.input(0, x) + U @ h + w.b(0)
        h = np.sign(u) * np.maximum(np.abs(u) + w.values["v"], 0)
        yield {"h": h}, {}


def gated_orthogonal(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Jing et al. 2017: h = z . h + (1 - z) . modrelu(W x + r . (U h)); U stored behind the recurrent blocks of both gates."""
    A = np.triu(_block(w, 2), 1)
    U = expm(A - A.T)
    for x in xs:
        z, r = sigmoid(w(0, x, h)), sigmoid(w(1, x, h))
        y = w.input(2, x) + w.b(2) + r * (U @ h + w.b(3))
        h = z * h + (1 - z) * np.sign(y) * np.maximum(np.abs(y) + w.values["v"], 0)
        yield {"h": h}, {"reset": r, "update": z}


ORACLES: dict[str, Callable[..., Oracle]] = {
    "antisymmetric": antisymmetric,
    "exprnn": orthogonal,
    "gated_antisymmetric": gated_antisymmetric,
    "goru": gated_orthogonal,
    "lipschitz": lipschitz,
}
