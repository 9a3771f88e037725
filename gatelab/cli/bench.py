"""`gatelab bench`: how fast the kernels are, and what is around them in training costs."""

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from gatelab.bench import cases, measured, overhead
from gatelab.bench.rounds import Bench, flax_installed
from gatelab.bench.tables import print_kernels, print_training
from gatelab.cells import CELLS
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.process.output import say_json
from gatelab.sweeps.naming import cells_of, plugins_of
from gatelab.training.provenance import machine, versions

WIDTH = 132  # characters of the tables if the output is not a terminal


class Choices(NamedTuple):
    """What is measured, as `gatelab bench` was asked for it."""

    words: Sequence[str]
    shapes: str | None
    repeats: int | None
    threads: int | None
    dtype: str
    baseline: str
    keep: bool
    quick: bool
    training: bool


def run(options: Choices, format: str) -> int:
    """Measures and prints on stdout; progress goes to stderr."""
    repeats = options.repeats or (3 if options.quick or options.training else 7)
    threads = options.threads or torch.get_num_threads()
    cells = cases.labelled(cells_of(options.words))
    plugins = plugins_of(options.words)
    shapes = cases.QUICK_SHAPES if options.quick else None
    shapes = cases.parse_shapes(options.shapes) if options.shapes is not None else shapes
    CELLS.get(options.baseline)
    if options.training and (options.words or options.shapes is not None or options.dtype != "float32"):
        raise UserError("bench: --training has a fixed cell, shape and number format; leave cells, --shapes and --dtype out.")
    if options.keep and (options.training or plugins):
        raise UserError("bench: --keep is for the speed of gatelab's own cells; leave --training and files of your own out.")
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        _say(f"The machine is busy (load {load:.1f}); threads that wait for each other can then cost a step many times over.")
    if options.training:
        result = _head(threads, repeats) | overhead.measure(threads, repeats, options.quick, _say)
        show = print_training
    else:
        measured_cases = cases.cases_of(cells, shapes, options.dtype, flax_installed(), options.baseline)
        result, show = _kernels(measured_cases, threads, repeats, options, plugins), print_kernels
        if options.keep:
            measured.keep(result)
    if format == "json":
        say_json(result)
    else:
        show(result, _console())
    return 0


def _head(threads: int, repeats: int) -> dict[str, Any]:
    return {
        "format": 1,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine() | {"load": os.getloadavg()[0], "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY")},
        "versions": versions(),
        "threads": threads,
        "repeats": repeats,
    }


def _say(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, soft_wrap=True)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _kernels(
    measured_cases: Sequence[cases.Case], threads: int, repeats: int, options: Choices, plugins: Sequence[str]
) -> dict[str, Any]:
    result = _head(threads, repeats) | {"dtype": options.dtype, "baseline": options.baseline, "rows": []}
    with Bench(threads, options.dtype, repeats, plugins, _say) as bench:
        for number, case in enumerate(measured_cases, 1):
            figures = bench.run(case)
            result["rows"].append(figures)
            own = figures["columns"].get(figures["backend"], {}).get("seconds")
            said = f"{figures['backend']} {own:.4g} s" if own else "no backend serves it"
            _say(f"{number}/{len(measured_cases)}  {case.shape}  {case.label}  {said}")
        result["versions"] |= bench.versions()
        result |= {"allocator_note": bench.allocator_note, "peak_gflops": bench.peak, "peak_note": bench.peak_note}
    for figures in result["rows"]:
        known = result["peak_gflops"] and figures["gflops"]
        figures["peak_share"] = figures["gflops"] / result["peak_gflops"] if known else None
    return result
