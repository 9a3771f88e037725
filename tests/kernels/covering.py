"""Few cells that together have everything that any cell has: for lines of C or Triton that are the same for all cells."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from cells.variants import DEFAULTS

from gatelab.cells import Cell
from gatelab.kernels.cpu._source import equations


def traits(cell: Cell) -> set[Any]:
    """What the code of a cell depends on: operators, forward and backward, what it declares, and how many parts its state has."""
    graph = next(iter(equations(cell, torch.float32).inputs.values())).graph
    operators = {node.target for node in graph.nodes if node.op == "call_function"}
    declared = {name for name in Cell.__annotations__ if getattr(cell, name) != getattr(Cell, name)}
    read = {("read", cell.memory.score, cell.memory.window is None)} if cell.memory else set()
    return operators | declared | read | {("source", kind) for kind in cell.sources.values()} | {("parts", len(cell.state))}


@functools.cache  # tracing takes half a second, which is not for the collection of tests
def covering() -> list[Cell]:
    """Cells of the registry by their defaults: first the one with the most traits, then the one that adds the most, and so on."""
    of = [(variant.cell(), traits(variant.cell())) for variant in DEFAULTS]
    missing: set[Any] = set().union(*(found for _, found in of))
    chosen: list[Cell] = []
    while missing:
        cell, found = max(of, key=lambda each: len(each[1] & missing))
        chosen.append(cell)
        missing -= found
    return chosen


@contextlib.contextmanager
def naming(cell: Cell) -> Iterator[None]:
    """Adds the cell to an error within."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"The cell is {cell}.")
        raise
