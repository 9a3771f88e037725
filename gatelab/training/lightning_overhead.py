"""Lightning's loop over steps without the hooks, logs and checks that no run uses.

`StepLoop` makes the calls of Lightning's own loop in the same order and counts alike, so that results and checkpoints are equal
to the last bit (a test compares them). It uses private classes of Lightning. With a version that was not compared,
and where a device or number format needs more, Lightning's own, slower code makes the steps.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import lightning
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import DoublePrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy

from gatelab.training.checkpoints import relocated

COMPARED = ("2.6",)  # the versions of Lightning that were compared
_NOTHING = contextlib.nullcontext()
_HOOKS = ("on_train_batch_start", "on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_train_batch_end")


class StepLoop(_TrainingEpochLoop):
    """Lightning's loop over the steps of an endless stream, for one optimiser and no gradient accumulation."""

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        trainer = self.trainer
        self._known = (
            lightning.__version__.startswith(COMPARED)
            and isinstance(trainer.strategy, SingleDeviceStrategy)
            and type(trainer.precision_plugin) in (Precision, DoublePrecision)
        )
        self._hooks: dict[str, list[Callable[..., Any]]] = {name: _defined(trainer, name) for name in _HOOKS}
        # Each of these is a property behind properties of the trainer.
        self._module: Any = trainer.lightning_module
        self._precision, self._device = trainer.precision_plugin, trainer.strategy.root_device
        self._plain = type(self._precision) is Precision  # which neither converts a batch nor needs a context
        self._stream: Iterator[Any] | None = None

    @property
    def global_step(self) -> int:
        return self.automatic_optimization.optim_progress.optimizer.step.total.completed

    @property
    def done(self) -> bool:
        ended = self.trainer.should_stop or self.batch_progress.is_last_batch or self.global_step >= self.max_steps
        return super().done if ended or not self._known else False

    def advance(self, data_fetcher: Any) -> None:
        if not self._known or self.restarting:
            super().advance(data_fetcher)
        else:
            if self.val_loop.restarting:
                self.val_loop.restarting = False
            self._step(data_fetcher)

    def _step(self, data_fetcher: Any) -> None:
        trainer, progress, module = self.trainer, self.batch_progress, self._module
        optimizer = trainer.optimizers[0]
        done = self.automatic_optimization.optim_progress.optimizer
        batch = self._next(data_fetcher)
        number = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        if not self._plain:
            batch = self._precision.convert_input(batch)
        batch = module.transfer_batch_to_device(batch, self._device, 0)
        progress.increment_ready()
        self._call("on_train_batch_start", batch, number)
        progress.increment_started()
        done.step.increment_ready()
        with _NOTHING if self._plain else self._precision.train_step_context():
            loss: Any = module.training_step(batch, number)
        done.zero_grad.increment_ready()
        done.zero_grad.increment_started()
        for weight in module.weights:  # all that zero_grad does, but for an entry for torch's profiler
            weight.grad = None
        done.zero_grad.increment_completed()
        self._call("on_before_backward", loss)
        loss.backward()
        self._call("on_after_backward")
        module.on_after_backward()
        self._call("on_before_optimizer_step", optimizer)
        module.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
        optimizer.step()
        done.step.increment_completed()
        progress.increment_processed()
        if trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=False)
        self._call("on_train_batch_end", {"loss": loss.detach()}, batch, number)
        progress.increment_completed()

    def _next(self, data_fetcher: Any) -> Any:
        """The next batch. Like Lightning's fetcher it makes the one behind it first, but without combining several loaders."""
        stream, ahead = self._stream, data_fetcher.batches
        if stream is None:
            (stream,) = data_fetcher.iterator._iterator.iterators
            self._stream = stream
        batch, _, _ = ahead.pop(0) if ahead else (next(stream), 0, 0)
        ahead.append((next(stream), 0, 0))
        data_fetcher.fetched += 1
        return batch

    def on_advance_end(self, data_fetcher: Any) -> None:
        trainer, progress = self.trainer, self.batch_progress
        due = trainer.should_stop or progress.is_last_batch or progress.total.ready % trainer.val_check_batch == 0  # type: ignore[operator]
        if due or self.restarting or not self._known:
            super().on_advance_end(data_fetcher)
        else:
            self._batches_that_stepped += 1

    def _call(self, hook: str, *args: Any) -> None:
        trainer, module = self.trainer, self._module
        for call in self._hooks[hook]:
            call(trainer, module, *args)


def _defined(trainer: Trainer, hook: str) -> list[Callable[..., Any]]:
    """Calls a hook of the callbacks that define it, in their order."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [getattr(each, hook) for each in callbacks if getattr(type(each), hook) is not getattr(Callback, hook)]


# In each hook Lightning computes the key of every callback, only to give a profiler a name.
class LeanModelCheckpoint(ModelCheckpoint):
    """ModelCheckpoint that computes its key once, and whose directory may have moved since a checkpoint was written.

    It saves after validations alone, so that it has nothing to look at behind a step.
    """

    on_train_batch_end = Callback.on_train_batch_end

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(relocated(state_dict, str(self.dirpath)))
        self.current_score = state_dict["current_score"]  # Lightning saves it, but does not load it

    @functools.cached_property
    def state_key(self) -> str:  # type: ignore[override]
        return super().state_key


class LeanEarlyStopping(EarlyStopping):
    """EarlyStopping that computes its key once."""

    @functools.cached_property
    def state_key(self) -> str:  # type: ignore[override]
        return super().state_key
