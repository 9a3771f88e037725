"""Start values that a cell declares: the distributions of `initial`, which only `RNN.reset_parameters` reads.

What a parameter starts from, each rule before the next:

1. weights and vectors from U(-1/sqrt(H), 1/sqrt(H)), biases from 0;
2. what `initial` declares for the parameter ("R", "v"), then for a block of it ("R.n", "b.f"), instead of 1;
3. the option `<word>_bias` is added to the bias of its pre-activation;
4. `init=chrono`, `uniform_gate` and `retention` replace the bias of the gate that keeps the state (`models/initialization.py`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from gatelab.errors import UserError
from gatelab.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor


class Place(NamedTuple):
    """Where a block of H rows lies in a stack.

    Attributes:
        fan_in: the columns of a matrix; H for a vector or a bias.
        layer: counted from 0; both directions of a layer have the same number.
        layers: of the stack.
        drawn: the parameters of the layer that are declared before this one, by name.
    """

    fan_in: int
    layer: int
    layers: int
    drawn: "Mapping[str, Tensor]" = MappingProxyType({})


@dataclass(frozen=True)
class Start(Options):
    """Base of the distributions. `str` says it in words."""

    @property
    def limits(self) -> tuple[float, float]:
        """All values lie within these, inclusive."""
        return -math.inf, math.inf

    @property
    def square(self) -> bool:
        """Whether it needs a block of H rows and H columns."""
        return False

    @property
    def random(self) -> bool:
        """Whether two draws differ."""
        return True

    @property
    def reads(self) -> tuple[str, ...]:
        """The parameters whose values it depends on; they are declared before its own."""
        return ()

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        """Values of the shape, number format and device of a tensor: (H,), or (H, fan-in) for a block of a matrix."""
        raise NotImplementedError

    def data(self) -> dict[str, Any]:
        """It as JSON holds it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": type(self).__name__} | {
            name: value.data() if isinstance(value, Start) else value for name, value in values.items()
        }


@dataclass(frozen=True)
class Rule(Start):
    """Base of those that are not random."""

    @property
    def random(self) -> bool:
        return False


@dataclass(frozen=True)
class Constant(Rule):
    """One value."""

    value: float = option(help="of every element")

    @property
    def limits(self) -> tuple[float, float]:
        return self.value, self.value

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return like.new_full(like.shape, self.value)

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Uniform(Start):
    """Independent, uniform."""

    low: float = option(help="lower end")
    high: float = option(help="upper end")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ordered(self, self.low, self.high)

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return self.low + like.new_empty(like.shape).uniform_() * (self.high - self.low)

    def __str__(self) -> str:
        return f"uniform in [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class Normal(Start):
    """Independent, normal with mean 0."""

    std: float = option(help="standard deviation", above=0.0)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return like.new_empty(like.shape).normal_() * self.std

    def __str__(self) -> str:
        return f"normal with standard deviation {self.std:g}"


@dataclass(frozen=True)
class Ring(Start):
    """The modulus of a complex number that is uniform by area in a ring around 0: its square is uniform."""

    low: float = option(help="inner radius", minimum=0.0)
    high: float = option(help="outer radius")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ordered(self, self.low, self.high)

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return Uniform(self.low**2, self.high**2).draw(like, place).sqrt()

    def __str__(self) -> str:
        return f"uniform by area in the ring [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class UniformGate(Start):
    """The bias of a sigmoid that is uniform in [1/H, 1 - 1/H] (Gu et al. 2020): b = log(u / (1 - u))."""

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        least = 1 / max(len(like), 2)  # of one unit, 1/H would be 1
        return (least + like.new_empty(like.shape).uniform_() * (1 - 2 * least)).logit()

    def __str__(self) -> str:
        return "sigmoid of it uniform in [1/H, 1 - 1/H]"


@dataclass(frozen=True)
class Identity(Rule):
    """The identity times a factor, in every block of H rows."""

    scale: float = option(1.0, "on the diagonal")

    @property
    def square(self) -> bool:
        return True

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return like.new_full(like.shape[:1], self.scale).diag()

    def __str__(self) -> str:
        return "identity" if self.scale == 1 else f"{self.scale:g} times the identity"


@dataclass(frozen=True)
class Ramp(Rule):
    """A function of the unit k = 0 ... H-1, the same in all columns: first + (last - first) (k / (H-1))^e; H and k within a group.

    The exponent e goes in equal steps from `exponent` in the first layer to `deepest` in the last.
    """

    first: float = option(help="of the first unit")
    last: float = option(help="of the last unit")
    exponent: float = option(1.0, "in the first layer; 1: equal steps", above=0.0)
    deepest: float | None = option(None, "exponent in the last layer; null: the same in all", above=0.0)
    groups: int = option(1, "equal parts of the units, each with the same values", minimum=1)

    @property
    def limits(self) -> tuple[float, float]:
        return min(self.first, self.last), max(self.first, self.last)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        share = place.layer / max(place.layers - 1, 1)
        e = self.exponent if self.deepest is None else self.exponent + (self.deepest - self.exponent) * share
        each = len(like) // self.groups
        k = _units(like) % max(each, 1)
        return (self.first + (self.last - self.first) * (k / max(each - 1, 1)) ** e).expand_as(like)

    def __str__(self) -> str:
        text = f"from {self.first:g} to {self.last:g} over the units{' of each group' if self.groups > 1 else ''}"
        deeper = "" if self.deepest is None else f" in the first layer and {self.deepest:g} in the last"
        return text if self.exponent == 1 and not deeper else f"{text}, with the exponent {self.exponent:g}{deeper}"


