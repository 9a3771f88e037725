"""The time loop in plain torch: any cell, any dtype, any device. The truth that other backends are tested against."""

import itertools

import torch
from torch import Tensor

from gatelab.cells import Cell, Parts, reads_of, ready, yielded
from gatelab.kernels._affine import affine, read_states
from gatelab.kernels._gate import special
from gatelab.kernels._resets import live_resets
from gatelab.kernels._scan import Flow, Record, Scan, Weights
from gatelab.kernels._tape import Tape

DEVICE = None

# Where a cell that is affine in its state is computed for all time steps together (`_affine`). On one thread of a CPU that was 1.0
# to 2.2 times as fast as the loop within these bounds and 0.3 to 0.9 times outside of them, where memory limits both. Other devices
# wait for the start of every operator, so that only the number of steps counts.
TOGETHER_FROM = 256  # time steps
TOGETHER_UP_TO = 1024  # on a CPU: numbers of a part of the state, times the square of the parts


def refuses(cell: Cell, dtype: torch.dtype, device: torch.device, special: str | None, *_: bool) -> str | None:  # noqa: ARG001
    """None: the eager loop serves everything that the gate accepts."""
    return None


def scan(
    cell: Cell,
    weights: Weights,
    x: Tensor,
    s0: tuple[Tensor, ...],
    lengths: Tensor | None = None,
    record: bool = False,
    checkpoint_every: int | None = None,  # noqa: ARG001 - this loop keeps everything
    flow: Flow | None = None,
    resets: Tensor | None = None,
    restart: tuple[Tensor, ...] | None = None,
) -> Scan:
    """Runs one layer in one direction; the arguments are those of `gatelab.kernels.scan`."""
    T = x.shape[1]
    if flow is None and _pays(cell, T, s0[0]) and _is_ordinary(weights, x, s0, restart):
        return _together(cell, weights, x, s0, lengths, record, resets, restart)
    alone, joint = _input_parts(cell, weights, x, s0)
    R = _transposed(weights.R) if weights.R is not None else None
    late = {name: _transposed(value) for name, value in weights.late.items()}
    p = Parts(**{name: value[:, None] for name, value in weights.p.items()})
    tape = Tape(cell.memory, weights.memory, x, s0) if cell.memory is not None else None
    alive = None if lengths is None else (torch.arange(T, device=x.device)[:, None] < lengths.to(x.device))[..., None]
    restarted = None if resets is None else live_resets(resets, lengths, x.device)
    again = dict(zip(cell.state, restart or [0.0] * len(cell.state), strict=True))

    s = dict(zip(cell.state, s0, strict=True))
    outputs: list[Tensor] = []
    seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for t in range(T):
        if restarted is not None:
            s = {name: torch.where(restarted[t][:, None], again[name], value) for name, value in s.items()}
        read = s
        if tape is not None:
            tape.push(tuple(s[name] for name in cell.state), None if restarted is None else restarted[t])
            read = dict(zip(cell.state, tape.read(t), strict=True))
        a = {name: part[t] for name, part in alone.items()}
        if R is not None:
            product = torch.baddbmm(joint[t], _joined([read[name] for name in cell.feedback]), R)
            a |= zip(cell.recurrent_gates, product.chunk(len(cell.recurrent_gates), -1), strict=True)
        if late:
            a = _complete(cell, late, a, read, p)
        new, _ = cell.step(Parts(**a), Parts(**read), p)
        if flow is not None:
            new = _watch(flow, new, t, T)
        h = _joined([new[name] for name in cell.outputs])
        if alive is not None:
            h = torch.where(alive[t], h, 0)
            new = {name: torch.where(alive[t], new[name], s[name]) for name in cell.state}
        s = new
        outputs.append(h)
        if record:
            seen.append((a, read))
    # Copies: the caller may modify returned tensors in place, but those that autograd has saved must not change.
    last = tuple(s[name].clone() for name in cell.state)
    return Scan(torch.stack(outputs, 1), last, _stack(cell, seen) if record else None)


def _pays(cell: Cell, T: int, part: Tensor) -> bool:
    """Whether a cell can be computed for all time steps together, and faster so."""
    recurrence = affine(cell) if T >= TOGETHER_FROM else None
    if recurrence is None:
        return False
    return part.device.type != "cpu" or part.numel() * len(recurrence.parts) ** 2 <= TOGETHER_UP_TO


def _is_ordinary(weights: Weights, x: Tensor, s0: tuple[Tensor, ...], restart: tuple[Tensor, ...] | None) -> bool:
    """Whether no transformation of torch wraps the call: the coefficients of an affine cell are derivatives themselves."""
    return not torch.compiler.is_compiling() and special((x, *weights.named().values(), *s0, *(restart or ()))) is None


def _together(
    cell: Cell,
    weights: Weights,
    x: Tensor,
    s0: tuple[Tensor, ...],
    lengths: Tensor | None,
    record: bool,
    resets: Tensor | None,
    restart: tuple[Tensor, ...] | None,
) -> Scan:
    """`scan` of a cell that is affine in its state: the states of all time steps first, then one call of `step`."""
    T = x.shape[1]
    a = _input_products(cell, weights, x, s0)
    p = {name: value[:, None, None] for name, value in weights.p.items()}
    first = dict(zip(cell.state, s0, strict=True))
    again = dict(zip(cell.state, restart or [torch.zeros_like(part) for part in s0], strict=True))
    restarted = None if resets is None else live_resets(resets, lengths, x.device)
    recurrence = affine(cell)
    assert recurrence is not None  # `_pays` has seen it
    read = read_states(recurrence, a, p, first, restarted, again)
    new, _ = cell.step(Parts(**a), Parts(**read), Parts(**p))
    h = _joined([new[name] for name in cell.outputs])
    last = {name: value[:, -1] for name, value in new.items()}
    if lengths is not None:
        ends = lengths.to(x.device)
        h = torch.where((torch.arange(T, device=x.device)[:, None] < ends)[..., None], h, 0)
        last = {name: value[:, ends - 1, torch.arange(len(ends), device=x.device)] for name, value in new.items()}
    state = tuple(last[name].clone() for name in cell.state)
    return Scan(h.clone(), state, Record(a, read) if record else None)


