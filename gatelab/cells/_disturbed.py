"""A cell made from another: random masks hold its state back (zoneout), or hide it from the recurrent products (dropout)."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from gatelab.cells._cell import Attention, Cell
from gatelab.cells._initial import Start
from gatelab.cells._late import reads_of, ready, values_of, yielded

OUTPUT, MEMORY, MASK = "zoneout_output", "zoneout_memory", "dropout_mask"


@dataclass(frozen=True)
class Disturbed(Cell):
    """The equations of a cell with random masks; its gates, weights and shapes are those of the cell.

    ```
    s'(t), gates(t) = step(a(t), s(t-1), p)             the step of the cell
    s(t) = k(t) . s(t-1) + (1 - k(t)) . s'(t)           zoneout: k is 1 where a unit keeps its part, else 0
    a_g(t) = W_g x(t) + R_g (m . s(t-1)) + b_g          dropout: m is 0 or 1 / (1 - rate), one for each row and unit
    ```

    Each k is given from outside for every step, one for the output and one for all other parts of the state, so that sums that are
    divided by each other stay together. Clocks and what is carried of earlier steps are not held. In evaluation k is the rate;
    where parts are sums relative to a maximum that is a part, too, this mean mixes numbers of different scales.
    A part h that products read is carried twice, as h and as m . h, and m is a part of the state, too, which no step changes.

    Attributes:
        of: the equations.
        zoned: whether there is zoneout.
        dropped: whether there is dropout.

    References:
        Krueger et al. 2017, ICLR (arXiv 1606.01305): zoneout.
        Gal & Ghahramani 2016, NeurIPS (arXiv 1512.05287): dropout with one mask a sequence.
    """

    of: Cell
    zoned: bool = False
    dropped: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.hidden, self.held  # found now, because a trace must not meet the operators that find them

    @functools.cached_property
    def hidden(self) -> frozenset[str]:
        """The values of `before` that dropout hides from the products."""
        return _follow_from_the_state(self.of) if self.dropped else frozenset()

    @functools.cached_property
    def held(self) -> tuple[str, ...]:
        """The parts of the state that zoneout holds."""
        return held_by_zoneout(self.of) if self.zoned else ()

    @property
    def origin(self) -> type[Cell]:
        return self.of.origin

    @property
    def gates(self) -> Mapping[str, str]:  # type: ignore[override]
        return self.of.gates

    @property
    def given(self) -> tuple[str, ...]:  # type: ignore[override]
        masks = {mask_of(self.of, name) for name in self.held}
        return tuple(mask for mask in (OUTPUT, MEMORY) if mask in masks)

    @property
    def copies(self) -> dict[str, str]:
        """The parts of the state that products read, and what stands for each of them there."""
        return {name: f"dropout_{name}" for name in read_by_products(self.of)} if self.dropped else {}

    @property
    def state(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.of.state, *self.copies.values(), MASK) if self.dropped else self.of.state

    @property
    def output(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.of.output

    @property
    def feedback(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.copies.get(name, name) for name in self.of.feedback)

    @property
    def sources(self) -> Mapping[str, Any]:  # type: ignore[override]
        return self.of.sources

    @property
    def late(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        return {gate: tuple(self.copies.get(name, name) for name in reads_of(self.of, gate)) for gate in self.of.late}

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.of.vectors

    @property
    def fixed(self) -> Mapping[str, Start]:  # type: ignore[override]
        return self.of.fixed

    @property
    def scalars(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.of.scalars

    @property
    def memory(self) -> Attention | None:
        return self.of.memory

    def before(self, a: Any, s: Any, p: Any) -> Iterator[Mapping[str, Tensor]]:
        for values in yielded(self.of, a, s, p):
            yield {name: getattr(s, MASK) * value if name in self.hidden else value for name, value in values.items()}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        new, gates = self.of.step(a, s, p)
        for name in self.held:
            kept = getattr(a, mask_of(self.of, name))
            new = new | {name: kept * getattr(s, name) + (1 - kept) * new[name]}
        if self.dropped:
            mask = getattr(s, MASK)
            new = new | {copy: mask * new[name] for name, copy in self.copies.items()} | {MASK: mask + 0}
        return new, gates


def mask_of(cell: Cell, name: str) -> str:
    """The mask that holds a part of the state."""
    return OUTPUT if name in cell.outputs else MEMORY


def read_by_products(cell: Cell) -> tuple[str, ...]:
    """The parts of the state that enter a recurrent product as they are, in the order of the state."""
    names = {*cell.fed_back, *(name for gate in cell.late for name in reads_of(cell, gate))}
    return tuple(name for name in cell.state if name in names)


def has_products(cell: Cell) -> bool:
    """Whether a recurrent product reads anything that follows from the state."""
    return bool(read_by_products(cell) or _follow_from_the_state(cell))


def held_by_zoneout(cell: Cell) -> tuple[str, ...]:
    """The parts of the state that zoneout can hold, the output first: those that follow from pre-activations within the step.

    A clock does not, and what is carried of earlier steps must move on.
    """
    with torch.enable_grad():
        a, s, p = (
            SimpleNamespace(**{name: torch.full((1,), 0.5, device="cpu", requires_grad=learned) for name in names})
            for names, learned in ((cell.gates, True), (cell.state, False), (cell.vectors, False))
        )
        for _ in yielded(cell, a, s, p):
            pass
        new, _ = cell.step(a, s, p)
        return tuple(name for name in cell.own_state if new[name].requires_grad)


def replaying(cell: Cell, recorded: Mapping[str, Any]) -> Cell:
    """The equations of recorded steps: those of the cell, with zoneout where its masks were recorded, too."""
    masks = {OUTPUT, MEMORY} & recorded.keys()
    return Disturbed(cell, zoned=True) if masks and not cell.given else cell


def _follow_from_the_state(cell: Cell) -> frozenset[str]:
    """The values of `before` that depend on the state, directly or through a product; found by running it."""
    if not values_of(cell):
        return frozenset()
    with torch.enable_grad():
        s, p = ({name: torch.full((1,), 0.5, device="cpu") for name in names} for names in (cell.state, cell.vectors))
        for value in s.values():
            value.requires_grad_()
        a = {name: torch.full((1,), 0.5, device="cpu", requires_grad=name in cell.recurrent_gates) for name in cell.gates}
        pending, known, found = set(cell.late), dict(s), set()
        given = SimpleNamespace(**{name: value for name, value in a.items() if name not in pending})
        pieces = yielded(cell, given, SimpleNamespace(**s), SimpleNamespace(**p))
        while True:
            for name in ready(cell, sorted(pending), known):
                pending.discard(name)
                reads = [known[read] for read in reads_of(cell, name)]
                setattr(given, name, a[name] + sum(reads))
            values = next(pieces, None)
            if values is None:
                return frozenset(found)
            known |= values
            found |= {name for name, value in values.items() if value.requires_grad}