@dataclass(frozen=True)
class Cycle(Rule):
    """Values that repeat over the units, the same in all columns."""

    values: tuple[float, ...] = option(help="of units 0, 1, ...")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.values:
            raise UserError("Cycle: option 'values' is empty, but it must have at least one value.")

    @property
    def limits(self) -> tuple[float, float]:
        return min(self.values), max(self.values)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        place_in_cycle = _units(like) % len(self.values)
        drawn = like.new_zeros(like.shape)
        for position, value in enumerate(self.values):
            drawn = drawn + value * (place_in_cycle == position)
        return drawn

    def __str__(self) -> str:
        return f"{', '.join(f'{value:g}' for value in self.values)}, repeated over the units"


@dataclass(frozen=True)
class Groups(Rule):
    """The units in as many groups of equal size as there are values, up to rounding; each group has one of them."""

    values: tuple[float, ...] = option(help="of the first group, the second, ...")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.values:
            raise UserError("Groups: option 'values' is empty, but it must have at least one value.")

    @property
    def limits(self) -> tuple[float, float]:
        return min(self.values), max(self.values)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        group = (_units(like) * len(self.values)).div(len(like), rounding_mode="floor")
        drawn = like.new_zeros(like.shape)
        for position, value in enumerate(self.values):
            drawn = drawn + value * (group == position)
        return drawn

    def __str__(self) -> str:
        return f"{', '.join(f'{value:g}' for value in self.values)} in groups of units"


@dataclass(frozen=True)
class Depth(Rule):
    """A function of the layer alone: k / L in layer k = 0 ... L-1 of L."""

    @property
    def limits(self) -> tuple[float, float]:
        return 0.0, 1.0

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return like.new_full(like.shape, place.layer / place.layers)

    def __str__(self) -> str:
        return "k/L in layer k of L, counted from 0"


@dataclass(frozen=True)
class Function(Start):
    """Base of the functions of what another distribution draws."""

    of: Start

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.of, Start):
            raise UserError(f"{type(self).__name__}: 'of' is {self.of!r}, but it must be a distribution, as in Uniform(0, 1).")

    @property
    def square(self) -> bool:
        return self.of.square

    @property
    def random(self) -> bool:
        return self.of.random

    def _within(self, low: float, high: float) -> None:
        """Refuses what the function has no finite value for."""
        least, most = self.of.limits
        if not low < least <= most < high:
            accepted = f"above {low:g}" + ("" if high == math.inf else f" and below {high:g}")
            raise UserError(f"{type(self).__name__}: it is given what is {self.of}, but all values must be {accepted}.")


@dataclass(frozen=True)
class Scaled(Function):
    """Divided by the square root of the fan-in: of the columns of a matrix, of H for a vector."""

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return self.of.draw(like, place) / math.sqrt(place.fan_in)

    def __str__(self) -> str:
        return f"({self.of}) / sqrt(fan-in)"


@dataclass(frozen=True)
class Rotations(Function):
    """Angles right of the diagonal in rows 0, 2, 4, ...; 0 elsewhere. With `Orthogonal` they turn each pair of units."""

    @property
    def square(self) -> bool:
        return True

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        drawn = like.new_zeros(like.shape)
        angles = drawn.diagonal(1)[::2]
        angles.copy_(self.of.draw(angles.new_empty(angles.shape), place))
        return drawn

    def __str__(self) -> str:
        return f"rotations of pairs of units, angles {self.of}"


@dataclass(frozen=True)
class Log(Function):
    """The logarithm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within(0.0, math.inf)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        return self.of.draw(like, place).log()

    def __str__(self) -> str:
        return f"exp of it {self.of}"


@dataclass(frozen=True)
class Logit(Function):
    """The logit of a power: sigmoid(v) ^ exponent has the distribution `of`."""

    exponent: float = option(1.0, "of the sigmoid", above=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within(0.0, 1.0)

    def draw(self, like: "Tensor", place: Place) -> "Tensor":
        kept = self.of.draw(like, place).log() / self.exponent  # the logarithm of the sigmoid
        return kept - (-kept.expm1()).log()  # which is exact near 1, where 1 - sigmoid would be rounded

    def __str__(self) -> str:
        return f"sigmoid of it{'' if self.exponent == 1 else f' to the power {self.exponent:g}'} {self.of}"


def _ordered(start: Start, low: float, high: float) -> None:
    if not low <= high:
        raise UserError(f"{type(start).__name__}: low is {low:g} and high is {high:g}, but high must not be below low.")


def _units(like: "Tensor") -> "Tensor":
    """0 ... H-1 in the first dimension."""
    return like.new_ones((len(like), *[1] * (like.dim() - 1))).cumsum(0) - 1
