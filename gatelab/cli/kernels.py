"""`gatelab kernels`: the C that is generated from a cell, and the cache of what was compiled."""

import argparse
import time

from rich.table import Table

from gatelab.errors import UserError
from gatelab.kernels import cpu
from gatelab.kernels.cpu import build
from gatelab.process.console import Console
from gatelab.process.output import say


def run(options: argparse.Namespace) -> int:
    """Prints C on stdout, or a line for each file of the cache, or what was removed."""
    if options.action == "show":
        import torch

        from gatelab.cli.naming import entries_of

        ((_, _, cell),) = entries_of(options.words, "kernels show", ("cell",))
        say(cpu.source(cell, getattr(torch, options.dtype)).rstrip("\n"))
        return 0
    if options.words:
        does = "lists" if options.action == "list" else "empties"
        raise UserError(
            f"kernels {options.action}: '{options.words[0]}' is not accepted. `kernels {options.action}` takes no cell; it always "
            f"{does} the whole cache."
        )
    if options.action == "list":
        _list()
    else:
        size = sum(entry.size for entry in build.entries())
        say(f"{amount(build.clear(), size)} removed from {build.cache_folder()}.")
    return 0


def amount(files: int, size: int) -> str:
    """`2 files, 0.1 MB`; the size is given in bytes."""
    return f"{files} {'file' if files == 1 else 'files'}, {size / 1e6:.1f} MB"


def _list() -> None:
    console = Console()
    found = build.entries()
    if found:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("file", "kB", "from"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "kB" else "left")
        for entry in found:
            at = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified))
            table.add_row(str(entry.path.relative_to(build.cache_folder())), f"{entry.size / 1e3:.0f}", at)
        console.print(table)
    total = amount(len(found), sum(entry.size for entry in found))
    console.print(f"{total} in {build.cache_folder()}", highlight=False, soft_wrap=True)
