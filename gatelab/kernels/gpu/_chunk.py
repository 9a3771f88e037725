"""A chunk of steps on the device: one product and one kernel a step, captured as a CUDA graph and replayed."""

import functools
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels.gpu._products import Packed
from gatelab.kernels.gpu._source import COMPUTES, LAUNCH, Kernels, kernels

STEPS = 64  # steps of a chunk: a power of two
_PLANS = 16  # the number of shapes whose buffers and graphs are kept


class Shape(NamedTuple):
    """The properties of a call that buffers and graphs of a chunk depend on."""

    N: int
    B: int
    H: int
    dtype: torch.dtype
    device: torch.device
    bias: bool
    ends: bool
    keep: bool
    record: bool
    resets: bool
    flow: bool


class Chunk:
    """Buffers of some steps, and methods that run these steps.

    Buffers that a shape does not need are empty.

    Everything that is kept over time lies as (N, K, B, columns). Nothing in a chunk survives the call that filled it.

    Args:
        kernels: the kernels of the cell.
        shape: the shape of the calls.
    """

    def __init__(self, kernels: Kernels, shape: Shape) -> None:
        self.kernels, self.layout, self.shape = kernels, kernels.layout, shape
        self.real = COMPUTES[shape.dtype]
        self.lock = threading.Lock()
        self._graphs: dict[int, Any] = {}
        self._ran: set[int] = set()
        layout, N, B, H = self.layout, shape.N, shape.B, shape.H
        self.p = self._new(N, len(layout.vectors) * H, dtype=self.real)
        self.b = self._new(N, len(layout.gates) * H, dtype=self.real)
        self.kept = self.over_time(layout.saved if shape.keep else 0)
        self.reads = self.over_time(len(layout.reads) if shape.keep else 0, self.real)
        self.live = self._new(STEPS, B, dtype=torch.uint8)
        self.resets = self._new(STEPS, B, dtype=torch.uint8)
        self.restart = self._new(len(layout.state) if shape.resets else 0, N, B, H, dtype=self.real)
        counts = (len(layout.gates), len(layout.state)) if shape.record else (0, 0)
        self.record_a, self.record_s = (self._new(count, N, STEPS, B, H) for count in counts)
        self.state = self._new(len(layout.state), N, B, H, dtype=self.real)
        block = min(1 << (H - 1).bit_length(), 256)
        self.grid = (N * B, math.ceil(H / block))
        self.flags = {"ENDS": shape.ends, "RECORD": shape.record, "RESETS": shape.resets}
        self.sizes = {"B": B, "H": H, "K": STEPS, "ROWS": N * B, "BLOCK": block, "num_warps": max(1, block // 64), **LAUNCH}

    def _new(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.zeros(shape, dtype=dtype or self.shape.dtype, device=self.shape.device)

    def over_time(self, columns: int, dtype: torch.dtype | None = None, more: int = 0) -> Tensor:
        """A buffer (N, K, B, columns * H)."""
        return self._new(self.shape.N, STEPS + more, self.shape.B, columns * self.shape.H, dtype=dtype)

    def set(self, packed: Packed) -> None:
        """Takes the weights of a call."""
        if packed.b is not None:
            self.b.copy_(packed.b)
        if self.layout.vectors:
            self.p.copy_(packed.p)

    def steps(self, count: int) -> None:
        """The steps of this chunk, one kernel after another."""
        raise NotImplementedError

    def run(self, count: int) -> None:
        """The first `count` steps of this chunk, as a graph from the second time on."""
        graphs = self.shape.device.type == "cuda" and os.environ.get("GATELAB_GPU_GRAPHS") != "0"
        if not graphs or torch.cuda.is_current_stream_capturing() or count not in self._ran:
            self.steps(count)  # a capture needs compiled kernels
            self._ran.add(count)
            return
        if count not in self._graphs:
            self._graphs[count] = _capture(lambda: self.steps(count), self.shape.device)
        self._graphs[count].replay()


class Forward(Chunk):
    """Steps forward in time.

    Attributes:
        x: W x + b.
        fed: the inputs of the recurrent product of each step, and of the step after the last.
        out: the output.
        R: the transposed recurrent weights.
    """

    def __init__(self, kernels: Kernels, shape: Shape) -> None:
        super().__init__(kernels, shape)
        layout, N, B, H = self.layout, shape.N, shape.B, shape.H
        self.x = self.over_time(layout.inputs)
        self.fed = self.over_time(len(layout.fed), more=1)
        self.out = self.over_time(1)
        self.product = self._new(N, B, layout.recurrent * H)
        self.R = self._new(N, len(layout.fed) * H, layout.recurrent * H)

    def set(self, packed: Packed) -> None:
        super().set(packed)
        if packed.R is not None:
            self.R.copy_(packed.R.mT)

    def steps(self, count: int) -> None:
        layout, shape = self.layout, self.shape
        for k in range(count):
            if layout.recurrent:
                multiply(self.fed[:, k], self.R, self.product)
            self.kernels.forward[self.grid](
                self.x[:, k],
                self.product,
                self.b,
                self.p,
                self.state,
                self.restart,
                self.fed[:, k + 1],
                self.out[:, k],
                self.kept[:, k],
                self.reads[:, k],
                self.record_a[:, :, k],
                self.record_s[:, :, k],
                self.live[k],
                self.resets[k],
                **self.sizes,
                **self.flags,
                BIAS=shape.bias,
                KEEP=shape.keep,
            )
        self.fed[:, 0].copy_(self.fed[:, count])


class Backward(Chunk):
    """Steps backward in time.

    Attributes:
        d_out: derivatives with respect to the output.
        d_fed: derivatives with respect to the inputs of the product, after the last step of the chunk, then before the first.
        state: derivatives with respect to the state, without the path through the product.
        da: derivatives with respect to the pre-activations.
        dp: derivatives with respect to the vectors, summed over time.
        restart: derivatives with respect to the state of rows that start again.
        record_a, record_s: derivatives with respect to the records.
        flow: derivatives with respect to the state after each step.
        R: the recurrent weights.
    """

    def __init__(self, kernels: Kernels, shape: Shape) -> None:
        super().__init__(kernels, shape)
        layout, N, B, H = self.layout, shape.N, shape.B, shape.H
        self.d_out = self.over_time(1)
        self.d_fed = self._new(N, B, len(layout.fed) * H)
        self.da = self.over_time(len(layout.gates))
        self.flow = self._new(len(layout.state) if shape.flow else 0, N, STEPS, B, H)
        self.dp = self._new(len(layout.vectors), N, B, H, dtype=self.real)
        self.R = self._new(N, layout.recurrent * H, len(layout.fed) * H)

    def set(self, packed: Packed) -> None:
        super().set(packed)
        if packed.R is not None:
            self.R.copy_(packed.R)

    def steps(self, count: int) -> None:
        first = (len(self.layout.gates) - self.layout.recurrent) * self.shape.H
        for k in reversed(range(count)):
            self.kernels.backward[self.grid](
                self.d_out[:, k],
                self.d_fed,
                self.restart,
                self.kept[:, k],
                self.reads[:, k],
                self.record_a[:, :, k],
                self.record_s[:, :, k],
                self.p,
                self.state,
                self.da[:, k],
                self.dp,
                self.flow[:, :, k],
                self.live[k],
                self.resets[k],
                **self.sizes,
                **self.flags,
                FLOW=self.shape.flow,
            )
            if self.layout.recurrent:
                multiply(self.da[:, k, :, first:], self.R, self.d_fed)


def multiply(left: Tensor, right: Tensor, out: Tensor) -> None:
    """(N, B, F) times (N, F, J) into (N, B, J)."""
    if len(left) == 1:
        torch.mm(left[0], right[0], out=out[0])
    else:
        torch.bmm(left, right, out=out)


def pieces(T: int) -> Iterator[tuple[int, int]]:
    """First step and number of steps of the chunks of T steps: powers of two, so that a few graphs serve every T."""
    start = 0
    while start < T:
        count = min(STEPS, 1 << ((T - start).bit_length() - 1))
        yield start, count
        start += count


@functools.cache
def _side_stream(device: torch.device, stream: int) -> tuple[Any, Any]:  # noqa: ARG001 - one for each stream
    """A stream for captures and the memory of the graphs: products share one workspace, which takes tens of megabytes."""
    return torch.cuda.Stream(device), torch.cuda.graph_pool_handle()


def _capture(steps: Callable[[], None], device: torch.device) -> Any:
    current = torch.cuda.current_stream(device)
    graph = torch.cuda.CUDAGraph()
    stream, pool = _side_stream(device, current.cuda_stream)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        # Other threads of this process may allocate and copy at the same time.
        graph.capture_begin(pool, capture_error_mode="thread_local")
        try:
            steps()
        finally:
            graph.capture_end()
    current.wait_stream(stream)
    return graph


_chunks: OrderedDict[Any, Chunk] = OrderedDict()
_lock = threading.Lock()


def chunk_of(kind: type[Any], cell: Cell, shape: Shape) -> Any:
    """The chunk for a cell and a shape on the current stream; if there are many, the least recently used one is dropped."""
    stream = torch.cuda.current_stream(shape.device).cuda_stream if shape.device.type == "cuda" else 0
    key = (kind, cell, shape, stream)
    with _lock:
        if key not in _chunks:
            _chunks[key] = kind(kernels(cell, COMPUTES[shape.dtype]), shape)
        _chunks.move_to_end(key)
        while len(_chunks) > _PLANS:
            _chunks.popitem(last=False)
        return _chunks[key]
