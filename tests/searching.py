"""A launcher that trains nothing: the score of a run follows from its options at once."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from hydra.core.override_parser.types import Override

from gatelab.config import Config
from gatelab.runs import RunWriter
from gatelab.sweeps.jobs.compose import Composer
from gatelab.sweeps.search.expand import sweeper_of
from gatelab.sweeps.search.search import Search

TINY = ["task=adding", "task.length=6", "trainer.max_steps=4", "trainer.val_every=2", "model.hidden_size=4", "logger=none"]
BEST_RATE = 1e-2


def score(config: Config) -> float:
    """Lowest, 0, at a learning rate of BEST_RATE."""
    return math.log10(config.optimizer.lr / BEST_RATE) ** 2


def write_finished(path: Path, config: Config, value: float, run_id: str = "0" * 10) -> None:
    """A run directory as `fit` leaves it, as far as a search looks at it."""
    writer = RunWriter(path)
    writer.start(asdict(config), {}, run_id)
    writer.append("metrics.jsonl", {"step": 2, "val/mse": value + 1})
    writer.append("metrics.jsonl", {"step": 4, "val/mse": value})
    # Chance lies above all scores of the toy: shares of the variance count what is worse as chance.
    summary = {"cell": config.cell["name"], "task": "adding", "metric": "mse", "higher_is_better": False, "chance": 10.0}
    writer.finish(summary | {"val": {"mse": value}, "test": {"mse": value + 0.5}, "steps": 4, "wall_seconds": 0.0}, 4)
    writer.close()


def prepare(overrides: list[Override], passwords: Mapping[str, str] = MappingProxyType({})) -> Search:
    """The search of a command, as `gatelab train` prepares it."""
    return cast("Search", sweeper_of(overrides).search(overrides, Composer(), lambda batch: None, passwords, False))


def launcher(log: Path, ends: Callable[[Config, int], bool] = lambda config, count: True, seconds: float = 0.0) -> Any:
    """A launcher of `Search.run`.

    Args:
        log: a line with process and run for each one that was trained.
        ends: of a run and how many were launched before it: False if its process dies and leaves nothing.
        seconds: that a batch takes.
    """
    count, composer = 0, Composer()

    def launch(jobs: Sequence[Sequence[str]], first: int) -> list[None]:
        nonlocal count
        time.sleep(seconds)
        for overrides in jobs:
            job = composer.further_job(overrides)
            with open(log, "a") as file:
                file.write(f"{os.getpid()} {job.path.name}\n")
            if ends(job.config, count):
                write_finished(job.path, job.config, score(job.config))
            count += 1
        return [None for _ in jobs]

    return launch
