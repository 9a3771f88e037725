"""Cells with late pre-activations that no cell of the package combines so, and what a late pre-activation is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh

from gatelab.cells import Attention, Cell, Parts


@dataclass(frozen=True)
class LateTwice(Cell):
    """Two products one behind the other: of one and of several names, with and without W x, of the old state and of values.

    Pre-activations that read the same stand apart in `gates`, and a value of the first stage is read again behind the second.
    """

    gates = {"k": "second", "g": "first", "u": "update", "l": "second_too", "e": "early", "m": "old_state", "o": "out"}
    sources = {"g": "recurrent", "m": "recurrent", "e": "input"}
    state = ("y", "q")
    feedback = ("q",)
    late = {"g": "v", "k": ("w", "y", "v"), "l": ("w", "y", "v"), "m": "q", "o": ("q", "v")}
    vectors = ("scale",)

    def before(self, a: Any, s: Any, p: Any) -> Iterator[dict[str, Tensor]]:
        yield {"v": sigmoid(a.u + p.scale * a.m) * s.y}
        yield {"w": tanh(a.g) * sigmoid(a.e) + s.q}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        u, k = sigmoid(a.u + p.scale * a.m), sigmoid(a.k)
        q = u * s.q + (1 - u) * tanh(a.l + a.o)
        return {"y": k * tanh(q) + a.e * 0.1, "q": q}, {"update": u, "keep": k}


@dataclass(frozen=True)
class AllLate(Cell):
    """No pre-activation reads what is fed back in the first product."""

    gates = {"z": "candidate", "n": "new", "u": "update"}
    sources = {"z": "input"}
    late = {"n": "z", "u": ("h", "z")}

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"z": tanh(a.z) * s.h + a.z}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        u = sigmoid(a.u)
        return {"h": u * s.h + (1 - u) * tanh(a.n)}, {"update": u}


@dataclass(frozen=True)
class ReadsLate(LateTwice):
    """A read of earlier states and late products."""

    memory = Attention("additive", 3)  # type: ignore[assignment]


LATE = [LateTwice(), AllLate(), ReadsLate()]


def completed(cell: Cell, w: Mapping[str, Tensor], a: Mapping[str, Tensor], s: Mapping[str, Tensor], p: Parts) -> Parts:
    """All pre-activations, late ones with their products: a_n + R_n [what it reads], each when all that it reads is known.

    Args:
        w: the weights by name, of one layer.
        a: pre-activations; late ones without their product.
        s: the state before the step.
    """
    given = Parts(**{name: value for name, value in a.items() if name not in cell.late})
    known = dict(s)

    def complete() -> None:
        for gate, read in cell.late.items():
            names = (read,) if isinstance(read, str) else read
            if not hasattr(given, gate) and all(name in known for name in names):
                setattr(given, gate, a[gate] + torch.cat([known[name] for name in names], -1) @ w[f"R_{gate}"].T)

    complete()
    pieces: Any = cell.before(given, Parts(**s), p)
    for values in [pieces] if isinstance(pieces, dict) else pieces:
        known |= values
        complete()
    return given
