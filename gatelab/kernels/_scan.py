"""What every backend takes and returns: one layer, one direction, the whole time loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gatelab.cells import Cell, Parts, replaying


class Weights(NamedTuple):
    """The parameters of one layer and direction, for N replicas.

    Attributes:
        W: input weights (N, I*H, D), one block of rows per entry of `cell.input_gates`; None if there are none.
        R: recurrent weights (N, J*H, F*H), one block per entry of `cell.recurrent_gates`, F parts fed back; None if none.
        b: biases (N, G*H), one block per entry of `cell.gates`; None without bias.
        p: `cell.vectors` by name, (N, H) each.
        memory: weights of the read by name, each with N in front.
        late: matrices of late pre-activations by their name, (N, H, F*H) for F names that they read.
        given: not weights, but what takes the place of pre-activations: `cell.given` by name, (N, T, B, H) each. They have no
            derivatives.
    """

    W: Tensor | None
    R: Tensor | None
    b: Tensor | None
    p: dict[str, Tensor]
    memory: dict[str, Tensor]
    late: Mapping[str, Tensor] = MappingProxyType({})
    given: Mapping[str, Tensor] = MappingProxyType({})

    @classmethod
    def of(cls, cell: Cell, named: Mapping[str, Tensor]) -> "Weights":
        """The weights of a cell by the names that `operand_shapes` gives them; missing ones are missing here, too."""
        p = {name: named[name] for name in cell.vectors if name in named}
        late = {name: named[f"R_{name}"] for name in cell.late if f"R_{name}" in named}
        memory = {name.removeprefix("memory_"): value for name, value in named.items() if name.startswith("memory_")}
        return cls(named.get("W"), named.get("R"), named.get("b"), p, memory, late)

    def named(self) -> dict[str, Tensor]:
        """All weights that exist, by the names that `operand_shapes` gives them."""
        found = {name: value for name, value in (("W", self.W), ("R", self.R), ("b", self.b)) if value is not None} | self.p
        if self.late:
            found |= {f"R_{name}": value for name, value in self.late.items()}
        if self.memory:
            found |= {f"memory_{name}": value for name, value in self.memory.items()}
        return found


@dataclass
class Flow:
    """Gradient flow of one call, filled by its backward pass.

    Attributes:
        cotangents: dL/ds(t) by part of the state, (N, T, B, H) each: the derivative by the state after step t, through the
            output and everything later, its parts independent of each other (dL/dc(t) excludes the path through h(t)
            within the same step); 0 after the end of a row.
        copies: parts that are a factor (N, B, H) times another part: (that part, factor) by name. Dropout carries them.
    """

    cotangents: dict[str, Tensor] = field(default_factory=dict)
    copies: dict[str, tuple[str, Tensor]] = field(default_factory=dict)

    def of(self, cell: Cell) -> dict[str, Tensor]:
        """The derivatives by the parts of a cell, through their copies, too."""
        found = {name: self.cotangents[name] for name in cell.state if name in self.cotangents}
        for copy, (name, factor) in self.copies.items():
            found[name] = found[name] + factor[:, None] * self.cotangents[copy]
        return found


class Record(NamedTuple):
    """What `step` was given at every time step: all gates and states follow from it in one call.

    Attributes:
        a: pre-activations by name, (N, T, B, H) each, and what was given in their place.
        s: the states that `step` read, by name, (N, T, B, H) each.
    """

    a: dict[str, Tensor]
    s: dict[str, Tensor]


class Scan(NamedTuple):
    """Attributes:
    output: the parts of the state that are the output at every step, side by side (N, T, B, O*H); zeros after the end of a row.
    state: the state after the last step of each row, in the order of `cell.state`, (N, B, H) each.
    record: only on request.
    """

    output: Tensor
    state: tuple[Tensor, ...]
    record: Record | None


class Backend(Protocol):
    """A way to run the time loop.

    Attributes:
        DEVICE: the type of device that it serves, or None for all. `auto` skips those for others silently.
    """

    DEVICE: str | None

    def refuses(
        self, cell: Cell, dtype: torch.dtype, device: torch.device, special: str | None, plain: bool, named: bool
    ) -> str | None:
        """One sentence that says why this backend cannot serve, or None if it can.

        Args:
            special: why the memory of the tensors cannot be read, or None (`_gate.special`).
            plain: whether the call is one that torch's own functions know (`is_plain`).
            named: whether the user named this backend; otherwise `auto` chose it.
        """
        ...

    def scan(
        self,
        cell: Cell,
        weights: Weights,
        x: Tensor,
        s0: tuple[Tensor, ...],
        lengths: Tensor | None,
        record: bool,
        checkpoint_every: int | None,
        flow: Flow | None,
        resets: Tensor | None,
        restart: tuple[Tensor, ...] | None,
    ) -> Scan: ...


def is_plain(x: Tensor, lengths: Tensor | None, record: bool, flow: Flow | None, resets: Tensor | None) -> bool:
    """Whether torch's own recurrent functions can compute a call: one replica, whole rows, no record and no flow."""
    return len(x) == 1 and lengths is None and not record and flow is None and resets is None


def replay(cell: Cell, weights: Weights, record: Record) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """All states and activated gates of all time steps, by name, (N, T, B, H) each, from one vectorised call of `step`."""
    p = Parts(**{name: value[:, None, None] for name, value in weights.p.items()})
    return replaying(cell, record.a).step(Parts(**record.a), Parts(**record.s), p)
