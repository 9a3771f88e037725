"""The test matrix: every cell of the registry with every combination of its discrete options, read off the dataclass fields."""

import dataclasses
import functools
import itertools
import types
import typing
from typing import Any, NamedTuple

import pytest
import torch

from gatelab.cells import CELLS, Cell
from gatelab.models import RNN


def values(field: "dataclasses.Field[Any]", hint: Any) -> list[Any]:
    """All values of a discrete option, the default first; None, the smallest and a larger one of an optional count."""
    if hint is bool:
        found = [False, True]
    elif field.metadata.get("choices"):
        found = list(field.metadata["choices"])
    elif typing.get_origin(hint) in (typing.Union, types.UnionType) and "minimum" in field.metadata:
        found = [None, field.metadata["minimum"], field.metadata["minimum"] + 2]
    else:
        found = []
    return [field.default, *(value for value in found if value != field.default)]


@functools.cache  # cells are frozen, and finding one by name reads the metadata of all installed packages
def _built(name: str, *options: tuple[str, Any]) -> Cell:
    return CELLS.build(name, **dict(options))


class Variant(NamedTuple):
    """A cell and its options; the id of a test is its `str`."""

    name: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])

    def cell(self) -> Cell:
        return _built(self.name, *self.options.items())

    def rnn(self, input_size: int, hidden_size: int, scale: float = 0.8, **settings: Any) -> RNN:
        """An eager float64 RNN, whose parameters, biases and vectors included, are drawn from N(0, scale^2)."""
        settings = {"backend": "eager", "dtype": torch.float64} | settings
        rnn = RNN(self.cell(), input_size, hidden_size, **settings)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in rnn.parameters():
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        return rnn


def variants(name: str) -> list[Variant]:
    """A cell with its defaults first, then with every other combination of its discrete options."""
    cls = CELLS.get(name)
    hints = typing.get_type_hints(cls)
    options = {field.name: values(field, hints[field.name]) for field in dataclasses.fields(cls)}
    return [
        Variant(name, {key: value for key, value in zip(options, chosen, strict=True) if len(options[key]) > 1})
        for chosen in itertools.product(*options.values())
    ]


CELL_NAMES = CELLS.names()
DEFAULTS = [variants(name)[0] for name in CELL_NAMES]
VARIANTS = [variant for name in CELL_NAMES for variant in variants(name)]
OPTIONS = [variant for name in CELL_NAMES for variant in variants(name)[1:]]  # all but the defaults


def kind(cell: Cell) -> tuple[Any, ...]:
    """What loops, recordings and other code that is the same for all cells reads off a cell; its equations are not among it."""
    read = cell.memory and (cell.memory.score, cell.memory.window if cell.memory.window in (None, 1) else "some")
    return (
        len(cell.state),
        len(cell.fed_back),
        frozenset(cell.sources.values()),
        bool(cell.vectors),
        bool(cell.scalars),
        read,
        bool(cell.late),
        bool(cell.delayed),
    )


# For code that knows no equations: one variant of each kind, so that a cell of a known kind costs nothing.
KINDS = list({kind(variant.cell()): variant for variant in reversed(VARIANTS)}.values())[::-1]


def few() -> frozenset[str]:
    """Names of cells whose defaults together have everything that is read off a default, from the one with the most new on."""
    of = {variant.name: set(enumerate(kind(variant.cell()))) for variant in DEFAULTS}
    missing: set[Any] = set().union(*of.values())
    chosen = []
    while missing:
        chosen.append(max(of, key=lambda name: len(of[name] & missing)))
        missing -= of[chosen[-1]]
    return frozenset(chosen)


# Cells for which bfloat16 is too coarse, and why.
TOO_FINE = {"phased_lstm": "a phase in 8 bits has few values in the twentieth of a period in which a unit is open"}

# For the quick tier: each further cell would compile a library, or run a command.
FEW = few()


each_cell = pytest.mark.parametrize("name", CELL_NAMES)
each_cell_few_quick = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FEW else pytest.mark.slow) for name in CELL_NAMES]
)
each_default = pytest.mark.parametrize("variant", DEFAULTS, ids=str)
each_default_few_quick = pytest.mark.parametrize(
    "variant",
    [pytest.param(variant, id=str(variant), marks=[] if variant.name in FEW else pytest.mark.slow) for variant in DEFAULTS],
)
each_kind = pytest.mark.parametrize("variant", KINDS, ids=str)
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Reproducible N(0, 1)."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def random_state(rnn: RNN, batch: int, seed: int = 7) -> tuple[torch.Tensor, ...]:
    """An initial state with |s| < 1, from which the bounds of the docstrings start; positive from the third part on.

    Those are gates that are fed back and sums of weights that a cell divides by: near 0, which they never are by themselves, the
    quotient would amplify every rounding.
    """
    shape = (rnn.num_layers * (2 if rnn.bidirectional else 1), batch, rnn.hidden_size)
    parts = [torch.tanh(normal(*shape, seed=seed + part)) for part in range(len(rnn.cell.state))]
    return (*parts[:2], *(part.abs() for part in parts[2:]))
