"""Random masks beside the cell: dropout on what recurrent products read, and zoneout, for every cell."""

from typing import Any, NamedTuple

from torch import Tensor

from gatelab.cells import Cell, Disturbed, has_products, held_by_zoneout
from gatelab.errors import UserError
from gatelab.kernels import Flow, Scan, Weights
from gatelab.models._masks import split, uniform

MASK, OUTPUT, MEMORY = range(3)  # what a key is split for


class Disturbance(NamedTuple):
    """Rates, each in [0, 1).

    Attributes:
        recurrent_dropout: of the units that recurrent products read, one mask for a row and a sequence (Gal & Ghahramani 2016).
        zoneout: of the units whose output stays what it was, drawn again at every step (Krueger et al. 2017).
        zoneout_memory: the same for all other parts of the state.
    """

    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    zoneout_memory: float = 0.0

    @property
    def zoned(self) -> bool:
        return bool(self.zoneout or self.zoneout_memory)

    def acts(self, training: bool) -> bool:
        """Whether there is a mask, or the mean of one."""
        return self.zoned or bool(training and self.recurrent_dropout)

    def made_of(self, cell: Cell, training: bool = True) -> Cell:
        """The equations that the time loop runs: those of a cell, with masks where there are any."""
        return Disturbed(cell, self.zoned, bool(training and self.recurrent_dropout)) if self.acts(training) else cell

    def check(self, cell: Cell, name: str) -> None:
        """Refuses rates that are out of bounds, or that would change nothing.

        Raises:
            UserError: the message names the rate and what is accepted.
        """
        for what, rate in self._asdict().items():
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise UserError(f"RNN: {what} is {rate!r}, but it is a rate of at least 0 and below 1.")
        if self.recurrent_dropout and not has_products(cell):
            raise UserError(
                f"RNN: recurrent_dropout is {self.recurrent_dropout}, but no recurrent product of {name} reads its state. "
                "Leave it out; zoneout acts on every cell."
            )
        if self.zoneout_memory and set(held_by_zoneout(cell)) <= set(cell.outputs):
            raise UserError(
                f"RNN: zoneout_memory is {self.zoneout_memory}, but {name} carries nothing that it could hold beside its output "
                f"{', '.join(cell.outputs)}. "
                "Use zoneout."
            )


UNDISTURBED = Disturbance()


class Disturbing:
    """The masks of one call of a layer, and the call's arguments with them.

    Args:
        plain: the equations.
        cell: `rates.made_of(plain)`.
        rates: of which one at least acts.
        key: of these masks; None in evaluation.
        shape: N, T, B, H.
        like: for device and number format.
    """

    def __init__(
        self, plain: Cell, cell: Any, rates: Disturbance, key: Tensor | None, shape: tuple[int, int, int, int], like: Tensor
    ) -> None:
        self._plain, self.cell = plain, cell
        N, T, B, H = shape
        self._given: dict[str, Tensor] = {}
        for name in self.cell.given:
            purpose = MEMORY if name.endswith("memory") else OUTPUT
            rate = rates.zoneout if purpose == OUTPUT else rates.zoneout_memory
            if key is None or not rate:
                mask = like.new_full((), rate).expand(N, T, B, H)
            else:
                mask = (uniform(split(key, purpose), (N, T, B, H), like) < rate).to(like.dtype)
            self._given[name] = mask
        self._mask: Tensor | None = None
        if key is not None and rates.recurrent_dropout:
            kept = uniform(split(key, MASK), (N, B, H), like) >= rates.recurrent_dropout
            self._mask = kept.to(like.dtype) / (1 - rates.recurrent_dropout)

    def weights(self, weights: Weights) -> Weights:
        return weights._replace(given=self._given)

    def state(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A state with what dropout carries besides."""
        if self._mask is None:
            return parts
        of = dict(zip(self._plain.state, parts, strict=True))
        return (*parts, *(self._mask * of[name] for name in self.cell.copies), self._mask)

    def undisturbed(self, scan: Scan, flow: Flow | None) -> Scan:
        """What the call returns, without what dropout carries besides."""
        count = len(self._plain.state)
        record = scan.record
        if record is not None:
            record = record._replace(s={name: record.s[name] for name in self._plain.state})
        if flow is not None and self._mask is not None:
            flow.copies = {copy: (name, self._mask) for name, copy in self.cell.copies.items()}
        return Scan(scan.output, tuple(scan.state[:count]), record)
