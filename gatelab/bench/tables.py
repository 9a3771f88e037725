"""What a benchmark measured, as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from gatelab.bench import measured
from gatelab.process.console import Console

SPEED = (
    "ms: forward + backward with weight gradients; times: how often faster than the eager loop and than torch's own, with the "
    "allocator as a user finds it (found) and with our settings (tuned; also the columns without a note); peak: share of the FMA "
    f"peak. `{measured.AGAIN}` measures all cells again."
)


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
        headings[f"{_over_two_lines(name)}\nms"] = lambda row, name=name: _milliseconds(row, name)
    if any(row["torch"].get("found") for row in rows):
        for worker in ("found", "tuned"):
            headings[f"torch\n{worker}\nms"] = lambda row, worker=worker: _milliseconds(row, row["torch"].get(worker))
    if "flax" in names:
        headings["flax\nms"] = lambda row: _milliseconds(row, "flax")
    for key in dict.fromkeys(key for row in rows for key in row["ratios"]):
        headings[f"times\n{_over_two_lines(key)}"] = lambda row, key=key: _or_dash(row["ratios"].get(key), "{:.2f}")
    headings["GFLOP\n/s"] = lambda row: _or_dash(row["gflops"], "{:.1f}")
    headings["peak"] = lambda row: _or_dash(row["peak_share"], "{:.0%}")
    if any(row["per_flop"] for row in rows):
        headings["per\nFLOP"] = lambda row: _or_dash(row["per_flop"], "{:.2f}")
    headings["MiB"] = lambda row: _mib(row, row["backend"])
    if any(row["torch"].get("found") for row in rows):
        headings["torch\nMiB"] = lambda row: _mib(row, row["torch"].get("found"))
    return headings


def _over_two_lines(name: str) -> str:
    return name.replace("_", "\n")


def _milliseconds(row: dict[str, Any], name: str | None) -> str:
    seconds = row["columns"].get(name, {}).get("seconds")
    return "–" if seconds is None else f"{1e3 * seconds:.1f}" if seconds > 0.01 else f"{1e3 * seconds:.3f}"


def _mib(row: dict[str, Any], name: str | None) -> str:
    return _or_dash(row["columns"].get(name, {}).get("peak_mib"), "{:.0f}")


def _or_dash(value: float | None, form: str) -> str:
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
    from gatelab.bench import overhead  # with Lightning

    table = Table(title=overhead.TITLE, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("part", "ms a step", "share of the bare step", "quartiles"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    bare = result["milliseconds"]["bare"]

    def row(title: str, group: str, name: str, base: float, sign: str = "+") -> None:
        value, (low, high) = result[group][name], result["quartiles"][group][name]
        share, low, high = (format((number - base) / bare, f"{sign}.1%") for number in (value, low, high))
        table.add_row(title, format(value, "+.3f" if group == "parts" else ".3f"), share, f"{low} to {high}")

    row("bare loop, batches made before", "milliseconds", "bare", 0.0, "")
    for part in result["parts"]:
        row(part, "parts", part, 0.0)
    for name in ("none", "wandb"):
        row(f"whole step, logger={name}", "milliseconds", name, bare)
    console.print(table)
    console.print(overhead.LEGEND.format(**result), highlight=False)


def print_speed(console: Console, name: str, run: Mapping[str, Any] | None) -> None:
    """What was measured of a cell, where and when (`measured.figures`, with its rows); or that it was not."""
    console.print()
    if run is None:
        console.print(f"Speed: not measured. `gatelab bench {name}` does it here.", highlight=False)
        return
    rows = run["rows"]
    versus = dict.fromkeys(key for row in rows for key in row["ratios"])
    headings = ["cell", "B x T x D x H", "ms", *(f"times\n{key.replace('_', chr(10))}" for key in versus), "GFLOP\n/s", "peak"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "cell" else "right", vertical="bottom", no_wrap=True)
    for row in rows:
        ratios = (_or_dash(row["ratios"].get(key), "{:.2f}") for key in versus)
        milliseconds = None if row["seconds"] is None else 1e3 * row["seconds"]
        share = _or_dash(row["peak_share"], "{:.0%}")
        shape = " x ".join(map(str, row["shape"].values()))
        table.add_row(row["cell"], shape, _or_dash(milliseconds, "{:.1f}"), *ratios, _or_dash(row["gflops"], "{:.1f}"), share)
    console.print(table)
    machine = run["machine"]
    where = f"{machine['cpu']} ({machine['cores']} cores, load {machine['load']:.1f} at the start)"
    with_what = f"torch {run['versions']['torch']}, backend {', '.join(sorted({str(row['backend']) for row in rows}))}"
    console.print(
        f"Measured {run['date'][:10]} on {where}, threads {run['threads']}, {run['dtype']}, {with_what}. {SPEED}",
        highlight=False,
    )
