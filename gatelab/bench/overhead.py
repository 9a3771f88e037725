"""Whole training steps through `fit` against a bare loop: what Lightning, logging and data cost.

All takes turns inside one run: a callback stops `fit` after every block, runs as many bare steps of a twin model, and turns
logging on or off for the next block. So a difference is one of neighbours of about a second.

Times are of the processor and not of the clock, which on a shared machine says more about the others. They count every thread of
this process. W&B's service, a process of its own, is not in them: it takes no time from a training that has a core for itself.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from gatelab.config import AdamW, Config, Logger, Machine, Model, StandardInit
from gatelab.config import Trainer as Training
from gatelab.tasks import Batch
from gatelab.training.callbacks import TrainingMetrics
from gatelab.training.data import TrainingStream
from gatelab.training.fit import fit
from gatelab.training.optimizer import build_optimizer
from gatelab.training.prepare import build_model
from gatelab.training.probes import GradientProbe, InsideProbe
from gatelab.training.spec import Spec

BLOCK = 50  # steps; five lines of metrics and one probe at the default settings
NEVER = 10**6  # steps
TITLE = "One training step, task adding"
LEGEND = """\
{setting}, threads {threads}: processor time of this process, all its threads, not of the clock;
W&B's service is another process and not counted. Medians and quartiles over {n} blocks of 50 steps of each kind,
each beside 50 bare steps (forward, backward, clipping, optimiser). Parts are differences between neighbouring
blocks without and with them, so that they need not add up. As by default there are metrics every {log_every} steps, probes
every {probe_every}, and with W&B plots and tables every {media_every}, whose time is divided by as many steps."""

KINDS = ("lightning", "metrics", "none", "wandb")  # of blocks, each with one more part; the last two are runs with these loggers


@dataclass
class Block:
    """Processor seconds a step of one block."""

    fit: float
    bare: float
    data: float


class _TakeTurns(Callback):
    """Between the blocks of `fit` it runs bare steps, makes batches and sets what the next block logs."""

    def __init__(self, bare: Callable[[int], None], stream: Iterator[Batch]) -> None:
        self.blocks: dict[str, list[Block]] = {kind: [] for kind in KINDS}
        self._bare, self._stream = bare, stream
        self._started = 0.0
        self._loggers: list[Any] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        number, place = divmod(batch_idx, BLOCK)
        if place:
            return
        times = [time.process_time()]
        self._bare(BLOCK)
        times.append(time.process_time())
        for _ in range(BLOCK):
            next(self._stream)
        times.append(time.process_time())
        if number > 1:  # the first block warms up
            kind = KINDS[(number - 2) % len(KINDS)]
            seconds = (times[0] - self._started, *np.diff(times).tolist())
            block = Block(*(value / BLOCK for value in seconds))
            if kind == "wandb":
                block.fit += self._left_seconds()
            self.blocks[kind].append(block)
        self._set(trainer, (number - 1) % len(KINDS))
        self._started = time.process_time()

    def _left_seconds(self) -> float:
        """What W&B's logger has left to later: the last row of the block, and plots and tables, of which a block has a share."""
        mirror = self._loggers[1]
        times = [time.process_time()]
        mirror.send()
        times.append(time.process_time())
        mirror.draw()
        mirror.send()
        times.append(time.process_time())
        row, media = np.diff(times).tolist()
        return row / BLOCK + media / Logger().media_every

    def _set(self, trainer: Trainer, parts: int) -> None:
        """Logs what belongs to `KINDS[parts]`."""
        defaults = Training()
        self._loggers = self._loggers or list(trainer.loggers)
        trainer.loggers = self._loggers[: 2 if parts == 3 else 1]
        metrics = defaults.log_every if parts >= 1 else NEVER
        probes = defaults.probe_every if parts >= 2 else 0
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            match callback:
                case TrainingMetrics():
                    callback.every = metrics
                case GradientProbe():
                    callback.every, callback.probe_every = metrics, probes
                case InsideProbe():
                    callback.every = probes