def _input_products(cell: Cell, weights: Weights, x: Tensor, s0: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """W x + b by pre-activation, (N, T, B, H) each, of a cell whose pre-activations have no part R h."""
    alone, _ = _input_parts(cell, weights, x, s0)
    return {name: torch.stack(steps, 1) for name, steps in alone.items()}


def _input_parts(
    cell: Cell, weights: Weights, x: Tensor, s0: tuple[Tensor, ...]
) -> tuple[dict[str, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """The parts of pre-activations that do not depend on the state, for all time steps in one product.

    Returns:
        `alone`: pre-activations without R h, and what is given in their place, by name, per step (N, B, H); `joint`: per step
        (N, B, J*H) what the recurrent product is added to, in the order of `cell.recurrent_gates`: W x + b, or only b where a
        pre-activation has no input part.
    """
    N, T, B, D = x.shape
    H = s0[0].shape[-1]
    biases = dict(zip(cell.gates, weights.b.view(N, -1, 1, H).unbind(1), strict=True)) if weights.b is not None else {}
    parts: dict[str, Tensor] = {}
    alone = {name: weights.given[name].unbind(1) for name in cell.given}
    if weights.W is not None:
        flat = x.reshape(N, T * B, D)
        if biases:
            flat = torch.baddbmm(torch.cat([biases[name] for name in cell.input_gates], -1), flat, _transposed(weights.W))
        else:
            flat = flat @ _transposed(weights.W)
        flat = flat.view(N, T, B, len(cell.input_gates) * H)
        if cell.input_gates == cell.recurrent_gates == tuple(cell.gates):
            return alone, flat.unbind(1)
        parts = dict(zip(cell.input_gates, flat.chunk(len(cell.input_gates), -1), strict=True))
    for name in cell.gates:
        if name not in parts:
            bias = biases[name][:, None] if biases else x.new_zeros(1)
            parts[name] = bias.expand(N, T, B, H)
    alone |= {name: parts[name].unbind(1) for name in cell.gates if name not in cell.recurrent_gates}
    joint = torch.cat([parts[name] for name in cell.recurrent_gates], -1).unbind(1) if cell.recurrent_gates else ()
    return alone, joint


def _complete(cell: Cell, weights: dict[str, Tensor], a: dict[str, Tensor], s: dict[str, Tensor], p: Parts) -> dict[str, Tensor]:
    """All pre-activations: each late one gets its product as soon as `before` has returned what it reads.

    Args:
        weights: the transposed matrices of late pre-activations.
        a: pre-activations, late ones without their product.
    """
    pending, known = {name: a[name] for name in cell.late}, dict(s)
    given = Parts(**{name: value for name, value in a.items() if name not in pending})
    for values in itertools.chain([{}], yielded(cell, given, Parts(**s), p)):
        known |= values
        for name in ready(cell, pending, known):
            read = _joined([known[of] for of in reads_of(cell, name)])
            product = torch.baddbmm(pending.pop(name), read, weights[name])
            setattr(given, name, product)
    return {name: getattr(given, name) for name in (*cell.gates, *cell.given)}


def _joined(parts: list[Tensor]) -> Tensor:
    """Side by side; one alone as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def _transposed(weight: Tensor) -> Tensor:
    """A weight (N, rows, columns) in the layout for products; its gradient has the layout of the weight."""
    if weight.requires_grad and not torch.compiler.is_compiling():
        weight = weight.view_as(weight)
        weight.register_hook(lambda gradient: None if gradient is None else gradient.contiguous())
    return weight.mT


def _stack(cell: Cell, seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]]) -> Record:
    """(N, T, B, H) of every pre-activation and of every part of the state that `step` read."""
    return Record(
        {name: torch.stack([a[name] for a, _ in seen], 1) for name in (*cell.gates, *cell.given)},
        {name: torch.stack([s[name] for _, s in seen], 1) for name in cell.state},
    )


def _watch(flow: Flow, new: dict[str, Tensor], t: int, T: int) -> dict[str, Tensor]:
    """The new state as separate tensors, whose derivatives the backward pass leaves in `flow`.

    They are separate because h(t) is computed from c(t) within the step, but as parts of the carried state they are independent.
    One that depends on nothing learned so far is made to, without a change: autograd would not compute its derivative.
    """
    learned = next((value for value in new.values() if value.requires_grad), None)
    if learned is None:
        return new
    never = torch.zeros((), dtype=torch.bool, device=learned.device)
    carried = {}
    for name, value in new.items():
        carried[name] = value.view_as(value) if value.requires_grad else torch.where(never, learned, value)
        if name not in flow.cotangents:
            N, B, H = value.shape
            flow.cotangents[name] = value.new_zeros(N, T, B, H)
        carried[name].register_hook(lambda gradient, at=flow.cotangents[name][:, t]: _leave(gradient, at))
    return carried


def _leave(gradient: Tensor, at: Tensor) -> None:
    at.copy_(gradient)
