"""Whole training steps through `fit` against a bare loop: what Lightning, logging and data cost.

Blocks of both take turns inside one run: a callback stops `fit` after every block and runs as many bare steps of a twin model, so
that a difference is one of neighbours of less than a second.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from gatelab.config import AdamW, Config, Logger, Machine, Model
from gatelab.config import Trainer as Training
from gatelab.tasks import TASKS, Batch
from gatelab.training.data import TrainingStream
from gatelab.training.fit import build_model, fit
from gatelab.training.optimizer import build_optimizer

BLOCK = 50  # steps; five lines of metrics and one probe at the default settings
NEVER = 10**6  # steps
TITLE = "One training step, task adding"
LEGEND = """\
{setting}, {threads} threads: medians over {n} blocks of 50 steps of fit, each beside 50 bare steps (forward, backward,
clipping, optimiser). Parts are differences between runs without and with them: metrics every 10 steps and probes every
50 are the defaults."""

# Name -> trainer settings and mirror, each with one more part than the one before.
VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "lightning": ({"log_every": NEVER, "probe_every": 0}, "none"),
    "logging": ({"probe_every": 0}, "none"),
    "none": ({}, "none"),
    "wandb": ({}, "wandb"),
}


@dataclass
class Block:
    """Seconds a step of one block."""

    fit: float
    bare: float
    data: float


class _TakeTurns(Callback):
    """Runs bare steps and makes batches between blocks of `fit`."""

    def __init__(self, bare: Callable[[int], None], stream: Iterator[Batch]) -> None:
        self.blocks: list[Block] = []
        self._bare, self._stream = bare, stream
        self._started: float | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        if batch_idx % BLOCK:
            return
        times = [time.perf_counter()]
        self._bare(BLOCK)
        times.append(time.perf_counter())
        for _ in range(BLOCK):
            next(self._stream)
        times.append(time.perf_counter())
        if self._started is not None:
            self.blocks.append(Block(*(seconds / BLOCK for seconds in (times[0] - self._started, *np.diff(times).tolist()))))
        self._started = time.perf_counter()


def measure(threads: int, repeats: int, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs every variant `repeats` times, in turn.

    Args:
        threads: of torch.
        repeats: runs of each variant, of four blocks that count.
        quick: shorter sequences, fewer units and a single block.
        say: called with a line when a run is done.

    Returns:
        `milliseconds` of a step, bare and by variant; `parts`, the differences, in milliseconds; `blocks`, all that was measured.
    """
    length, hidden, counted = (10, 8, 1) if quick else (100, 64, 4)
    blocks: dict[str, list[Block]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats):
            for name, (settings, mirror) in VARIANTS.items():
                config = Config(
                    cell={"name": "lstm", "forget_bias": 1.0},
                    task={"name": "adding", "length": length},
                    optimizer=AdamW(),
                    model=Model(hidden_size=hidden),
                    trainer=Training(max_steps=(counted + 1) * BLOCK + 1, val_every=NEVER, **settings),
                    logger=Logger(name=mirror, mode="offline"),
                    machine=Machine(device="cpu", threads=threads),
                    out=str(Path(folder) / f"{number}-{name}"),
                )
                blocks[name] += _blocks(config)[1:]  # the first warms up
            say(f"{number + 1}/{repeats}  bare step {1e3 * statistics.median(block.bare for block in blocks['none']):.2f} ms")
    setting = f"lstm, B = 32, T = {length}, H = {hidden}"
    raw = {name: [asdict(block) for block in of] for name, of in blocks.items()}
    return {"setting": setting, "n": len(blocks["none"]), **figures(blocks), "blocks": raw}


def figures(blocks: dict[str, list[Block]]) -> dict[str, dict[str, float]]:
    """`milliseconds` and `parts` from the blocks of every variant."""
    everything = [block for of in blocks.values() for block in of]
    bare = 1e3 * statistics.median(block.bare for block in everything)
    data = 1e3 * statistics.median(block.data for block in everything)
    over = {name: 1e3 * statistics.median(block.fit - block.bare for block in of) for name, of in blocks.items()}
    parts = {
        "task generator": data,
        "Lightning and our callbacks": over["lightning"] - data,
        "metrics": over["logging"] - over["lightning"],
        "gates and gradients": over["none"] - over["logging"],
        "W&B, offline": over["wandb"] - over["none"],
    }
    return {"milliseconds": {"bare": bare} | {name: bare + value for name, value in over.items()}, "parts": parts}


def _blocks(config: Config) -> Sequence[Block]:
    task = TASKS.build(**config.task)
    stream = iter(TrainingStream(task, 1, config.trainer.batch_size, lambda: 0))
    watcher = _TakeTurns(_bare_loop(config, [next(stream) for _ in range(BLOCK)]), stream)
    fit(config, [watcher])
    return watcher.blocks


def _bare_loop(config: Config, batches: Sequence[Batch]) -> Callable[[int], None]:
    """Steps of plain torch with the model, optimiser and clipping of the run."""
    task = TASKS.build(**config.task)
    model = build_model(config, task)
    optimizer = build_optimizer(config.optimizer, model.parameters())
    assert config.trainer.clip_norm is not None

    def run(steps: int) -> None:
        for batch in batches[:steps]:
            optimizer.zero_grad()
            task.loss(model(batch.x, batch.lengths), batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.trainer.clip_norm)  # type: ignore[arg-type]
            optimizer.step()

    return run