def measure(threads: int, repeats: int, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs `fit` some times.

    Args:
        threads: of torch.
        repeats: runs, of eight blocks of each kind.
        quick: shorter sequences, fewer units and one block of each kind.
        say: called with a line when a run is done.

    Returns:
        `milliseconds` of a step, bare and by kind; `parts`, the differences, in milliseconds; `quartiles` of both, the lower and
        the upper; `time`, which one it is; `blocks`, all that was measured.
    """
    length, hidden, cycles = (10, 8, 1) if quick else (100, 64, 8)
    blocks: dict[str, list[Block]] = {kind: [] for kind in KINDS}
    for number in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            config = Config(
                cell={"name": "lstm", "forget_bias": 1.0},
                task={"name": "adding", "length": length},
                optimizer=AdamW(),
                init=StandardInit(),
                model=Model(hidden_size=hidden),
                trainer=Training(max_steps=(cycles * len(KINDS) + 1) * BLOCK + 1, val_every=NEVER),
                logger=Logger(name="wandb", mode="offline", media_every=0),
                machine=Machine(device="cpu", threads=threads),
                out=folder,
            )
            for kind, found in _blocks(config).items():
                blocks[kind] += found
        say(f"{number + 1}/{repeats}  bare step {1e3 * statistics.median(block.bare for block in blocks['none']):.2f} ms")
    setting = f"lstm, B = 32, T = {length}, H = {hidden}"
    defaults = {name: getattr(Training(), name) for name in ("log_every", "probe_every")} | {"media_every": Logger().media_every}
    raw = {kind: [asdict(block) for block in of] for kind, of in blocks.items()}
    return {"setting": setting, "time": "processor", **defaults, "n": len(blocks["none"]), **figures(blocks), "blocks": raw}


def figures(blocks: dict[str, list[Block]]) -> dict[str, dict[str, Any]]:
    """`milliseconds`, `parts` and the `quartiles` of both from the blocks of every kind, in their order."""
    everything = [block for of in blocks.values() for block in of]
    over = {kind: np.array([block.fit - block.bare for block in of]) for kind, of in blocks.items()}
    bare = statistics.median(block.bare for block in everything)
    steps = {"bare": np.array([block.bare for block in everything])} | {kind: bare + of for kind, of in over.items()}
    parts = {
        "task generator": np.array([block.data for block in everything]),
        "Lightning and our callbacks": over["lightning"] - [block.data for block in blocks["lightning"]],
        "metrics": over["metrics"] - over["lightning"],
        "gates, states, gradients": over["none"] - over["metrics"],
        "W&B, offline": over["wandb"] - over["none"],
    }
    medians: dict[str, Any] = {}
    quartiles: dict[str, Any] = {}
    for group, of in (("milliseconds", steps), ("parts", parts)):
        medians[group] = {name: 1e3 * float(np.median(values)) for name, values in of.items()}
        quartiles[group] = {name: (1e3 * np.quantile(values, (0.25, 0.75))).tolist() for name, values in of.items()}
    return medians | {"quartiles": quartiles}


def _blocks(config: Config) -> dict[str, list[Block]]:
    stream = iter(TrainingStream(Spec(config).task, 1, config.trainer.batch_size, lambda: 0))
    watcher = _TakeTurns(_bare_loop(config, [next(stream) for _ in range(BLOCK)]), stream)
    fit(config, [watcher])
    return watcher.blocks


def _bare_loop(config: Config, batches: Sequence[Batch]) -> Callable[[int], None]:
    """Steps of plain torch with the model, optimiser and clipping of the run."""
    spec = Spec(config)
    model = build_model(spec)
    optimizer = build_optimizer(config.optimizer, model.parameters(), config.trainer.precision)
    assert config.trainer.clip_norm is not None

    def run(steps: int) -> None:
        for batch in batches[:steps]:
            optimizer.zero_grad()
            spec.task.loss(model(batch.x, batch.lengths), batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.trainer.clip_norm)  # type: ignore[arg-type]
            optimizer.step()

    return run
