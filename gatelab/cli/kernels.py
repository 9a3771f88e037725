"""`gatelab kernels`: the C that is generated from a cell, and the cache of what was compiled."""

import dataclasses
import time
from collections.abc import Sequence

from rich.table import Table

from gatelab.errors import UserError
from gatelab.kernels import cpu
from gatelab.kernels.cpu import build
from gatelab.process.console import Console
from gatelab.process.output import say, say_json


def run(action: str, words: Sequence[str], dtype: str, format: str) -> int:
    """Prints C on stdout, or a line for each file of the cache, or what was removed."""
    if action == "show":
        import torch

        from gatelab.sweeps.naming import entries_of

        ((_, name, cell),) = entries_of(words, "kernels show", ("cell",))
        source = cpu.source(cell, getattr(torch, dtype))
        if format == "json":
            say_json({"cell": name, "options": dataclasses.asdict(cell), "dtype": dtype, "source": source})
        else:
            say(source.rstrip("\n"))
        return 0
    if words:
        does = "lists" if action == "list" else "empties"
        raise UserError(
            f"kernels {action}: '{words[0]}' is not accepted. `kernels {action}` takes no cell; it always {does} the whole cache."
        )
    folder, found = build.cache_folder(), build.entries()
    size = sum(entry.size for entry in found)
    if action == "clear":
        removed = build.clear()
        said = f"{amount(removed, size)} removed from {folder}."
        say_json({"folder": folder, "removed": removed, "bytes": size}) if format == "json" else say(said)
    elif format == "json":
        say_json({"folder": folder, "bytes": size, "files": [entry._asdict() for entry in found]})
    else:
        _list(found)
    return 0


def amount(files: int, size: int) -> str:
    """`2 files, 0.1 MB`; the size is given in bytes."""
    return f"{files} {'file' if files == 1 else 'files'}, {size / 1e6:.1f} MB"


def _list(found: Sequence[build.CachedFile]) -> None:
    console = Console()
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
