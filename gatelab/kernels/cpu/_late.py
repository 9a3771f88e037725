"""The products of late pre-activations, as tables for C."""

from typing import NamedTuple

from gatelab.cells import Cell, reads_of, values_of
from gatelab.kernels._equations import Equations

MOST_STAGES = 12  # as many as late.c has functions for


class Product(NamedTuple):
    """Late pre-activations side by side that read the same.

    Attributes:
        gates: in the order of C.
        first: where the first of them stands.
        stage: the pass over the units behind which they are computed.
        adds: whether they have a part W x, which the product is added to.
        reads: places of parts of the state, and behind them of values.
    """

    gates: tuple[str, ...]
    first: int
    stage: int
    adds: bool
    reads: tuple[int, ...]


def late_products(cell: Cell, equations: Equations, order: list[str]) -> list[Product]:
    """The products in the order in which they are computed."""
    place = {name: index for index, name in enumerate((*cell.state, *values_of(cell)))}
    found: list[Product] = []
    for index, gate in enumerate(order):
        if gate not in cell.late:
            continue
        reads = tuple(place[name] for name in reads_of(cell, gate))
        one = Product((gate,), index, equations.stage["a", gate], gate in cell.input_gates, reads)
        last = found[-1] if found else None
        if last is not None and last.first + len(last.gates) == index and last[2:] == one[2:]:
            found[-1] = last._replace(gates=(*last.gates, gate))
        else:
            found.append(one)
    return sorted(found, key=lambda product: product.stage)


def tables(cell: Cell, equations: Equations, order: list[str]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Constants and tables by their names in C.

    Args:
        cell: the cell.
        equations: its traced equations.
        order: pre-activations in the order of C.
    """
    products, known_at = late_products(cell, equations, order), equations.known_at
    constants = {
        "STAGES": equations.stages,
        "VALUES": len(values_of(cell)),
        "LATE": len(products),
        "MATRICES": len(cell.late),
        "LATE_READS": sum(len(product.reads) for product in products),
        "SQUARES": sum(len(product.reads) * len(product.gates) for product in products),
        "EARLY": sum(at <= equations.stages for at in known_at),
    }
    at, squares, written = 0, 0, set()
    rows: dict[str, list[int]] = {name: [] for name in ("FIRST", "GATES", "STAGE", "ADDS", "READS_OF", "READ_AT", "SQUARE")}
    for product in products:
        values = (product.first, len(product.gates), product.stage, product.adds, len(product.reads), at, squares)
        for name, value in zip(rows, values, strict=True):
            rows[name].append(int(value))
        at += len(product.reads)
        squares += len(product.reads) * len(product.gates)
    again: list[list[int]] = []  # whether a cotangent is added to what a later product has left
    for product in reversed(products):
        again.append([int(read < len(cell.state) or read in written) for read in product.reads])
        written |= set(product.reads)
    matrices = list(cell.late)
    made = {f"LATE_{name}": values for name, values in rows.items()}
    made["LATE_READ"] = [read for product in products for read in product.reads]
    made["LATE_AGAIN"] = [value for values in reversed(again) for value in values]
    made["MATRIX"] = [matrices.index(gate) if gate in cell.late else 0 for gate in order]
    made["GATE_STAGE"] = [equations.stage["a", gate] for gate in order]
    made["VALUE_STAGE"] = [equations.stage["v", name] for name in values_of(cell)]
    made["KNOWN_AT"] = list(known_at)
    return constants, {name: values or [0] for name, values in made.items()}


def reduction_tables(equations: Equations) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Constants and tables of reductions by their names in C; nothing for a cell without any."""
    names = equations.reductions
    if not names:
        return {}, {}
    along = [name == "cumulate" for name in names]  # a result for each unit, and not one for all
    constants = {"REDUCTIONS": len(names), "ROW_RESULTS": along.count(False), "UNIT_RESULTS": along.count(True)}
    places = [along[:number].count(along[number]) for number in range(len(names))]
    stage = [equations.stage["q", str(number)] for number in range(len(names))]
    kinds = [("total", "mean", "largest", "cumulate").index(name) for name in names]  # as in reduce.c
    return constants, {"REDUCED_BY": kinds, "REDUCED_AT": places, "REDUCED_STAGE": stage}
