"""What the device itself can do: copies, products, launches."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from gatelab.bench import clock
from gatelab.bench.gpu.section import Rounding, Rows, Setting, columns, dtype_of


def rows(setting: Setting) -> Rows:
    """Bytes and operations a second, and the time of a launch."""
    products = {f"product {word}": functools.partial(_product, setting, word) for word in ("float32", "tf32", "bfloat16")}
    return {"copy": functools.partial(_copy, setting), "launch": functools.partial(_launch, setting)} | products


def _copy(setting: Setting) -> dict[str, Any]:
    size = 2**16 if setting.small else 2**30
    source = torch.randn(size // 4, device=setting.device)
    target = torch.empty_like(source)
    times, refused = clock.measure({"copy": lambda: target.copy_(source)}, setting.device, setting.rounds)
    return {"columns": columns(times, refused), "gb_per_second": 2 * size / clock.median(times["copy"]) / 1e9}


def _product(setting: Setting, word: str) -> dict[str, Any]:
    size = 64 if setting.small else 8192
    a, b = (torch.randn(size, size, device=setting.device, dtype=dtype_of(word)) for _ in range(2))
    with Rounding(word):
        times, refused = clock.measure({word: lambda: a @ b}, setting.device, setting.rounds)
    return {"columns": columns(times, refused), "tflops": 2 * size**3 / clock.median(times[word]) / 1e12}


def _launch(setting: Setting) -> dict[str, Any]:
    """Seconds of one small kernel when 1000 are launched one by one, and when a graph replays them."""
    x, count = torch.zeros(32, device=setting.device), 10 if setting.small else 1000

    def one_by_one() -> None:
        for _ in range(count):
            x.add_(1)

    calls: dict[str, Callable[[], object]] = {"one by one": one_by_one}
    if setting.gpu:
        graph = torch.cuda.CUDAGraph()
        one_by_one()
        with torch.cuda.graph(graph):
            one_by_one()
        calls["graph"] = graph.replay
    times, refused = clock.measure(calls, setting.device, setting.rounds)
    each = {name: {number: value / count for number, value in of.items()} for name, of in times.items()}
    return {"columns": columns(each, refused)}
