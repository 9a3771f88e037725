"""`gatelab check`: whether cells and tasks keep their contracts, for those who write them."""

import argparse
import os
from typing import Any

import torch

from gatelab.cells import CELLS, Cell
from gatelab.errors import UserError, unknown
from gatelab.kernels import serving
from gatelab.models import RNN
from gatelab.process.output import say
from gatelab.registry import Registry
from gatelab.registry.plugins import load_plugin
from gatelab.tasks import TASKS, Task, check_task

REGISTRIES: tuple[Registry[Any], ...] = (CELLS, TASKS)
SHAPE = (3, 5, 4)  # B, T, D of the data that a cell is run on
HIDDEN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to check."""
    parser.add_argument(
        "entries", nargs="*", metavar="NAME_OR_FILE", help="a cell or a task, or a Python file with some of your own: mycell.py"
    )
    parser.add_argument("--all", action="store_true", help="every cell and every task that `gatelab list` shows")


def run(options: argparse.Namespace) -> int:
    """Prints a line for each cell and task, with default options; 2 if one of them breaks its contract."""
    if not options.entries and not options.all:
        raise UserError("check: name a cell, a task or a Python file, as in `gatelab check mycell.py`, or give --all.")
    everything = [(registry, name) for registry in REGISTRIES for name in registry.names()] if options.all else []
    status = 0
    for entry in (*options.entries, *everything):  # to the end, because an author wants to know of all that is broken
        try:
            for registry, name in _named(entry) if isinstance(entry, str) else [entry]:
                say(f"{registry.kind} {name}: {_checked(registry.build(name), name)}")
        except UserError as error:
            status = 2
            say(f"gatelab: {error}", stderr=True)
    return status


def _named(entry: str) -> list[tuple[Registry[Any], str]]:
    """Registry and name of what is meant: the cell and the task of a name or of a file.

    Raises:
        UserError: there is nothing of that name, or the file cannot be loaded.
    """
    if entry.endswith(".py"):
        plugin = load_plugin(entry, REGISTRIES)
        source = os.path.realpath(plugin.path)
        return [(registry, plugin.name) for registry in REGISTRIES if registry.source(plugin.name) == source]
    found = [(registry, entry) for registry in REGISTRIES if entry in registry]
    if not found:
        raise UserError(unknown("cell or task", entry, [name for registry in REGISTRIES for name in registry.names()]))
    return found


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
