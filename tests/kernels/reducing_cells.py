"""Cells with functions over units that no cell of the package combines so."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Attention, Cell, cumulate, mean, normalize, softmax, total


@dataclass(frozen=True)
class Reducing(Cell):
    """Every function over units, of pre-activations, of the old state and of each other; some twice with the same argument."""

    gates = {"f": "forget", "z": "candidate", "m": "master"}
    state = ("h", "c")
    vectors = ("gain",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, m = sigmoid(p.gain * normalize(a.f + 0.1 * s.c)), cumulate(softmax(a.m))
        c = f * m * s.c + (1 - f * cumulate(softmax(a.m))) * tanh(a.z)
        h = tanh(normalize(c)) + 0.1 * mean(c) * s.h + 0.05 * total(f * s.h) * cumulate(0.1 * tanh(c))
        return {"h": h, "c": c}, {"forget": f, "master": m.clamp(0, 1)}


@dataclass(frozen=True)
class ReducingLate(Cell):
    """Functions over units in `before` and behind the late product, and a value that both read."""

    gates = {"r": "reset", "n": "candidate", "u": "update"}
    late = {"n": "v", "u": ("v", "h")}
    retention = "update"
    vectors = ("gain",)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": sigmoid(normalize(a.r)) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r, u = sigmoid(normalize(a.r)), sigmoid(p.gain * normalize(a.u))
        return {"h": u * s.h + (1 - u) * tanh(a.n + mean(r * a.n))}, {"reset": r, "update": u}


@dataclass(frozen=True)
class ReducingRead(Reducing):
    """A read of earlier states, and functions over units."""

    memory = Attention("additive", 3)  # type: ignore[assignment]


REDUCING = [Reducing(), ReducingLate(), ReducingRead()]
