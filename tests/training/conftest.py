"""Small runs for the tests of training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gatelab.config import AdamW, Config, Logger, Model, StandardInit, Trainer


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Config]:
    """Makes configurations of runs that take about a second; keyword arguments replace whole parts."""

    def make(out: str = "runs", trainer: dict[str, Any] | None = None, **parts: Any) -> Config:
        short: dict[str, Any] = {"max_steps": 20, "batch_size": 8, "val_every": 10, "log_every": 5, "probe_every": 10}
        given = {
            "cell": {"name": "lstm", "forget_bias": 1.0},
            "task": {"name": "adding", "length": 8},
            "optimizer": AdamW(lr=0.01),
            "init": StandardInit(),
            "model": Model(hidden_size=8, dropout=0.3, input_noise=0.1),
            "trainer": Trainer(**(short | (trainer or {}))),
            "logger": Logger(name="none"),
            "out": str(tmp_path / out),
        }
        return Config(**(given | parts))

    return make
