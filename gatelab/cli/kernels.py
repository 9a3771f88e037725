"""`gatelab kernels`: the C that is generated from a cell, and the cache of what was compiled."""

import argparse
import time

import torch
from rich.table import Table

from gatelab.errors import UserError
from gatelab.kernels import cpu
from gatelab.kernels.cpu import build
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.sweeps.jobs import compose
from gatelab.training.spec import Spec

EXAMPLE = "`gatelab kernels show cifg cell.peepholes=true`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, the cell in the grammar of `gatelab train`, and the number format."""
    parser.add_argument("action", choices=("show", "list", "clear"), help="print the C of a cell; list the cache; empty the cache")
    parser.add_argument(
        "cell", nargs="*", default=[], metavar="CELL", help="show: a name and options: cifg cell.peepholes=true 'plugins=[...]'"
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"), help="show: default: float32")


def run(options: argparse.Namespace) -> int:
    """Prints C on stdout, or a line for each file of the cache, or what was removed."""
    if options.action == "show":
        say(_source(options.cell, getattr(torch, options.dtype)).rstrip("\n"))
        return 0
    if options.cell:
        raise UserError(f"kernels {options.action}: '{options.cell[0]}' is too much; the cache is listed and emptied as a whole.")
    if options.action == "list":
        _list()
    else:
        size = sum(entry.size for entry in build.entries())
        say(f"{amount(build.clear(), size)} removed from {build.cache_folder()}.")
    return 0


def amount(files: int, size: int) -> str:
    """`2 files, 0.1 MB`; the size is given in bytes."""
    return f"{files} {'file' if files == 1 else 'files'}, {size / 1e6:.1f} MB"


def _source(given: list[str], dtype: torch.dtype) -> str:
    overrides = compose.parse([item if "=" in item else f"cell={item}" for item in given])
    named = [override for override in overrides if override.key_or_group == "cell"]
    if len(named) != 1 or named[0].is_sweep_override():
        raise UserError(f"kernels show: name one cell, as in {EXAMPLE}.")
    compose.load_plugins(overrides)
    compose.register_schemas()
    config = compose.compose_job(overrides)
    cell = Spec(config).cell
    return cpu.source(cell, dtype)


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
