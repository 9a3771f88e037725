"""Cells that nobody would write: equations drawn at random from the operators that can be printed."""

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatelab.cells import Cell

# At these a rounding may take another branch, whose derivative is another one: they are for float64, where that is rare.
KINKED = {"relu", "hard sigmoid", "hardtanh", "clamp", "decay", "log", "larger", "smaller", "choice", "both"}

# Bounded for bounded operands, so that a loop over them neither explodes nor loses all digits.
UNARY = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "erf": torch.erf,
    "relu": lambda x: torch.relu(x) * 0.5,
    "negative": lambda x: -x,
    "one minus": lambda x: 1 - x,
    "decay": lambda x: torch.exp(-x.abs()),
    "softplus": lambda x: torch.nn.functional.softplus(x) * 0.3,
    "hard sigmoid": lambda x: (x / 6 + 0.5).clamp(0, 1),  # the derivative of torch's own has 1/6 in float32 also in float64
    "hardtanh": torch.nn.functional.hardtanh,
    "root": lambda x: torch.sqrt(1 + x * x) - 1,
    "log": lambda x: torch.log1p(x.abs()),
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "square": lambda x: torch.tanh(x**2),
    "reverse": lambda x: torch.rsub(x, 1.0, alpha=0.5),
    "scaled": lambda x: torch.add(x * 0.3, 0.1, alpha=2),
    "silu": lambda x: torch.nn.functional.silu(x) * 0.5,
}
BINARY = {
    "product": lambda x, y: torch.tanh(x) * y,
    "sum": lambda x, y: 0.5 * (x + y),
    "difference": lambda x, y: 0.5 * torch.sub(x, y, alpha=0.7),
    "quotient": lambda x, y: x / (1 + y * y),
    "larger": torch.maximum,
    "smaller": torch.minimum,
    "choice": lambda x, y: torch.where(x > 0.1, x, y),
    "both": lambda x, y: torch.where((x > 0) & (y < 0.5), x * 0.5, y),
    "mix": lambda x, y: torch.lerp(x, y, 0.25),
}


@dataclass(frozen=True)
class Drawn(Cell):
    """What a drawn cell adds to its equations: nothing."""


def drawn_cell(number: int) -> Cell:
    """The cell of that number; the same in every process. One of an even number is smooth."""
    draw = random.Random(number)
    unary, binary = ([name for name in names if number % 2 or name not in KINKED] for names in (UNARY, BINARY))
    state = ("h", "c", "m")[: draw.choice((1, 1, 2, 3))]
    gates = {f"g{n}": f"gate_{n}" for n in range(draw.choice((1, 2, 3, 4)))}
    sources = {name: kind for name in gates if (kind := draw.choice((None, None, "input", "recurrent")))}
    fed = tuple(name for name in state if draw.random() < 0.7) or state[:1]
    vectors = tuple(f"p_{n}" for n in range(draw.choice((0, 0, 1, 2))))
    plan = [
        (draw.random() < 0.5, draw.choice(unary), draw.choice(binary), draw.random(), draw.random())
        for _ in range(draw.randint(3, 9))
    ]

    def step(self: Any, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        values = (
            [getattr(a, name) for name in gates] + [getattr(s, name) for name in state] + [getattr(p, name) for name in vectors]
        )
        for alone, one, two, first, second in plan:
            x, y = (values[int(at * len(values))] for at in (first, second))
            values.append(UNARY[one](x) if alone else BINARY[two](x, y))
        first = values[0] + sum(torch.tanh(value) for value in values[1:]) * 0.2  # everything that was drawn counts
        new = {name: torch.tanh(values[-1 - n] + 0.5 * first) for n, name in enumerate(state)}
        return new, {"gate_0": torch.sigmoid(a.g0)}

    body = {
        "__doc__": f"Cell {number} of those drawn at random.",
        "__module__": __name__,
        "gates": gates,
        "state": state,
        "feedback": fed,
        "sources": sources,
        "vectors": vectors,
        "step": step,
    }
    return dataclass(frozen=True)(type(f"Drawn{number}", (Drawn,), body))()
