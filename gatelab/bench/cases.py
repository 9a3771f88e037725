"""What is measured: cells, shapes and the columns of a case."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gatelab.cells import CELLS, Cell
from gatelab.errors import UserError
from gatelab.kernels import BACKENDS

WINDOW = 50  # steps that a cell with memory reads, unless its options say otherwise
FLAX = {"LSTM": "OptimizedLSTMCell", "GRU": "GRUCell"}  # by the name of the torch peer


class Shape(NamedTuple):
    """Batch, steps, input size and hidden size of one training step."""

    B: int
    T: int
    D: int
    H: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


SHAPES = (
    Shape(32, 500, 32, 64),
    Shape(32, 500, 64, 128),
    Shape(64, 784, 1, 128),
    Shape(32, 500, 128, 256),
    Shape(32, 500, 128, 512),
)
MEMORY_SHAPES = (Shape(32, 200, 32, 64),)  # the eager read keeps T x window states, so that the shapes above would need too much
QUICK_SHAPES = (Shape(4, 20, 8, 16), Shape(8, 50, 8, 32))


@dataclass(frozen=True)
class Column:
    """One way to compute a step.

    Attributes:
        name: its key in the results.
        worker: the process that measures it: "found", "tuned" (with our allocator settings) or "flax".
        step: what `gatelab.bench.steps.build` needs, in plain containers.
    """

    name: str
    worker: str
    step: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One cell at one shape.

    Attributes:
        label: the cell as it was asked for: "lstm", "attention:window=50".
        cell: its equations.
        baseline: the equations whose time per FLOP is the unit.
        columns: what is measured in turn.
    """

    label: str
    cell: Cell
    shape: Shape
    baseline: Cell
    columns: tuple[Column, ...]


def parse_shapes(text: str) -> list[Shape]:
    """Shapes from "32x500x32x64,64x784x1x128".

    Raises:
        UserError: one is not four numbers of at least 1.
    """
    shapes = []
    for part in text.split(","):
        numbers = part.strip().split("x")
        if len(numbers) != 4 or not all(number.isdecimal() and int(number) >= 1 for number in numbers):
            raise UserError(f"bench: '{part}' is not a shape. Give B x T x D x H as whole numbers of at least 1: 32x500x32x64.")
        shapes.append(Shape(*map(int, numbers)))
    return shapes


def labelled(cells: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The cells by label, as in "attention:window=50". A cell with memory reads WINDOW steps unless its window is given.

    Raises:
        UserError: an unknown cell or option, or a value that is not accepted.
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, given in cells:
        known = [field.name for field in dataclasses.fields(CELLS.get(name))]  # type: ignore[arg-type]
        options = dict(given)
        if CELLS.build(name, **options).memory is not None and "window" in known:
            options.setdefault("window", WINDOW)
        found[":".join([name, *(f"{key}={value}" for key, value in options.items())])] = (name, options)
    return found


def cases_of(
    cells: Mapping[str, tuple[str, dict[str, Any]]], shapes: Iterable[Shape] | None, dtype: str, flax: bool, baseline: str
) -> list[Case]:
    """The cases of a run, shape by shape.

    Args:
        cells: as from `labelled`.
        shapes: the shapes of every cell; None: SHAPES, and MEMORY_SHAPES for cells with memory.
        dtype: "float32" or "float64".
        flax: whether Flax is a peer.
        baseline: the cell whose time per FLOP is the unit; it is measured beside every other cell, in the same rounds.
    """
    made = []
    unit = CELLS.build(baseline)
    given = None if shapes is None else list(dict.fromkeys(shapes))
    for shape in given or (*SHAPES, *MEMORY_SHAPES):
        for label, (name, options) in cells.items():
            cell = CELLS.build(name, **options)
            if given is None and shape not in (SHAPES if cell.memory is None else MEMORY_SHAPES):
                continue
            made.append(Case(label, cell, shape, unit, tuple(_columns(name, options, cell, shape, dtype, flax, baseline))))
    return made


def _columns(
    name: str, options: Mapping[str, Any], cell: Cell, shape: Shape, dtype: str, flax: bool, baseline: str
) -> Iterable[Column]:
    common = {"shape": list(shape), "dtype": dtype}
    for worker in ("tuned", "found"):
        suffix = "" if worker == "tuned" else "_found"
        for backend in (name for name, module in BACKENDS.items() if module.DEVICE in (None, "cpu")):
            own = {"kind": "gatelab", "cell": name, "options": dict(options), "backend": backend}
            yield Column(backend + suffix, worker, common | own)
        if cell.peer is not None:
            for onednn in (True, False):
                peer = {"kind": "torch", "module": cell.peer.__name__, "onednn": onednn}
                yield Column(f"torch_{worker}_{'onednn' if onednn else 'native'}", worker, common | peer)
    if flax and cell.peer is not None and cell.peer.__name__ in FLAX:
        yield Column("flax", "flax", common | {"kind": "flax", "cell": FLAX[cell.peer.__name__]})
    fastest = next(iter(BACKENDS))
    if fastest != "eager" and name != baseline:
        own = {"kind": "gatelab", "cell": baseline, "options": {}, "backend": fastest}
        yield Column("baseline", "tuned", common | own)
