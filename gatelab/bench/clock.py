"""Times of several calls in one process, in turn: by the events of a GPU, or by the clock on a CPU."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from gatelab.bench.statistics import Times, median, spread

FILLED = 0.01  # seconds that one measurement of a short call is filled up to
MOST_CALLS = 50


def measure(calls: Mapping[str, Callable[[], object]], device: str, rounds: int) -> tuple[dict[str, Times], dict[str, str]]:
    """Measures every call once a round; a call that raises is left out, and the others are still measured.

    Args:
        calls: by name. Each is called twice before the rounds: the first call may compile.
        device: where they compute, as torch names it.
        rounds: each begins with another call: none is always the one behind the slowest.

    Returns:
        Seconds of a call by name and round; and why a call was not measured, by name.
    """
    refused: dict[str, str] = {}
    number_of: dict[str, int] = {}
    for name, call in calls.items():
        try:
            call()
            number_of[name] = max(1, min(MOST_CALLS, math.ceil(FILLED / seconds(call, device, 1))))
        except Exception as error:
            refused[name] = reason(error)
    times: dict[str, dict[int, float]] = {name: {} for name in number_of}
    names = [*number_of]
    for number in range(rounds):
        start = number % len(names) if names else 0
        for name in (*names[start:], *names[:start]):
            times[name][number] = seconds(calls[name], device, number_of[name])
    return dict(times), refused


def seconds(call: Callable[[], object], device: str, count: int) -> float:
    """Seconds of one call, as the mean over some calls behind one another."""
    if torch.device(device).type != "cuda":
        begin = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - begin) / count
    torch.cuda.synchronize(device)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(count):
        call()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3 / count


def column(times: Times) -> dict[str, Any]:
    """Median and spread of one call, and all rounds, in plain containers."""
    return {"seconds": median(times), "spread": spread(times), "n": len(times), "rounds": list(times.values())}


def reason(error: BaseException) -> str:
    """An error in one line."""
    first = (str(error).strip() or type(error).__name__).partition("\n")[0]
    return first if isinstance(error, RuntimeError) else f"{type(error).__name__}: {first}"
