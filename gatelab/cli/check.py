"""`gatelab check`: whether cells and tasks keep their contracts, for those who write them."""

import builtins
from collections.abc import Sequence
from typing import Any

import torch

from gatelab.cells import CELLS, Cell
from gatelab.errors import UserError
from gatelab.kernels import serving
from gatelab.models import RNN
from gatelab.process.output import say, say_json
from gatelab.registry import Registry
from gatelab.sweeps.naming import apart, entries_of
from gatelab.tasks import TASKS, Task, check_task

REGISTRIES: tuple[Registry[Any], ...] = (CELLS, TASKS)
SHAPE = (3, 5, 4)  # B, T, D of the data that a cell is run on
HIDDEN = 8


def run(words: Sequence[str], all: bool, format: str) -> int:
    """Prints a line for each cell and task; 2 if one of them breaks its contract."""
    if not words and not all:
        raise UserError("check: name a cell, a task or a Python file, as in `gatelab check mycell.py`, or give --all.")
    words = [*words, *(name for registry in REGISTRIES for name in registry.names() if all)]
    found: list[dict[str, Any]] = []
    for named in apart(words):  # to the end, because an author wants to know of all that is broken
        try:
            for kind, name, entry in entries_of(named, "check"):
                found.append({"kind": kind, "name": name, "keeps": True, "checked": _checked(entry, name)})
                if format == "table":
                    say(f"{kind} {name}: {found[-1]['checked']}")
        except UserError as error:
            found.append({"words": named, "keeps": False, "problem": str(error)})
            say(f"gatelab: {error}", stderr=True)
    if format == "json":
        say_json(found)
    return 0 if builtins.all(one["keeps"] for one in found) else 2


def _checked(entry: Any, name: str) -> str:
    return _cell(entry, name) if isinstance(entry, Cell) else _task(entry, name)


def _cell(cell: Cell, name: str) -> str:
    """Runs a layer of it forward and backward, and says what was checked."""
    torch.manual_seed(0)
    rnn = RNN(cell, SHAPE[2], HIDDEN, batch_first=True)
    output = rnn(torch.randn(SHAPE))[0]
    output.sum().backward()
    gradients = [value.grad for value in rnn.parameters() if value.grad is not None]
    if not all(value.isfinite().all() for value in (output, *gradients)):
        raise UserError(f"Cell '{name}': its output or its gradient is not finite on random input of shape {SHAPE}.")
    served = serving(cell, torch.float32)
    note = f"; {served.passed_over}" if served.passed_over else ""
    gates = ", ".join(cell.activated) or "none"
    return f"keeps the contract (gates {gates}; state {', '.join(cell.state)}); backend {served.backend}{note}"


def _task(task: Task, name: str) -> str:
    """Checks two rows of every split, and says what was checked."""
    check_task(task, name)
    sizes = [task.size(split) for split in ("train", "val", "test")]
    told = ", ".join("endless" if size is None else f"{size:,}" for size in sizes)
    levels = f"chance {task.chance:.4g}, solved {task.solved:.4g}"
    return f"keeps the contract (train, val, test: {told} sequences; {task.metric}: {levels})"
