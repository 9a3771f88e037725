"""Less of what Lightning does around every step and we have no use for: 0.16 ms of 0.65, beside a step of almost nothing."""

import contextlib
import functools
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.profilers import Profiler

from gatelab.training.checkpoints import relocated


class NoProfiler(Profiler):
    """Times nothing. Lightning's own pass-through makes a generator for each of about 70 actions of a step."""

    _nothing = contextlib.nullcontext()

    def start(self, action_name: str) -> None:
        """Nothing."""

    def stop(self, action_name: str) -> None:
        """Nothing."""

    def profile(self, action_name: str) -> Any:
        return self._nothing


class LeanModule(LightningModule):
    """A LightningModule without submodule bookkeeping where none is needed."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of the running hook about 40 times a step; torch would look each time whether the string is
        # a parameter, a submodule or a buffer.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


# Lightning asks every callback for its key about ten times a step, only to name what the profiler would time.
class LeanModelCheckpoint(ModelCheckpoint):
    """ModelCheckpoint whose key is worked out once, and whose directory may have moved since a checkpoint was written."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(relocated(state_dict, str(self.dirpath)))
        self.current_score = state_dict["current_score"]  # which Lightning keeps and then leaves out

    @functools.cached_property
    def state_key(self) -> str:  # type: ignore[override]
        return super().state_key


class LeanEarlyStopping(EarlyStopping):
    """EarlyStopping whose key is worked out once."""

    @functools.cached_property
    def state_key(self) -> str:  # type: ignore[override]
        return super().state_key
