"""Callbacks that look inside the model while it trains: they pass numbers from `diagnostics` to the loggers."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from gatelab.diagnostics import findings, gradients, keys, observe
from gatelab.diagnostics.findings import Findings
from gatelab.models import SequenceModel
from gatelab.tasks import Batch, Task
from gatelab.training.loggers import MetricsLogger


class InsideProbe(Callback):
    """Gates, states and gradient flow every `every` optimiser steps, on the training batch and in its own two passes.

    Where the task reads out at every step, a loss at the last step takes another pass over a few rows; a batch that is too
    large is sampled (see `diagnostics.observe`). Weights, gradients and random state do not change. If
    several processes divide the rows, only those of the first are observed.

    Args:
        every: optimiser steps; 0: never.
        model, task: the model and the task in training.
        left, right: a gate below or above is saturated.
    """

    def __init__(self, every: int, model: SequenceModel, task: Task, left: float, right: float) -> None:
        self.every, self.model, self.task, self.limits = every, model, task, (left, right)
        self._due = False
        self._batch: Batch | None = None
        self._found = Findings()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self._due = self.every > 0 and (trainer.global_step + 1) % self.every == 0
        if self._due:
            self._batch, rnn = batch, self.model.rnn
            rnn.recording = rnn.following = observe.fits(rnn, batch)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
        if not self._due:
            return
        rnn = self.model.rnn
        if rnn.recording:  # before the backward pass, so that it gets its memory back
            assert self._batch is not None
            self._found = findings.of_layers(observe.recorded(rnn), self._batch.events, *self.limits)
            rnn.recording, rnn.recorded = False, {}

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._due:
            return
        assert self._batch is not None
        rnn, batch = self.model.rnn, self._batch
        if rnn.following:
            rnn.following = False
            share: float = pl_module.last.share  # type: ignore[union-attr]
            own = observe.followed(rnn, len(batch.x) / (_loss_scale(trainer) * share))
            rnn.followed = {}
            end = own
            if self.model.readout == "all":
                end = observe.flow(self.model, self.task, batch.first(observe.END_ROWS), end=True)
        else:
            layers, own, end, rows = observe.sampled(self.model, self.task, batch)
            self._found = findings.of_layers(layers, rows.events, *self.limits)
        found = self._found | findings.of_flows(own, end)
        self._due, self._batch, self._found = False, None, Findings()
        step = trainer.global_step + 1  # the step of this batch
        for logger in trainer.loggers:
            logger.log_metrics(found.scalars, step)
            if isinstance(logger, MetricsLogger):
                logger.log_histograms(found.histograms, step)
                logger.log_arrays(found.arrays, step)


class GradientProbe(Callback):
    """Gradient norms before clipping: the global one and the share of clipped steps every `every` steps, of parameters and gates
    every `probe_every`. They belong to the whole batch, however many processes divide it.

    Args:
        clip_norm: the global norm that gradients are clipped at, or None.
    """

    def __init__(self, every: int, probe_every: int, model: SequenceModel, clip_norm: float | None) -> None:
        self.every, self.probe_every, self.clip_norm = every, probe_every, clip_norm
        self.cell = model.rnn.cell
        self._norms: list[torch.Tensor] = []  # since the last record
        self._single: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer) -> None:
        if self.probe_every > 0 and (trainer.global_step + 1) % self.probe_every == 0:
            self._single = self._of_parameters(pl_module.model)  # type: ignore[arg-type]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self._norms.append(pl_module.last.gradient_norm)  # type: ignore[union-attr]
        step = trainer.global_step
        metrics, self._single = self._single, {}
        if metrics or step % self.every == 0:
            metrics[keys.gradient()] = self._norms[-1].item()
        if step % self.every == 0:
            if self.clip_norm is not None:
                here = [norm.to(self._norms[-1].device) for norm in self._norms]  # those from a checkpoint are on the CPU
                metrics[keys.CLIP_RATE] = gradients.clip_rate(torch.stack(here), self.clip_norm)
            self._norms.clear()
        if metrics:
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step)

    def state_dict(self) -> dict[str, Any]:
        return {"norms": self._norms}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._norms = list(state_dict["norms"])

    def _of_parameters(self, model: SequenceModel) -> dict[str, float]:
        found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        metrics = {}
        for name, norm in gradients.norms(found)[1].items():
            metrics[keys.gradient(name)] = norm
            rows = self.cell.rows(name.rpartition(".")[2]) if name.startswith("rnn.") else ()
            if rows:
                blocks = gradients.block_norms(found[name], [self.cell.gates[row] for row in rows])
                metrics |= {keys.gradient(name, block): value for block, value in blocks.items()}
        return metrics


def _loss_scale(trainer: Trainer) -> float:
    """The factor on the loss in its backward pass (float16 on a GPU), otherwise 1."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else scaler.get_scale()
