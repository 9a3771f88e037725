"""Observes a model on one batch: gates and states of all steps, and dL/ds(t) for all states.

A batch whose gates fit into `LIMIT` is observed whole. A larger batch is cut to the first rows that fit into `SAMPLE`. A sequence
that is too long by itself is cut in time: gates are taken at evenly spaced steps, gradients at the last steps, where they are
exact (dL/ds(t) depends on earlier steps only through s(t)). A model that cannot be cut in time (two directions, a memory of earlier
states) keeps one whole row.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gatelab.models import RNN, SequenceModel
from gatelab.tasks import Batch, Task

LIMIT = 2**22  # B * T * H of one gate: 16 MiB in float32
SAMPLE = 2**20  # the same, where the observation takes separate passes
END_ROWS = 8  # rows in the backward pass of a loss at the last step

Flows = dict[str, tuple[dict[str, Tensor], Tensor | None]]  # layer: dL/ds(t) by part (T, B, H) in scan order, and lengths


@dataclass
class LayerRecord:
    """One layer and direction, in scan order.

    Attributes:
        gates, states: by name, (S, B, H) each, at S of the T steps.
        at: which steps these are, (S,).
        length: T.
        lengths: valid steps of each row (B,), or None if all are.
        last: all gates at the last steps, without a gap, (S', B, H) each.
        retention: name of the gate that multiplies the old state, if the cell has one.
        unbounded: names of gates that are not confined to [0, 1].
    """

    gates: dict[str, Tensor]
    states: dict[str, Tensor]
    at: Tensor
    length: int
    lengths: Tensor | None
    last: dict[str, Tensor]
    retention: str
    unbounded: tuple[str, ...] = ()


def fits(rnn: RNN, batch: Batch, limit: int | None = None) -> bool:
    """Whether the whole batch is observed; limit: instead of `LIMIT`."""
    return batch.x.shape[0] * batch.x.shape[1] * rnn.hidden_size <= (limit or LIMIT)


def recorded(rnn: RNN) -> dict[str, LayerRecord]:
    """Every layer in the last forward pass with `recording` on."""
    layers = {}
    for name, (gates, states), lengths in rnn.replayed():
        length, _, _ = next(iter(states.values())).shape
        at = torch.arange(length, device=next(iter(states.values())).device)
        states = {part: states[part] for part in rnn.cell.own_state}
        layers[name] = LayerRecord(gates, states, at, length, lengths, gates, rnn.cell.retention, rnn.cell.unbounded)
    return layers


def followed(rnn: RNN, factor: float) -> Flows:
    """dL/ds(t) of the last pass with `following` on, times a factor: the number of rows gives the gradient of a row's own loss."""
    flows = {}
    for name, cotangents, lengths in rnn.gradient_flow():
        flows[name] = ({part: value * factor for part, value in cotangents.items() if part not in rnn.cell.delayed}, lengths)
    return flows


def flow(model: SequenceModel, task: Task, batch: Batch, end: bool = False) -> Flows:
    """dL/ds(t) of a row's own loss, from one forward and backward pass that leaves gradients and random state as they are.

    Args:
        end: only the share of the last step (of each row) in the loss, which is the whole loss if the readout is "last". Otherwise
            layers of the reverse direction are left out, because that step is the first of their scan.
    """
    return _flow(model, task, batch, end, None)


def sampled(
    model: SequenceModel, task: Task, batch: Batch, limit: int | None = None
) -> tuple[dict[str, LayerRecord], Flows, Flows, Batch]:
    """Layers, `flow` and `flow` of the end for a batch of any size, and the rows that were used; limit: instead of `SAMPLE`."""
    B, T = batch.x.shape[:2]
    limit = limit or SAMPLE
    rnn = model.rnn
    small = batch.first(max(1, min(B, limit // (T * rnn.hidden_size))))
    before = None
    if T * rnn.hidden_size > limit and not rnn.bidirectional and rnn.cell.memory is None:
        before = _before(model, small, max(1, limit // rnn.hidden_size))
    with _evaluating(model), recording(rnn):
        own = _flow(model, task, small, False, before)
        layers = recorded(rnn)
    if before is not None:
        layers = {name: before.join(name, layer) for name, layer in layers.items()}
    end = own if model.readout == "last" else _flow(model, task, small.first(END_ROWS), True, before)
    return layers, own, end, small


@dataclass
class _Before:
    """The earlier steps of one long row, all but the last ones.

    Attributes:
        start: their number.
        stop: the end of the row.
        state: the state after them.
        outputs: the outputs of the model at these steps, (1, start, ...).
        stride: the distance between two steps whose gates are kept.
        seen: gates and states at those, by layer.
    """

    start: int
    stop: int
    state: tuple[Tensor, ...]
    outputs: Tensor | None
    stride: int
    seen: dict[str, list[tuple[dict[str, Tensor], dict[str, Tensor]]]]

    def join(self, name: str, last: LayerRecord) -> LayerRecord:
        """A layer at sampled steps of the whole row; last: the same layer at the last steps."""
        pieces = [*self.seen[name], _every(last.gates, last.states, self.start, self.stride)]
        gates, states = ({key: torch.cat([piece[kind][key] for piece in pieces]) for key in pieces[0][kind]} for kind in (0, 1))
        at = torch.arange(0, self.stop, self.stride, device=last.at.device)
        return LayerRecord(gates, states, at, self.stop, None, last.last, last.retention, last.unbounded)


def _before(model: SequenceModel, batch: Batch, window: int) -> _Before:
    """Runs all but the last `window` steps of one row without gradients, a window at a time."""
    stop = batch.x.shape[1] if batch.lengths is None else int(batch.lengths[0])
    start, stride = max(0, stop - window), math.ceil(stop / window)
    state: tuple[Tensor, ...] = ()
    outputs = []
    seen: dict[str, list[tuple[dict[str, Tensor], dict[str, Tensor]]]] = {name: [] for name in model.rnn.layers}
    with _evaluating(model), torch.no_grad(), recording(model.rnn):
        for first in range(0, start, window):
            output, state = model.rnn(model.encode(batch.x[:, first : min(first + window, start)]), state or None)
            if model.readout == "all":
                outputs.append(model.decode(output, state))
            for name, (gates, states), _ in model.rnn.replayed():
                seen[name].append(_every(gates, {part: states[part] for part in model.rnn.cell.own_state}, first, stride))
    return _Before(start, stop, state, torch.cat(outputs, 1) if outputs else None, stride, seen)


def _every(
    gates: dict[str, Tensor], states: dict[str, Tensor], first: int, stride: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The steps whose position in the sequence is a multiple of the stride; the first one is at `first`."""
    cut = slice(-first % stride, None, stride)
    return {key: value[cut].clone() for key, value in gates.items()}, {key: value[cut].clone() for key, value in states.items()}


def _flow(model: SequenceModel, task: Task, batch: Batch, end: bool, before: _Before | None) -> Flows:
    rnn = model.rnn
    T = batch.x.shape[1]
    start, stop = (0, T) if before is None else (before.start, before.stop)
    lengths = batch.lengths if before is None else None
    with _evaluating(model), torch.enable_grad():
        rnn.following = True
        try:
            states = before.state if before is not None and before.start else None
            predicted = model.decode(*rnn(model.encode(batch.x[:, start:stop]), states, lengths))
        finally:
            rnn.following = False
        if model.readout == "all":
            if end:
                last = torch.arange(start, stop, device=predicted.device) == (stop if lengths is None else lengths[:, None]) - 1
                predicted = torch.where(last.reshape(-1, stop - start, 1), predicted, predicted.detach())
            if before is not None:
                behind = predicted.new_zeros(1, T - stop, predicted.shape[-1])
                earlier = [before.outputs] if before.outputs is not None else []
                predicted = torch.cat([*earlier, predicted, behind], 1)
        # Not backward(), which would change the gradients of the parameters.
        torch.autograd.grad(task.loss(predicted, batch), list(rnn.parameters()), allow_unused=True)
    flows = followed(rnn, len(batch.x))
    rnn.followed = {}
    backwards = [name for name in flows if name.endswith("_reverse")] if end and model.readout == "all" else []
    return {name: flows[name] for name in flows if name not in backwards}


@contextlib.contextmanager
def _evaluating(model: SequenceModel) -> Iterator[None]:
    """Turns dropout off, so that nothing is drawn from the random state that training continues with."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextlib.contextmanager
def recording(rnn: RNN) -> Iterator[None]:
    """Records the forward passes inside the block; after it, also after an error, nothing is recorded or kept."""
    rnn.recording = True
    try:
        yield
    finally:
        rnn.recording, rnn.recorded = False, {}
