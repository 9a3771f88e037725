"""Backends of the time loop. They know no cell by name."""

import logging
from types import ModuleType
from typing import cast

from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels import cpu, eager
from gatelab.kernels._scan import Backend, Flow, Record, Scan, Weights, replay
from gatelab.registry import UserError, unknown

# In the order in which `auto` tries them.
BACKENDS: dict[str, ModuleType] = {"cpu": cpu, "eager": eager}

_log = logging.getLogger(__name__)
_said: set[str] = set()


def check_backend(name: str) -> None:
    """Raises UserError if there is no backend of that name."""
    if name != "auto" and name not in BACKENDS:
        raise UserError(unknown("backend", name, ["auto", *BACKENDS]))


def scan(
    cell: Cell,
    weights: Weights,
    x: Tensor,
    s0: tuple[Tensor, ...],
    backend: str = "auto",
    lengths: Tensor | None = None,
    record: bool = False,
    checkpoint_every: int | None = None,
    flow: Flow | None = None,
) -> Scan:
    """Runs the time loop of one layer in one direction.

    ```
    a_g(t) = W_g x(t) + R_g h(t-1) + b_g        for every pre-activation g
    s(t), gates(t) = step(a(t), s(t-1), p)
    ```

    Args:
        cell: the equations.
        weights: the parameters of N replicas.
        x: inputs (N, T, B, D).
        s0: initial state in the order of `cell.state`, (N, B, H) each.
        backend: "auto" takes the first that can serve and says once why it passed over another.
        lengths: valid steps of each row (B,), or None. A finished row keeps its state and puts out zeros.
        record: also return what `step` was given, for `replay`.
        checkpoint_every: steps between two states that are kept for the backward pass, which computes the rest again; a backend
            may round it up. None: chosen from T and the memory at hand. The eager loop keeps everything,
            and every backend the tape of a cell with memory.
        flow: filled with the derivatives by all states when the backward pass runs.

    Raises:
        UserError: the backend does not exist or cannot serve this cell, dtype or machine.
    """
    check_backend(backend)
    for name, module in BACKENDS.items():
        if backend not in ("auto", name):
            continue
        chosen = cast(Backend, module)
        reason = chosen.refuses(cell, weights, x)
        if reason is None:
            return chosen.scan(cell, weights, x, s0, lengths, record, checkpoint_every, flow)
        if backend == name:
            raise UserError(f"Backend '{name}' cannot run this: {reason}")
        if reason not in _said:
            _said.add(reason)
            _log.warning("Backend '%s' is passed over: %s", name, reason)
    raise AssertionError("the eager backend serves everything")


__all__ = ["BACKENDS", "Flow", "Record", "Scan", "Weights", "check_backend", "replay", "scan"]
