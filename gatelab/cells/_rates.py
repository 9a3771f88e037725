"""Start values of linear recurrences: rates of decay, and gains that belong to them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gatelab.cells._initial import Function, Place, Start
from gatelab.options import option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LogRate(Function):
    """The logarithm of a rate: exp(-exp(v)), what is left after a step, has the distribution `of`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within(0.0, 1.0)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return (-self.of.draw(like, place).log()).log()

    def __str__(self) -> str:
        return f"exp(-exp(it)) {self.of}"


@dataclass(frozen=True)
class RingGain(Start):
    """log sqrt(1 - m^2), m = exp(-exp(v)): with it, inputs of variance 1 give a state of variance 1 (Orvieto et al. 2023)."""

    rate: str = option(help="the vector v, declared before its own")

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.rate,)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        v = place.drawn[self.rate].to(like.dtype)
        return 0.5 * (-(-2 * v.exp()).expm1()).log()

    def __str__(self) -> str:
        return f"log sqrt(1 - m^2), m = exp(-exp({self.rate}))"
