"""Steps of training on one layer: torch's own, ours by every backend, torch.compile's and those of other libraries."""

import functools
import importlib.util
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from gatelab.bench import clock, steps
from gatelab.bench.cases import Shape
from gatelab.bench.gpu.section import TRIED, WAYS, Rounding, Rows, Setting, columns, dtype_of, environment
from gatelab.bench.statistics import Times, ratio
from gatelab.cells import CELLS, Cell, reductions_of
from gatelab.diagnostics.cost import training_flops
from gatelab.kernels import BACKENDS

SHAPES = (
    Shape(16, 1024, 64, 64),
    Shape(64, 1024, 128, 128),
    Shape(256, 1024, 128, 128),
    Shape(64, 1024, 512, 512),
    Shape(64, 1024, 1024, 1024),
)
ONE = Shape(64, 256, 128, 128)
UNROLLED = (Shape(64, 32, 128, 128), Shape(64, 128, 128, 128))  # torch.compile takes time that grows with the steps


def shapes(setting: Setting) -> Rows:
    """Formats by shapes by cells: those that torch has, too, and the first one of their size that it does not have."""
    built = {name: CELLS.build(name) for name in setting.cells}
    peers = [name for name, cell in built.items() if cell.peer is not None]
    size = max((len(built[name].gates) for name in peers), default=0)
    others = [
        name
        for name, cell in built.items()
        if cell.peer is None and cell.memory is None and not cell.late and not reductions_of(cell) and len(cell.gates) == size
    ]
    made: Rows = {}
    for word in ("bfloat16", "float32", "tf32") if setting.gpu else ("float32",):
        for shape in (TRIED,) if setting.small else SHAPES:
            for name in (*others[:1], *peers):
                # The eager loop takes about as long in every format.
                without = ("eager",) if word != "float32" or shape.B > 64 else ()
                made[f"{name} {shape} {word}"] = functools.partial(_step, setting, name, shape, word, without=without)
    return made


def cells(setting: Setting) -> Rows:
    """All cells at one shape."""
    shape = TRIED if setting.small else ONE
    return {name: functools.partial(_step, setting, name, shape, "float32") for name in setting.cells}


def compiled(setting: Setting) -> Rows:
    """The eager loop under torch.compile, which unrolls it: how long until the first step, and how fast then."""
    return {
        f"{name} {shape}": functools.partial(_compiled, setting, name, shape)
        for name in setting.cells[:1]
        for shape in ((TRIED,) if setting.small else UNROLLED)
    }


def launches(setting: Setting) -> Rows:
    """How many kernels a step of training launches, and how long they take by themselves."""
    shape = TRIED if setting.small else ONE
    return {name: functools.partial(_launches, setting, name, shape) for name in setting.cells}


def _plans(setting: Setting, cell: Cell, name: str, shape: Shape, word: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What `steps.build` needs, by column; and why a column is missing."""
    dtype = str(dtype_of(word)).removeprefix("torch.")
    common = {"shape": list(shape), "dtype": dtype, "device": setting.device}
    plans: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    if cell.peer is not None:
        plans["torch"] = common | {"kind": "torch", "module": cell.peer.__name__}
        if setting.gpu:
            for backend in steps.FLASHRNN if importlib.util.find_spec("flashrnn") else ():
                plans[f"flashrnn {backend}"] = common | {"kind": "flashrnn", "module": cell.peer.__name__, "backend": backend}
            if importlib.util.find_spec("pararnn"):
                plans["pararnn"] = common | {"kind": "pararnn", "module": cell.peer.__name__}
    for backend, refusal in setting.backends(cell, dtype_of(word)).items():
        if refusal is None:
            plan = common | {"kind": "gatelab", "cell": name, "options": {}, "backend": backend}
            plans[backend] = plan
            plans |= {f"{backend} {way}": plan | {"environment": of} for way, of in WAYS.get(backend, {}).items()}
        else:
            refused[backend] = refusal
    return plans, refused


def _step(
    setting: Setting, name: str, shape: Shape, word: str, compile_too: bool = False, without: Collection[str] = ()
) -> dict[str, Any]:
    cell = CELLS.build(name)
    plans, refused = _plans(setting, cell, name, shape, word)
    if compile_too:
        plans["compiled"] = plans["eager"] | {"kind": "compiled"}
    calls: dict[str, Callable[[], object]] = {}
    with Rounding(word):
        for key, step in plans.items():
            if key in without:
                continue
            try:
                calls[key] = _within(step.get("environment", {}), steps.build(step))
            except Exception as error:
                refused[key] = clock.reason(error)
        times, failed = clock.measure(calls, setting.device, setting.rounds)
    own = next((backend for backend in BACKENDS if backend in times), None)
    found: dict[str, Any] = {"columns": columns(times, refused | failed), "backend": own}
    if own is not None:
        found["ratios"] = _ratios(times, times[own])
        found["tflops"] = training_flops(cell, *shape) / clock.median(times[own]) / 1e12
    return found


def _within(variables: Mapping[str, str], call: Callable[[], object]) -> Callable[[], object]:
    """The call with some variables of the environment."""

    def within() -> object:
        with environment(variables):
            return call()

    return within if variables else call


def _ratios(times: Mapping[str, Times], own: Times) -> dict[str, float]:
    return {key: ratio(of, own) for key, of in times.items() if key not in BACKENDS or key == "eager"}


def _compiled(setting: Setting, name: str, shape: Shape) -> dict[str, Any]:
    plan = {"kind": "compiled", "cell": name, "options": {}, "backend": "eager", "dtype": "float32"}
    begin = time.perf_counter()
    steps.build(plan | {"shape": list(shape), "device": setting.device})()
    first = time.perf_counter() - begin
    return {"first_step_seconds": first} | _step(setting, name, shape, "float32", compile_too=True)


def _launches(setting: Setting, name: str, shape: Shape) -> dict[str, Any]:
    plans, refused = _plans(setting, CELLS.build(name), name, shape, "float32")
    found: dict[str, Any] = {}
    for key, step in plans.items():
        try:
            found[key] = _profiled(_within(step.get("environment", {}), steps.build(step)), setting.gpu, shape.T)
        except Exception as error:
            refused[key] = clock.reason(error)
    return {"columns": found | {key: {"refused": why} for key, why in refused.items()}}


def _profiled(call: Callable[[], object], gpu: bool, T: int) -> dict[str, Any]:
    from torch.profiler import ProfilerActivity, profile

    call()
    with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as seen:
        call()
        if gpu:
            torch.cuda.synchronize()
    by_name: dict[str, list[float]] = {}
    for event in seen.events() or []:
        if not gpu or event.device_type.name == "CUDA":
            by_name.setdefault(event.name[:80], []).append((event.device_time if gpu else event.self_cpu_time_total) / 1e6)
    top = sorted(by_name.items(), key=lambda item: -sum(item[1]))[:8]
    kernels = sum(map(len, by_name.values()))
    return {
        "kernels": kernels,
        "a_step": kernels / T,
        "seconds": sum(map(sum, by_name.values())),
        "top": {kernel: [len(of), sum(of)] for kernel, of in top},
    }
