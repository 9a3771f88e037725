"""Whole steps of a bare loop of training: model, loss, backward, clipping, optimiser."""

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gatelab.bench import clock
from gatelab.bench.gpu.section import Rows, Setting, columns
from gatelab.cells import CELLS
from gatelab.config import AdamW
from gatelab.models import RNN, SequenceModel
from gatelab.tasks import TASKS, Batch, Task
from gatelab.training.data import TrainingStream
from gatelab.training.optimizer import build_optimizer


def rows(setting: Setting) -> Rows:
    """Two tasks, two lengths, two sizes of batches."""
    lengths, batches, hidden = ((10,), (4,), 8) if setting.small else ((100, 500), (32, 256), 128)
    return {
        f"{task} T={length} B={batch}": functools.partial(_training, setting, task, length, batch, hidden)
        for task in ("adding", "copying")
        for length in lengths
        for batch in batches
    }


def _training(setting: Setting, name: str, length: int, batch_size: int, hidden: int) -> dict[str, Any]:
    task = TASKS.build(name, length=length)
    stream = iter(TrainingStream(task, 0, batch_size, lambda: 0))
    batches = [next(stream) for _ in range(4)]
    modules: dict[str, Callable[[], nn.Module]] = {"torch": lambda: _OfTorch(task, hidden)}
    for backend, refusal in setting.backends(CELLS.build("lstm"), torch.float32).items():
        if refusal is None:
            modules[backend] = functools.partial(_of_ours, task, hidden, backend)
    calls = {key: _steps(make().to(setting.device), task, batches, setting.device) for key, make in modules.items()}
    times, refused = clock.measure(calls, setting.device, setting.rounds)
    begin = time.perf_counter()
    for _ in range(10):
        next(stream)
    return {"columns": columns(times, refused), "batch_seconds": (time.perf_counter() - begin) / 10}


class _OfTorch(nn.Module):
    """What a user of torch alone would write for the same task."""

    def __init__(self, task: Task, hidden: int) -> None:
        super().__init__()
        self.vocabulary, self.readout = task.vocabulary, task.readout
        self.rnn, self.head = nn.LSTM(task.input_size, hidden, batch_first=True), nn.Linear(hidden, task.output_size)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:  # noqa: ARG002 - as of SequenceModel
        if self.vocabulary is not None:
            x = nn.functional.one_hot(x, self.vocabulary).float()
        output, (h, _) = self.rnn(x)
        return self.head(h[-1] if self.readout == "last" else output)


def _of_ours(task: Task, hidden: int, backend: str) -> nn.Module:
    rnn = RNN("lstm", task.input_size, hidden, batch_first=True, backend=backend)
    return SequenceModel(rnn, task.output_size, task.readout, task.vocabulary)


def _steps(model: nn.Module, task: Task, batches: Sequence[Batch], device: str) -> Callable[[], None]:
    optimizer = build_optimizer(AdamW(), model.parameters())
    moved = itertools.cycle([batch.to(device) for batch in batches])

    def call() -> None:
        batch = next(moved)
        optimizer.zero_grad()
        task.loss(model(batch.x, batch.lengths), batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return call
