"""Which options mattered, for the terminal and for other programs."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from gatelab.analysis.comparison.numbers import NOTHING
from gatelab.analysis.importance.errors import determined
from gatelab.analysis.importance.importance import Importance
from gatelab.analysis.reading.option_values import label
from gatelab.analysis.statistics.budget import Budget
from gatelab.analysis.statistics.intervals import Interval
from gatelab.process.console import Console
from gatelab.process.output import without_nan


def plain(item: Importance) -> dict[str, Any]:
    """All numbers, for JSON."""
    whole = asdict(item) | {"options": dict(item.options)}
    whole["shares"] = {option: _plain(share) for option, share in item.shares.items()}
    whole["interactions"] = _plain(item.interactions)
    whole["budget"] = None if item.budget is None else item.budget._asdict()
    whole["correlated"] = [{"options": [a, b], "correlation": value} for a, b, value in item.correlated]
    return without_nan(whole)


def _plain(share: Interval) -> dict[str, Any]:
    return share._asdict() | {"determined": determined(share)}


def print_importance(item: Importance, console: Console) -> None:
    """A table of the options, then what is to be known of it."""
    where = label(item.task, item.options)
    console.print(Text.assemble((item.cell, "bold"), f"  {where}: {item.metric} over {item.n} runs"))
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("option")
    table.add_column("share of the variance (95%)", justify="right", no_wrap=True)
    table.add_column("drawn from", overflow="fold")
    for option, share in item.shares.items():
        table.add_row(Text(option), _share(share, item.n), Text(item.search[option]))
    table.add_row("interactions", _share(item.interactions, item.n), "")
    console.print(table)
    if item.budget is not None:
        _print_budget(item.budget, item.metric, console)
    console.print(Text(" ".join([*item.notes, *item.warnings])))
    console.print()


def _print_budget(found: Budget, metric: str, console: Console) -> None:
    """The expected best score at a few budgets: 1, 2, 5, 10 ... and all draws."""
    n = len(found.best)
    shown = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500) if k < n] + [n]
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("draws")
    table.add_column(f"expected best {metric} (95%)", justify="right")
    for k in shown:
        value, low, high = found.at(k)
        table.add_row(str(k), f"{value:.4g}" + ("" if low is None else f" ({low:.4g} to {high:.4g})"))
    console.print(table)


def _share(share: Interval, n: int) -> str:
    if share.value != share.value:
        return NOTHING
    if not determined(share):
        return f"not determined from {n} runs"
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"
