"""The products of late pre-activations, as tables for C."""

from typing import NamedTuple

from gatelab.cells import Cell, reads_of, stage_of, stages, values_of

MOST_STAGES = 12  # as many as late.c has functions for


class Product(NamedTuple):
    """Late pre-activations side by side that read the same.

    Attributes:
        gates: in the order of C.
        first: where the first of them stands.
        stage: how often `before` has yielded when they are computed.
        adds: whether they have a part W x, which the product is added to.
        reads: places of parts of the state, and behind them of values.
    """

    gates: tuple[str, ...]
    first: int
    stage: int
    adds: bool
    reads: tuple[int, ...]


def late_products(cell: Cell, order: list[str]) -> list[Product]:
    """The products in the order in which they are computed."""
    stage = stage_of(cell)
    place = {name: index for index, name in enumerate((*cell.state, *values_of(cell)))}
    found: list[Product] = []
    for index, gate in enumerate(order):
        if gate not in cell.late:
            continue
        one = Product((gate,), index, stage[gate], gate in cell.input_gates, tuple(place[name] for name in reads_of(cell, gate)))
        last = found[-1] if found else None
        if last is not None and last.first + len(last.gates) == index and last[2:] == one[2:]:
            found[-1] = last._replace(gates=(*last.gates, gate))
        else:
            found.append(one)
    return sorted(found, key=lambda product: product.stage)


def tables(cell: Cell, order: list[str], known_at: tuple[int, ...]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Constants and tables by their names in C.

    Args:
        cell: the equations.
        order: pre-activations in the order of C.
        known_at: as in `Equations`.
    """
    products, stage, last = late_products(cell, order), stage_of(cell), len(stages(cell)) + 1
    constants = {
        "STAGES": last - 1,
        "VALUES": len(values_of(cell)),
        "LATE": len(products),
        "MATRICES": len(cell.late),
        "LATE_READS": sum(len(product.reads) for product in products),
        "SQUARES": sum(len(product.reads) * len(product.gates) for product in products),
        "EARLY": sum(at < last for at in known_at),
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
    value_stage = {name: number for number, names in enumerate(stages(cell), 1) for name in names}
    made = {f"LATE_{name}": values for name, values in rows.items()}
    made["LATE_READ"] = [read for product in products for read in product.reads]
    made["LATE_AGAIN"] = [value for values in reversed(again) for value in values]
    made["MATRIX"] = [matrices.index(gate) if gate in cell.late else 0 for gate in order]
    made["GATE_STAGE"] = [stage[gate] for gate in order]
    made["VALUE_STAGE"] = [value_stage[name] for name in values_of(cell)]
    made["KNOWN_AT"] = list(known_at)
    return constants, {name: values or [0] for name, values in made.items()}
