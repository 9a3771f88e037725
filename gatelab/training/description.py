"""What a cell or a task is, in plain data, from its own declarations and its docstring."""

import dataclasses
import inspect
import re
from typing import Any

import torch

from gatelab.cells import CELLS, Cell, equations, parameter_count, reductions_of
from gatelab.config import Model
from gatelab.diagnostics.cost import flops_per_step, parameter_formula, pointwise_operators
from gatelab.errors import UserError
from gatelab.kernels import affine
from gatelab.kernels.cpu import source
from gatelab.options import describe
from gatelab.tasks import Task
from gatelab.training.matching import nearest

D, H = EXAMPLE = (64, 128)  # of the figures
TAPE = 100  # steps on the tape in the figures of a cell with memory

Description = dict[str, Any]  # what JSON holds


def describe_entry(kind: str, name: str, entry: Cell | Task) -> Description:
    """All that `gatelab list` and `gatelab explain` show of an entry but its measured speed.

    Args:
        kind: "cell" or "task".
        name: in the registry.
        entry: with its options.
    """
    docstring = inspect.getdoc(type(entry)) or ""
    about = _about_cell(name, entry) if isinstance(entry, Cell) else _about_task(entry)
    return {
        "kind": kind,
        "name": name,
        "identity": docstring.partition("\n")[0],
        "docstring": docstring,
        "options": [dict(row) for row in describe(type(entry))],
        "values": dataclasses.asdict(entry),
        **about,
    }


def _about_cell(name: str, cell: Cell) -> Description:
    units = -(-H // cell.head_count) * cell.head_count
    return {
        "family": cell.family,
        "year": _year(inspect.getdoc(type(cell)) or ""),
        "needs": _needs(cell),
        # That those of the package have a compiled loop is tested; to find out takes more time than all the rest.
        "not_compiled": None if CELLS.is_built_in(name) else _not_compiled(cell),
        "gates": dict(cell.gates),
        "state": list(cell.own_state),
        "delay": dict(cell.delay),
        "fed_back": list(cell.fed_back),
        "activated": list(cell.activated),
        "equations": [dataclasses.asdict(line) for line in equations(cell)],
        "parameters": parameter_formula(cell),
        "example": {"D": D, "H": units} | ({} if cell.memory is None else {"tape": TAPE}),
        "shapes": {name: list(shape) for name, shape in cell.shapes(D, units).items()},
        "flops_per_step": flops_per_step(cell, D, units, TAPE),
        "pointwise_operators": pointwise_operators(cell),
        "matched": _matched(cell),
        "initial": {name: start.data() | {"text": str(start)} for name, start in cell.initial.items()},
        "fixed": {name: start.data() | {"text": str(start)} for name, start in cell.fixed.items()},
        "constraint": {name: one.data() | {"text": str(one)} for name, one in cell.constraint.items()},
        "initial_bias": dict(cell.initial_bias),
    }


def _year(docstring: str) -> int | None:
    """The year of the first reference, which is the paper of the variant."""
    found = re.search(r"\b(?:19|20)\d\d\b", docstring.partition("References:")[2])
    return None if found is None else int(found.group())


def _needs(cell: Cell) -> list[str]:
    """What a cell has beyond one product W x + R h + b and a pointwise step; or does not have of it."""
    words = {
        "attention": cell.memory is not None,
        "second product": bool(cell.late),
        "the input itself": "raw" in cell.sources.values(),
        "time between steps": cell.timed,
        "sums over units": bool(reductions_of(cell)),
        "no recurrent product": not cell.recurrent_gates and not cell.late,
        "linear in the state": affine(cell) is not None,
        "delay": bool(cell.delay),
        "constrained matrix": bool(cell.constraint),
        "straight-through derivative": bool(cell.straight_through),
        "start values": bool(cell.initial),
    }
    return [word for word, needed in words.items() if needed]


def _not_compiled(cell: Cell) -> str | None:
    """Why a cell has no compiled loop, from its equations alone; None if it has one."""
    try:
        source(cell, torch.float32)
    except UserError as error:
        return str(error)
    return None


def _matched(cell: Cell) -> Description:
    """The hidden sizes of one layer that `model.match` would choose, and by which share of what is wanted each is off."""
    name = Model().match_to
    reference = CELLS.build(name)
    k = cell.head_count
    size, off = nearest(lambda each: parameter_count(cell, D, k * each), parameter_count(reference, D, H))
    costly, more = nearest(lambda each: flops_per_step(cell, D, k * each, TAPE), flops_per_step(reference, D, H, TAPE))
    return {
        "reference": name,
        "parameters": {"hidden_size": k * size, "off": off},
        "flops": {"hidden_size": k * costly, "off": more},
    }


def _about_task(task: Task) -> Description:
    chance, problem = None, None
    try:
        chance = float(task.chance)
    except UserError as error:
        problem = str(error)
    return {
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "scale": task.scale,
        "shape": task.shape,
        "chance": chance,
        "chance_problem": problem,  # why it cannot be computed: data are missing
        "chance_derivation": task.chance_derivation,
        "solved": float(task.solved),
        "solved_derivation": task.solved_derivation,
        "plateau": task.plateau,
    }
