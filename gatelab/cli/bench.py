"""`gatelab bench`: how fast the kernels are, and what is around them in training costs."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from gatelab.bench import cases, measured, overhead
from gatelab.bench.rounds import Bench, flax_installed
from gatelab.cells import CELLS
from gatelab.cli.arguments import output_file
from gatelab.cli.list import KINDS
from gatelab.cli.whole_number import Whole
from gatelab.config import MOST_THREADS
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.registry.plugins import load_plugin
from gatelab.runs.files import write_json
from gatelab.training.provenance import machine, versions

MOST_ROUNDS = 10_000
WIDTH = 132  # characters of the tables where the output is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is measured, how often, and where it goes."""
    parser.add_argument("plugins", nargs="*", metavar="FILE", help="Python files with cells of your own")
    cells = "lstm,gru or attention:window=50; default: all. A cell with memory reads 50 steps unless its window is given"
    parser.add_argument("--cells", metavar="NAMES", help=cells)
    shapes = f"BxTxDxH, several with commas; default: {','.join(map(str, cases.SHAPES))}; with memory: {cases.MEMORY_SHAPES[0]}"
    parser.add_argument("--shapes", metavar="SHAPES", help=shapes)
    parser.add_argument(
        "--repeats",
        action=Whole,
        minimum=1,
        maximum=MOST_ROUNDS,
        metavar="N",
        help="rounds; default: 7, with --quick or --training 3",
    )
    parser.add_argument(
        "--threads",
        action=Whole,
        minimum=1,
        maximum=MOST_THREADS,
        metavar="N",
        help="threads of every column; default: those of torch",
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    parser.add_argument("--baseline", default="lstm", metavar="CELL", help="the unit of time per FLOP; default: lstm")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured to a file")
    keep = "put the figures in the place of those that `gatelab explain` shows (gatelab/bench/measured.json)"
    parser.add_argument("--keep", action="store_true", help=keep)
    parser.add_argument("--quick", action="store_true", help="two small shapes, in seconds")
    parser.add_argument("--training", action="store_true", help="whole training steps against a bare loop instead (adding, lstm)")


def run(options: argparse.Namespace) -> int:
    """Measures and prints on stdout; progress goes to stderr."""
    for path in options.plugins:
        load_plugin(path, KINDS.values())
    repeats = options.repeats or (3 if options.quick or options.training else 7)
    threads = options.threads or torch.get_num_threads()
    cells = cases.parse_cells(options.cells)
    shapes = cases.QUICK_SHAPES if options.quick else None
    shapes = cases.parse_shapes(options.shapes) if options.shapes is not None else shapes
    CELLS.get(options.baseline)
    if options.json is not None:
        output_file(options.json, "--json")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise UserError(f"bench: there is no folder '{options.json.absolute().parent}' to write {options.json.name} to.")
    if options.training and (options.cells is not None or options.shapes is not None or options.dtype != "float32"):
        raise UserError("bench: --training has a fixed cell, shape and number format; leave --cells, --shapes and --dtype out.")
    if options.keep and (options.training or options.plugins):
        raise UserError("bench: --keep is for the speed of gatelab's own cells; leave --training and files of your own out.")
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        _say(f"The machine is busy (load {load:.1f}); threads that wait for each other can then cost a step many times over.")
    if options.training:
        result = _head(threads, repeats) | overhead.measure(threads, repeats, options.quick, _say)
        print_training(result, _console())
    else:
        measured_cases = cases.cases_of(cells, shapes, options.dtype, flax_installed(), options.baseline)
        result = _kernels(measured_cases, threads, repeats, options)
        print_kernels(result, _console())
        if options.keep:
            measured.keep(result)
    if options.json is not None:
        write_json(options.json, result)
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


def _kernels(measured_cases: Sequence[cases.Case], threads: int, repeats: int, options: argparse.Namespace) -> dict[str, Any]:
    result = _head(threads, repeats) | {"dtype": options.dtype, "baseline": options.baseline, "rows": []}
    with Bench(threads, options.dtype, repeats, options.plugins, _say) as bench:
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


def print_kernels(result: dict[str, Any], console: Console) -> None:
    """A table for each shape, then what its columns mean."""
    by_shape: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        by_shape.setdefault(" x ".join(map(str, row["shape"].values())), []).append(row)
    for shape, rows in by_shape.items():
        table = Table(title=f"B x T x D x H = {shape}", title_justify="left", box=None, header_style="bold", pad_edge=False)
        headings = _headings(rows)
        for heading in headings:
            table.add_column(heading, justify="left" if heading == "cell" else "right", vertical="bottom", no_wrap=True)
        for row in rows:
            table.add_row(*(show(row) for show in headings.values()))
        console.print(table)
        console.print()
    refused = {(name, of["refused"]) for row in result["rows"] for name, of in row["columns"].items() if "refused" in of}
    for name, reason in sorted(refused):
        console.print(f"{name}: {reason}", highlight=False)
    console.print(_legend(result), highlight=False)


def _headings(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Heading -> what a row shows under it; columns that no row has are left out."""
    names = dict.fromkeys(name for row in rows for name, of in row["columns"].items() if "seconds" in of)
    own = [name for name in names if name in {row["backend"] for row in rows}]
    plain = [*own, *(name for name in ("eager", "eager_found") if name in names and name not in own)]
    headings: dict[str, Any] = {"cell": lambda row: row["cell"], "n": _rounds}
    for name in plain:
        headings[f"{_stacked(name)}\nms"] = lambda row, name=name: _milliseconds(row, name)
    if any(row["torch"].get("found") for row in rows):
        for worker in ("found", "tuned"):
            headings[f"torch\n{worker}\nms"] = lambda row, worker=worker: _milliseconds(row, row["torch"].get(worker))
    if "flax" in names:
        headings["flax\nms"] = lambda row: _milliseconds(row, "flax")
    for key in dict.fromkeys(key for row in rows for key in row["ratios"]):
        headings[f"times\n{_stacked(key)}"] = lambda row, key=key: _number(row["ratios"].get(key), "{:.2f}")
    headings["GFLOP\n/s"] = lambda row: _number(row["gflops"], "{:.1f}")
    headings["peak"] = lambda row: _number(row["peak_share"], "{:.0%}")
    if any(row["per_flop"] for row in rows):
        headings["per\nFLOP"] = lambda row: _number(row["per_flop"], "{:.2f}")
    headings["MiB"] = lambda row: _mib(row, row["backend"])
    if any(row["torch"].get("found") for row in rows):
        headings["torch\nMiB"] = lambda row: _mib(row, row["torch"].get("found"))
    return headings


def _stacked(name: str) -> str:
    return name.replace("_", "\n")


def _milliseconds(row: dict[str, Any], name: str | None) -> str:
    seconds = row["columns"].get(name, {}).get("seconds")
    return "–" if seconds is None else f"{1e3 * seconds:.1f}" if seconds > 0.01 else f"{1e3 * seconds:.3f}"


def _mib(row: dict[str, Any], name: str | None) -> str:
    return _number(row["columns"].get(name, {}).get("peak_mib"), "{:.0f}")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _rounds(row: dict[str, Any]) -> str:
    """The rounds of the columns: 7, or 3-7 where slow ones were measured in fewer."""
    counts = [of["n"] for of in row["columns"].values() if "n" in of]
    return "–" if not counts else str(counts[0]) if min(counts) == max(counts) else f"{min(counts)}-{max(counts)}"


def _legend(result: dict[str, Any]) -> str:
    peak = f"{result['peak_gflops']:.0f} GFLOP/s" if result["peak_gflops"] else f"not measured: {result['peak_note']}"
    note = f" (not here: {result['allocator_note']})" if result["allocator_note"] else ""
    return f"""\
ms: forward + backward with all weight gradients, {result["dtype"]}, threads {result["threads"]}: medians over n interleaved rounds.
times: how often the first backend is faster, the median of the ratios within each round. found: the allocator as a user
finds it; tuned, and every column that does not say: with our settings{note}. torch: the better of oneDNN on and off.
FLOP: products alone, 2BT(IHD + JFHH) forward, 2BT(IHD + 2JFHH) backward; no input gradient. peak: share of the FMA peak
of all threads, measured in the same rounds: {peak}. per FLOP: time per FLOP in units of {result["baseline"]}, measured beside it.
MiB: peak resident memory of a fresh process above its level after imports and a step of one number."""


def print_training(result: dict[str, Any], console: Console) -> None:
    """What each part of a training step costs beyond a bare loop."""
    table = Table(title=overhead.TITLE, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("part", "ms a step", "share of the bare step"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    bare = result["milliseconds"]["bare"]
    table.add_row("bare loop, batches made before", f"{bare:.3f}", "100%")
    for part, value in result["parts"].items():
        table.add_row(part, f"{value:+.3f}", f"{value / bare:+.1%}")
    for name in ("none", "wandb"):
        whole = result["milliseconds"][name]
        table.add_row(f"whole step, logger={name}", f"{whole:.3f}", f"{whole / bare - 1:+.1%}")
    console.print(table)
    console.print(overhead.LEGEND.format(**result), highlight=False)
