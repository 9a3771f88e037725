"""Which backend serves a call of the time loop."""

import importlib
import logging
from types import ModuleType
from typing import NamedTuple, cast

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.errors import UserError, unknown
from gatelab.kernels import BACKEND_NAMES
from gatelab.kernels._gate import check, special
from gatelab.kernels._scan import Backend, Flow, Scan, Weights, is_plain

BACKENDS: dict[str, ModuleType] = {name: importlib.import_module(f"gatelab.kernels.{name}") for name in BACKEND_NAMES}
for _backend in BACKENDS.values():
    _ = _backend.refuses, _backend.scan  # imported now: torch.compile cannot look into what is imported when it is used

_log = logging.getLogger(__name__)
_said: set[str] = set()


def check_backend(name: str) -> None:
    """Raises UserError if no backend has that name."""
    if name != "auto" and name not in BACKENDS:
        raise UserError(unknown("backend", name, ["auto", *BACKENDS]))


class Served(NamedTuple):
    """Attributes:
    backend: the name of the backend that computes.
    passed_over: one sentence why an earlier one of `BACKENDS` does not; empty if there is none.
    """

    backend: str
    passed_over: str


def serving(cell: Cell, dtype: torch.dtype, device: torch.device | str = "cpu", backend: str = "auto") -> Served:
    """The backend that an ordinary call with these equations, this number format and this device gets; compiles if it has to.

    Raises:
        UserError: the backend does not exist or cannot serve.
    """
    return _choose(cell, dtype, torch.device(device), backend, None, True)


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
    resets: Tensor | None = None,
    restart: tuple[Tensor, ...] | None = None,
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
        backend: "auto" takes the first that can serve and says once why it skips another.
        lengths: valid steps of each row (B,), or None. A finished row keeps its state and puts out zeros.
        record: also return what `step` was given, for `replay`.
        checkpoint_every: steps between two states that are kept for the backward pass, which computes the rest again; a backend
            may round it up. None: chosen from T and the memory at hand. The eager loop keeps everything,
            and every backend the tape of a cell with memory.
        flow: filled with the derivatives by all states when the backward pass runs.
        resets: steps at which a row starts again (B, T), or None: they read `restart` in place of the state before them, in the
            recurrent product, in `step` and in the record; a cell with memory begins an empty tape there. No derivative passes
            such a step, and NaN before it does not reach the steps behind it. At step 0 it takes the place of `s0`; behind
            the end of a row it has no effect.
        restart: the state there, in the order of `cell.state`, (N, B, H) each; zeros if None.

    Raises:
        UserError: a tensor is absent or does not fit the others (`_gate.check`); the backend does not exist or cannot serve this
            cell, number format, machine or transformation.
    """
    check(cell, weights, x, s0, lengths, resets, restart)
    products, others = (weights.W, weights.R, weights.b), (*weights.p.values(), *weights.memory.values())
    why = special((x, *products, *others, *weights.given.values(), *s0, lengths, resets, *(restart or ())))
    plain = is_plain(x, lengths, record, flow, resets)
    chosen = BACKENDS[_choose(cell, x.dtype, x.device, backend, why, plain).backend]
    return cast(Backend, chosen).scan(cell, weights, x, s0, lengths, record, checkpoint_every, flow, resets, restart)


def _choose(cell: Cell, dtype: torch.dtype, device: torch.device, backend: str, why: str | None, plain: bool) -> Served:
    check_backend(backend)
    reasons: list[str] = []
    for name, module in BACKENDS.items():
        if backend not in ("auto", name) or (backend == "auto" and module.DEVICE not in (None, device.type)):
            continue
        reason = cast(Backend, module).refuses(cell, dtype, device, why, plain, backend == name)
        if reason is None:
            return Served(name, " ".join(reasons))
        if backend == name:
            raise UserError(f"Backend '{name}' cannot run this: {reason}")
        reasons.append(f"Skipping backend '{name}': {reason}")
        if reasons[-1] not in _said and not torch.compiler.is_compiling():  # a graph cannot hold a message
            _said.add(reasons[-1])
            _log.warning("%s", reasons[-1])
    raise AssertionError("the eager backend serves everything")
