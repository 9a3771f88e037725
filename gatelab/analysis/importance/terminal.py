"""Which options mattered, for the terminal and for other programs."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from gatelab.analysis.comparison.numbers import NOTHING
from gatelab.analysis.importance.importance import Importance
from gatelab.analysis.reading.option_values import label
from gatelab.analysis.statistics.intervals import Interval
from gatelab.process.console import Console
from gatelab.process.output import without_nan


def plain(item: Importance) -> dict[str, Any]:
    """All numbers, for JSON."""
    whole = asdict(item) | {"options": dict(item.options)}
    whole["shares"] = {option: share._asdict() for option, share in item.shares.items()}
    whole["interactions"] = item.interactions._asdict()
    whole["correlated"] = [{"options": [a, b], "correlation": value} for a, b, value in item.correlated]
    return without_nan(whole)


def print_importance(item: Importance, console: Console) -> None:
    """A table of the options, then what is to be known of it."""
    where = label(item.task, item.options)
    console.print(Text.assemble((item.cell, "bold"), f"  {where}: {item.metric} over {item.n} runs"))
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("option")
    table.add_column("share of the variance (95%)", justify="right", no_wrap=True)
    table.add_column("drawn from", overflow="fold")
    for option, share in item.shares.items():
        table.add_row(Text(option), _share(share), Text(item.search[option]))
    table.add_row("interactions", _share(item.interactions), "")
    console.print(table)
    console.print(Text(" ".join([*item.notes, *item.warnings])))
    console.print()


def _share(share: Interval) -> str:
    if share.value != share.value:
        return NOTHING
    if share.low is None or share.high is None:
        return f"{share.value:.2f}"
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"
