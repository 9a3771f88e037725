"""A section of the script: named rows, each a function that measures and returns plain containers."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gatelab.bench import clock
from gatelab.bench.cases import Shape
from gatelab.bench.statistics import Times
from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.kernels import BACKENDS, serving

Rows = dict[str, Callable[[], dict[str, Any]]]

# Ways of one backend to compute the same, and what the environment says to get each.
WAYS: dict[str, dict[str, dict[str, str]]] = {
    "gpu": {
        "loops": {"GATELAB_GPU_PATH": "loops"},
        "stepwise": {"GATELAB_GPU_PATH": "stepwise"},
        "stepwise, no graphs": {"GATELAB_GPU_PATH": "stepwise", "GATELAB_GPU_GRAPHS": "0"},
    }
}

TRIED = Shape(2, 5, 3, 4)  # where the script itself is tried


@dataclass(frozen=True)
class Setting:
    """Where and how a section measures.

    Attributes:
        device: as torch names it.
        small: shapes of a few numbers, to try the script itself.
        rounds: of every comparison of times.
        cells: those of the registry that are measured.
    """

    device: str
    small: bool
    rounds: int
    cells: tuple[str, ...]

    @property
    def gpu(self) -> bool:
        """Whether the device is a GPU that torch programs by CUDA or ROCm."""
        return torch.device(self.device).type == "cuda"

    def backends(self, cell: Cell, dtype: torch.dtype) -> dict[str, str | None]:
        """Backends by name, and why one cannot serve this cell here, or None."""
        found: dict[str, str | None] = {}
        for name in BACKENDS:
            try:
                serving(cell, dtype, self.device, name)
                found[name] = None
            except UserError as error:
                found[name] = str(error)
        return found


@dataclass(frozen=True)
class Section:
    """Attributes:
    rows: makes the rows of a setting.
    seconds: after which it is ended, whatever it has.
    processes: that share out the rows; more than one only where no time is taken.
    """

    rows: Callable[[Setting], Rows]
    seconds: float
    processes: int = 1


class Rounding:
    """Products of float32 inside: rounded to tf32 where the format is called that, else not at all.

    cuDNN rounds by default, cuBLAS does not.
    """

    def __init__(self, word: str) -> None:
        self._allowed = word == "tf32"

    def __enter__(self) -> None:
        self._before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self._allowed

    def __exit__(self, *error: object) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self._before


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Some variables of the environment, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def dtype_of(word: str) -> torch.dtype:
    """The format of the tensors, from a name of a format of products."""
    return torch.float32 if word == "tf32" else getattr(torch, word)


def columns(times: Mapping[str, Times], refused: Mapping[str, str]) -> dict[str, Any]:
    """What was measured side by side, in plain containers."""
    return {name: clock.column(of) for name, of in times.items()} | {name: {"refused": why} for name, why in refused.items()}
