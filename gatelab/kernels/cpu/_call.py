"""Calls into the compiled loop: sizes, the argument block, and memory that is reused from step to step."""

import ctypes
import functools
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels.cpu import _build
from gatelab.kernels.cpu._source import FIELDS, source
from gatelab.kernels.machine import available_bytes

DTYPES = (torch.float32, torch.float64)
CHUNK_ROWS = 256  # rows of activations that one product of a weight gradient takes: they fit the second-level cache
BLOCK_ROWS = 32  # rows of the batch that go through time together
MEMORY_BYTES = 2**30  # more than this, or an eighth of what is free, is not kept for the backward pass


class Library:
    """The compiled loop of one cell and number format."""

    def __init__(self, cell: Cell, dtype: torch.dtype) -> None:
        name = "".join(letter if letter.isalnum() else "_" for letter in type(cell).__name__.lower())
        self._library = _build.load(source(cell, dtype), name)
        counts = {"VECTORS": len(cell.vectors), "STATES": len(cell.state)}
        members = []
        for field, kind in FIELDS:
            _, bracket, count = kind.partition("[")
            base = ctypes.c_long if kind == "long" else ctypes.c_void_p
            members.append((field, base * (counts[count[:-1]] + 1) if bracket else base))
        self.Call: Any = type("Call", (ctypes.Structure,), {"_fields_": members})
        for function in ("workspace", "saved_size", "kept_size", "tape_size", "lanes", "call_size"):
            getattr(self._library, function).restype = ctypes.c_long
        if self._library.call_size() != ctypes.sizeof(self.Call):
            raise _build.BuildError("The compiled kernel and this version of gatelab disagree; run `gatelab kernels clear`.")
        self.lanes = self._library.lanes()

    def call(self, **values: Any) -> Any:
        """An argument block; tensors become their addresses."""
        block = self.Call()
        for name, value in values.items():
            if isinstance(value, tuple | list):
                array = getattr(block, name)
                for index, item in enumerate(value):
                    array[index] = None if item is None else item.data_ptr()
            elif value is not None:
                setattr(block, name, value if isinstance(value, int) else value.data_ptr())
        return block

    def size(self, what: str, block: Any, *arguments: int) -> int:
        """`workspace`, `saved_size`, `kept_size` or `tape_size` of a call, in numbers."""
        return getattr(self._library, what)(ctypes.byref(block), *arguments)

    def forward(self, block: Any) -> None:
        self._library.forward(ctypes.byref(block))

    def backward(self, block: Any) -> None:
        self._library.backward(ctypes.byref(block))


@functools.cache
def library(cell: Cell, dtype: torch.dtype) -> Library:
    """The compiled loop, compiled at first use.

    Raises:
        UserError: the equations have no C form.
        BuildError: there is no compiler, or it failed.
    """
    return Library(cell, dtype)


@dataclass(frozen=True)
class Plan:
    """How a call is divided.

    Attributes:
        blocks: blocks of rows of each replica, each on one thread.
        threads: as many as torch has, at most one for each block.
        chunk: steps whose weight gradients are taken in one product.
    """

    blocks: int
    threads: int
    chunk: int


def plan(N: int, B: int, threads: int) -> Plan:
    """Rows to threads: the same for the same sizes and number of threads, whatever the machine does."""
    blocks = math.ceil(B / BLOCK_ROWS)
    if N * blocks % threads:  # as many blocks for every thread, if there are enough rows
        each = math.lcm(N, threads) // N
        blocks = min(math.ceil(blocks / each) * each, B)
    rows = math.ceil(B / blocks)
    return Plan(blocks, min(threads, N * blocks), max(8, min(256, CHUNK_ROWS // rows)))


def default_segment(cell: Cell, part_bytes: int, T: int) -> int:
    """Steps between two kept states when the user does not say: T, which keeps everything, if that fits the memory at hand.

    The tape of a cell with memory is kept in any case.

    Args:
        part_bytes: of one part of the state, for all rows.
    """
    state = len(cell.state)
    step = (len(cell.gates) + state + (0 if cell.memory is None else 2)) * part_bytes
    if T * step <= min(MEMORY_BYTES, available_bytes() // 8):
        return T
    # k steps of everything and T / k states: their sum is least at this k.
    return max(1, round(math.sqrt(T * state * part_bytes / step)))


def segment_of(cell: Cell, divided: Plan, part_bytes: int, T: int, every: int | None, save: bool) -> int:
    """Steps between two kept states: what was asked for or `default_segment`, in whole chunks; T where nothing is kept."""
    steps = every or (default_segment(cell, part_bytes, T) if save else T)
    return min(T, math.ceil(steps / divided.chunk) * divided.chunk)


class Pool:
    """Blocks of memory that are used again: a step allocates what the step before gave back, and nothing is mapped anew.

    Blocks are given back when their `Lease` is deleted. At most `most` of each size wait; those of other sizes are let go.
    """

    def __init__(self, most: int = 8) -> None:
        self.most = most
        self._free: dict[tuple[int, torch.dtype], list[Tensor]] = defaultdict(list)

    def take(self, numbers: int, dtype: torch.dtype) -> "Lease":
        key = (numbers, dtype)
        waiting = self._free.get(key)
        block = waiting.pop() if waiting else torch.empty(numbers + 64, dtype=dtype)
        return Lease(self, key, block)

    def give_back(self, key: tuple[int, torch.dtype], block: Tensor) -> None:
        waiting = self._free[key]
        if len(waiting) < self.most:
            waiting.append(block)
        while len(self._free) > 4 * self.most:
            self._free.pop(next(iter(self._free)))

    def clear(self) -> None:
        self._free.clear()


class Lease:
    """A block of memory as long as this lives; aligned to 64 bytes."""

    _block: Tensor | None = None  # of one whose making a signal broke off

    def __init__(self, pool: Pool, key: tuple[int, torch.dtype], block: Tensor) -> None:
        self._pool, self._key, self._block = pool, key, block

    def data_ptr(self) -> int:
        assert self._block is not None
        address = self._block.data_ptr()
        return address + -address % 64

    def __del__(self) -> None:
        if self._block is not None:
            self._pool.give_back(self._key, self._block)


POOL = Pool()
