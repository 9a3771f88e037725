"""A network small enough to try everything on, and what is compared of it."""

from typing import Any

import pytest
import torch
from cells.variants import Variant, normal
from tolerances import FLOAT64
from torch import Tensor

from gatelab.models import RNN

T, B, D, H = 6, 3, 3, 5
each_backend = pytest.mark.parametrize("backend", ["cpu", "eager"])


def network(backend: str = "auto", name: str = "lstm", **settings: Any) -> RNN:
    return Variant(name, {}).rnn(D, H, backend=backend, **settings)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)


def call(rnn: RNN, x: Tensor | None = None, **arguments: Any) -> Tensor:
    return rnn(normal(T, B, D) if x is None else x, **arguments)[0]
