"""Calls into the compiled loop: sizes, the argument block, and memory that is reused from step to step."""

import ctypes
import functools
import itertools
import math
import os
import threading
from array import array
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels.cpu import build
from gatelab.kernels.cpu._source import FIELDS, source
from gatelab.process.memory import available_bytes

DTYPES = (torch.float32, torch.float64)
CHUNK_ROWS = 256  # rows of activations in one product for a weight gradient: they fit into the second-level cache
BLOCK_ROWS = 32  # rows of the batch that one loop over time takes
MOST_FORMS = 1000  # calls up to this size never ask how much memory is free
MEMORY_BYTES = 2**30  # at most this, or an eighth of the free memory, is kept for the backward pass
LITTLE_BYTES = 2**24  # this much is kept in any case


Sizes = tuple[int, int, int, int, int]  # N, T, B, D, H


class Form:
    """What calls of the same sizes share: the argument block, which begins with these sizes, and how much memory they take.

    Attributes:
        sizes: N, T, B, D, H.
        segment: steps between two states that are kept; T keeps everything.
        offsets: where each field stands in the argument block.
        words: the block, before addresses and strides of a call are filled in.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        offsets: Mapping[str, int],
        count: int,
        sizes: Sizes,
        window: int,
        division: "Division",
        segment: int,
    ) -> None:
        self.sizes, self.segment = sizes, segment
        self.offsets = offsets
        front = [*sizes, window, *division, segment]  # in the order of `FIELDS`
        self.words = array("q", front + [0] * (count - len(front)))
        self._library = library
        self._known: dict[tuple[Any, ...], int] = {}

    def size(self, what: str, *arguments: int, tape: bool = False) -> int:
        """`workspace`, `saved_size`, `kept_size` or `tape_size`, in reals.

        Args:
            tape: whether the tape is kept.
        """
        key = (what, tape, *arguments)
        known = self._known.get(key)
        if known is None:
            words = self.words[:]
            words[self.offsets["tape"]] = int(tape)
            known = self._known[key] = getattr(self._library, what)(words.tobytes(), *arguments)
        return known


class ArgumentBlock:
    """The argument block of a call: every field takes eight bytes, a number or an address; arrays are contiguous."""

    __slots__ = ("form", "words")

    def __init__(self, form: Form) -> None:
        self.form, self.words = form, form.words[:]

    def set(self, values: Mapping[str, Any]) -> "ArgumentBlock":
        """Tensors as their addresses, an array for a tuple or list; None is 0."""
        words, offsets = self.words, self.form.offsets
        for name, value in values.items():
            if value is None:
                continue
            at = offsets[name]
            if type(value) is tuple or type(value) is list:
                for index, item in enumerate(value, at):
                    words[index] = 0 if item is None else item.data_ptr()
            else:
                words[at] = value.data_ptr()
        return self

    def strides(self, name: str, value: Tensor) -> "ArgumentBlock":
        """The strides of the rows of (N, T, B, F)."""
        at = self.form.offsets[name]
        self.words[at], self.words[at + 1], self.words[at + 2], _ = value.stride()
        return self

    def packed(self) -> bytes:
        """The block for C. It holds only addresses, so that the tensors must stay referenced until the call is over."""
        return self.words.tobytes()


class Library:
    """The compiled loop of one cell and number format."""

    def __init__(self, cell: Cell, dtype: torch.dtype) -> None:
        name = "".join(letter if letter.isalnum() else "_" for letter in type(cell).__name__.lower())
        self._library = build.load(source(cell, dtype), name)
        counts = {"VECTORS": len(cell.vectors), "STATES": len(cell.state), "MATRICES": len(cell.late), "GIVEN": len(cell.given)}
        self._offsets: dict[str, int] = {}
        count = 0
        for field, kind in FIELDS:
            _, bracket, of = kind.partition("[")
            self._offsets[field] = count
            count += counts[of[:-1]] + 1 if bracket else 1
        self._count = count
        for function in ("workspace", "saved_size", "kept_size", "tape_size", "lanes", "call_size"):
            getattr(self._library, function).restype = ctypes.c_long
        for function in ("workspace", "saved_size", "kept_size", "tape_size", "forward", "backward"):
            getattr(self._library, function).argtypes = [ctypes.c_char_p, *([ctypes.c_long] if function == "workspace" else [])]
        for function in ("forward", "backward"):
            getattr(self._library, function).restype = None
        if self._library.call_size() != 8 * count:
            raise build.BuildError("The compiled kernel and this version of gatelab disagree; run `gatelab kernels clear`.")
        self.lanes = self._library.lanes()
        self._memory = cell.memory
        self._forms: dict[tuple[Sizes, Division, int], Form] = {}

    def form(self, sizes: Sizes, division: "Division", segment: int) -> Form:
        """The form that calls of these sizes share.

        Args:
            sizes: N, T, B, D, H.
            division: rows to blocks, blocks to threads.
            segment: steps between two states that are kept; T keeps everything.
        """
        key = (sizes, division, segment)
        known = self._forms.get(key)
        if known is None:
            if len(self._forms) > MOST_FORMS:
                self._forms.clear()
            T = sizes[1]
            window = 0 if self._memory is None else min(self._memory.window or T, T)  # entries of the tape that are read
            known = self._forms[key] = Form(self._library, self._offsets, self._count, sizes, window, division, segment)
        return known

    def forward(self, block: ArgumentBlock) -> None:
        self._library.forward(block.packed())

    def backward(self, block: ArgumentBlock) -> None:
        self._library.backward(block.packed())


@functools.cache
def library(cell: Cell, dtype: torch.dtype) -> Library:
    """The compiled loop, compiled at first use.

    Raises:
        UserError: the equations have no C form.
        BuildError: there is no compiler, or it failed.
    """
    return Library(cell, dtype)


class Division(NamedTuple):
    """How the work of a call is divided.

    Attributes:
        blocks: blocks of rows of each replica; each runs on one thread.
        threads: the number of torch's threads, at most one for each block.
        chunk: steps whose weight gradients are taken in one product.
    """

    blocks: int
    threads: int
    chunk: int


@functools.lru_cache(maxsize=1024)
def divide(N: int, B: int, threads: int) -> Division:
    """Divides rows among threads: always equally for the same sizes and number of threads."""
    blocks = math.ceil(B / BLOCK_ROWS)
    if N * blocks % threads:  # the same number of blocks for every thread, if there are enough rows
        each = math.lcm(N, threads) // N
        blocks = min(math.ceil(blocks / each) * each, B)
    rows = math.ceil(B / blocks)
    return Division(blocks, min(threads, N * blocks), max(8, min(256, CHUNK_ROWS // rows)))


def default_segment(cell: Cell, part_bytes: int, T: int) -> int:
    """The default number of steps between two kept states: T, which keeps everything, if the memory suffices.

    The tape of a cell with memory is kept in any case.

    Args:
        part_bytes: of one part of the state, for all rows.
    """
    state = len(cell.state)
    step = (len(cell.gates) + state + (0 if cell.memory is None else 2)) * part_bytes
    # Asking the system takes a twentieth of a small step.
    if T * step <= LITTLE_BYTES or T * step <= min(MEMORY_BYTES, available_bytes() // 8):
        return T
    # k steps of everything and T / k states: their sum is least at this k.
    return max(1, round(math.sqrt(T * state * part_bytes / step)))


def segment_of(cell: Cell, division: Division, part_bytes: int, T: int, every: int | None, save: bool) -> int:
    """Steps between two kept states: those requested or `default_segment`, in whole chunks; T where nothing is kept."""
    steps = every or (default_segment(cell, part_bytes, T) if save else T)
    return min(T, math.ceil(steps / division.chunk) * division.chunk)


class MemoryPool:
    """Blocks of memory for reuse: a step takes the blocks that the previous step released, so that no memory is mapped again.

    Blocks are released when their `Lease` is deleted. All blocks together take at most twice the memory that was in use at
    one time; the least recently used size is freed first. Any thread may take and release blocks, and a lease may be
    deleted at any point, even by the garbage collector within `take`: the operations of every call are atomic in Python, and
    the lock protects only new blocks.
    """

    def __init__(self, most: int = 64) -> None:
        """Args:
        most: the maximum number of free blocks.
        """
        self.most = most
        self._waiting: dict[int, list[Tensor]] = {}  # by bytes
        self._asked: dict[int, int] = {}  # when each size was last requested
        self._clock = itertools.count()
        self._size = self._most_used = 0
        self.after_fork()

    def after_fork(self) -> None:
        """Replaces the lock, which another thread of the parent process may have held."""
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all blocks, used and free."""
        return self._size

    def take(self, numbers: int, dtype: torch.dtype) -> "Lease":
        """An uninitialised block of at least this many numbers."""
        size = _rounded(numbers * dtype.itemsize + 64)
        self._asked[size] = next(self._clock)
        if self.most:
            try:
                return Lease(self, size, self._waiting[size].pop())
            except LookupError:  # no free block
                pass
        return self._other(size)

    def give_back(self, size: int, block: Tensor) -> None:
        """Takes back the block of a lease."""
        try:
            self._waiting[size].append(block)
        except KeyError:
            self._waiting.setdefault(size, []).append(block)

    def clear(self) -> None:
        """Frees all blocks that are not in use."""
        with self._lock:
            self._free(lambda waiting: waiting > 0)

    def _other(self, size: int) -> "Lease":
        """A free block that is not much larger, or a new one."""
        with self._lock:
            for larger in sorted(other for other in list(self._waiting) if size < other <= size + size // 2 and self.most):
                try:
                    return Lease(self, larger, self._waiting[larger].pop())
                except IndexError:
                    continue
            block = torch.empty(size, dtype=torch.uint8)
            self._size += size
            self._most_used = max(self._most_used, self._size - self._bytes_waiting())
            self._free(lambda waiting: waiting > self.most or self._size > 2 * self._most_used)
        return Lease(self, size, block)

    def _bytes_waiting(self) -> int:
        return sum(size * len(blocks) for size, blocks in list(self._waiting.items()))

    def _free(self, more: Callable[[int], bool]) -> None:
        """Frees blocks while `more`, called with the number of free blocks, returns true."""
        for size in sorted(self._waiting, key=lambda size: self._asked.get(size, -1)):
            blocks = self._waiting[size]
            while blocks and more(sum(map(len, list(self._waiting.values())))):
                try:
                    blocks.pop(0)
                except IndexError:  # another thread took it first first
                    break
                self._size -= size


def _rounded(size: int) -> int:
    """Rounds up to one of four sizes between powers of two, so that similar requests share blocks."""
    step = 1 << max(6, size.bit_length() - 3)
    return (size + step - 1) // step * step


class Lease:
    """Holds a block of memory, aligned to 64 bytes, as long as it lives."""

    _block: Tensor | None = None  # if a signal interrupted the constructor

    def __init__(self, pool: MemoryPool, size: int, block: Tensor) -> None:
        self._pool, self._size, self._block = pool, size, block

    def data_ptr(self) -> int:
        assert self._block is not None
        address = self._block.data_ptr()
        return address + -address % 64

    def __del__(self) -> None:
        if self._block is not None:
            self._pool.give_back(self._size, self._block)


POOL = MemoryPool()
os.register_at_fork(after_in_child=POOL.after_fork)
