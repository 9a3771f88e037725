"""The LightningModule: it joins a model and a task without knowing either."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from gatelab.diagnostics import keys
from gatelab.models import SequenceModel
from gatelab.tasks import Batch, Watched
from gatelab.training.failures import NonFiniteLossError
from gatelab.training.optimizer import build_optimizer, clip_gradients, rate_factor
from gatelab.training.parallel import Team
from gatelab.training.scores import PART, Error, Scatter, Scores
from gatelab.training.spec import Spec

UNREAD = 100  # the most losses that stay on a GPU


@dataclass(slots=True)
class LastStep:
    """What a step leaves for callbacks. In an object of its own: torch takes a hundred times as long to set a module's attribute.

    Attributes:
        loss: of the last step that was read.
        share: the share of this process in the rows of the batch.
        gradient_norm: the global one, before clipping.
    """

    loss: float = math.nan
    share: float = 1.0
    gradient_norm: Tensor = field(default_factory=lambda: torch.tensor(math.nan))


class SequenceModule(LightningModule):
    """Trains a SequenceModel on a task.

    Args:
        model: maps inputs to outputs.
        spec: loss and metrics, optimiser and schedule.
        team: the processes that train it, each on its rows of every batch.

    Attributes:
        weights: the parameters of the model.
        last: what the last step leaves.
    """

    def __init__(self, model: SequenceModel, spec: Spec, team: Team | None = None) -> None:
        super().__init__()
        self.model, self.task, self.config, self.team = model, spec.task, spec.config, team or Team()
        self.weights = [*model.parameters()]  # to ask for them in every step takes longer than to add up their squares
        self._watched = Watched(spec.task, spec.task_name)
        self.last = LastStep()
        self._unread: list[tuple[int, Tensor]] = []  # steps whose loss was read, and losses that are still on a GPU
        self.scores: dict[str, float] = {}  # scores of the last evaluation, by key
        self.test_error = Error(None, 0)  # of the task's metric on the test split
        self._scores, self._scatter = Scores(), Scatter()
        # The states that a task with `carried` continues from, in training and in the running evaluation.
        self._carried: dict[str, tuple[Tensor, ...]] = {}

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = self._watched.loss(self._outputs(batch, "train"), batch)
        if self.deferred:
            self.team.mean(math.nan, 1.0)  # passes on what the leader requests
            self._unread.append((self.global_step, loss.detach()))
            if len(self._unread) == UNREAD:
                self.read_losses()
            return loss
        weight = 1.0 if self.team.size == 1 else self._watched.weight(batch)
        self.last.loss, self.last.share = self.team.mean(loss.item(), weight)
        if not math.isfinite(self.last.loss):
            self._check(self.global_step)
        return loss if self.team.size == 1 else loss * self.last.share

    @property
    def deferred(self) -> bool:
        """Whether losses stay on the device until `read_losses`. Several processes exchange theirs in every step."""
        return self.team.size == 1 and self.device.type != "cpu"

    @property
    def loss(self) -> float:
        """The loss of the whole batch in the last step; waits for a GPU.

        Raises:
            NonFiniteLossError: as `read_losses`.
        """
        self.read_losses()
        return self.last.loss

    def read_losses(self) -> None:
        """Reads the unread losses of all steps, in one copy from the GPU: reading one in every step would make the
        CPU wait there, and the GPU wait for the next step.

        Raises:
            NonFiniteLossError: one of them is nan or infinite.
        """
        unread, self._unread = self._unread, []
        if unread:
            for (step, _), value in zip(unread, torch.stack([loss for _, loss in unread]).tolist(), strict=True):
                self.last.loss = value
                self._check(step)

    def _check(self, step: int) -> None:
        if not math.isfinite(self.last.loss):
            raise NonFiniteLossError(f"The training loss is {self.last.loss} at step {step}.")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        # Batches are made on the CPU, where Lightning has nothing to move.
        if device.type == "cpu":
            return batch
        if device.type == "cuda":  # a copy from pinned memory does not wait for the device
            # Contiguous: an expanded tensor cannot be pinned.
            batch = Batch(*(None if part is None else part.contiguous().pin_memory() for part in batch))  # type: ignore[arg-type]
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_backward(self) -> None:
        self.team.sum_gradients(self.weights)

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = build_optimizer(config.optimizer, self.weights, config.trainer.precision)
        if config.schedule.name == "constant" and not config.schedule.warmup_steps:
            return optimizer
        factor = rate_factor(config.schedule, config.trainer.max_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        # Clipping computes the norm anyway; Lightning's own throws it away.
        self.last.gradient_norm = clip_gradients(self.weights, gradient_clip_val)

    def validation_step(self, batch: Batch, index: int) -> None:
        self._evaluate(batch)

    def test_step(self, batch: Batch, index: int) -> None:
        output = self._evaluate(batch)
        for first in range(0, len(batch.x), PART):
            rows = slice(first, first + PART)
            self._scatter.add(*self._watched.metrics(output[rows], batch.rows(rows))[self.task.metric])

    def on_validation_epoch_end(self) -> None:
        self.read_losses()
        self._finish_evaluation("val")
        value = self.scores[keys.score("val", self.task.metric)]
        # Before any checkpoint is written: every checkpoint has finite scores.
        if not math.isfinite(value):
            raise NonFiniteLossError(f"The validation {self.task.metric} is {value} at step {self.global_step}.")
        self.log(keys.score("val", self.task.metric), value, logger=False)

    def on_test_epoch_end(self) -> None:
        self._finish_evaluation("test")
        self.test_error = self._scatter.error(self.team)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.read_losses()  # a diverged run keeps nothing
        checkpoint["gatelab_scores"] = {key.partition("/")[2]: value for key, value in self.scores.items()}
        # For all rows of all processes, so that another number of processes can continue.
        parts = zip(*self.team.gather([part.cpu() for part in self._carried.get("train", ())]), strict=True)
        checkpoint["gatelab_carried"] = [torch.cat(rows, 1) for rows in parts]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("gatelab_carried"):
            self._carried["train"] = tuple(part[:, self.team.rows(part.shape[1])] for part in checkpoint["gatelab_carried"])

    def _outputs(self, batch: Batch, phase: str) -> Tensor:
        if not self.task.carried:
            return self.model(batch.x, batch.lengths)
        before = tuple(part.to(batch.x.device) for part in self._carried.get(phase, ()))  # from a checkpoint they are on the CPU
        output, state = self.model.carry(batch.x, batch.lengths, before or None)
        self._carried[phase] = tuple(part.detach() for part in state)
        return output

    def _evaluate(self, batch: Batch) -> Tensor:
        output = self._outputs(batch, "evaluation")
        self._scores.add(self._watched.metrics(output, batch))
        return output

    def _finish_evaluation(self, split: str) -> None:
        means = self._scores.means(self._watched.name, split, self.team)
        self.scores = {keys.score(split, name): value for name, value in means.items()}
        self._carried.pop("evaluation", None)
        for logger in self.trainer.loggers:
            logger.log_metrics(self.scores, self.trainer.global_step)
