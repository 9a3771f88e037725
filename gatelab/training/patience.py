"""When a run ends before its last step: patience, which waits until a task can have been learnt at all."""

import functools
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from gatelab.tasks import Task
from gatelab.training.lightning_overhead import LeanEarlyStopping

LEFT = 0.25  # of the way from chance to solved: beyond what a validation score varies by while nothing is learnt


class Patience(LeanEarlyStopping):
    """EarlyStopping that counts no validation on the task's plateau.

    A run on a task of long lags scores at chance for hundreds of steps, and then learns. Validations count from where the best
    score so far is a quarter of the way from chance to solved, and from the step `task.plateau` on wherever the score is.

    Args:
        monitor: key of the validation score.
        patience: validations without improvement after which the run ends.
        task: whose score it is.
    """

    def __init__(self, monitor: str, patience: int, task: Task) -> None:
        super().__init__(monitor, patience=patience, mode="max" if task.higher_is_better else "min")
        self._task, self._step = task, 0

    @functools.cached_property
    def state_key(self) -> str:  # type: ignore[override]
        """As earlier versions wrote it into checkpoints."""
        return super().state_key.replace(type(self).__qualname__, LeanEarlyStopping.__qualname__, 1)

    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        self._step = trainer.global_step
        super()._run_early_stopping_check(trainer)

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        if self._step < self._task.plateau and not self._left(current):
            self.wait_count = -1  # so that this validation makes it 0
        return super()._evaluate_stopping_criteria(current)

    def _left(self, current: Tensor) -> bool:
        best: Any = torch.where(self.monitor_op(current, self.best_score), current, self.best_score)
        return float(best - self._task.chance) / (self._task.solved - self._task.chance) >= LEFT
