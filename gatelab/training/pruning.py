"""Ends a run early when its search requests it."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from gatelab.runs import stop_request

SECONDS_BETWEEN_LOOKS = 1.0


class RunPrunedError(RuntimeError):
    """A search asked the run to end."""


class PruneOnRequest(Callback):
    """Ends the run when its search asks for it, which follows the validation scores in the run's metrics.

    Args:
        run: the run directory. A request from an earlier search is removed at the start.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._looked = time.monotonic()
        stop_request.forget(run)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        if now - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = now
            self._look()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look()  # a score is what a search decides by, and a fast run has many of them in a second

    def _look(self) -> None:
        reason = stop_request.asked_to_stop(self._run)
        if reason is not None:
            raise RunPrunedError(reason)
