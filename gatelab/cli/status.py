"""`gatelab status`: what the runs of a sweep are doing, once or until Ctrl-C."""

import argparse
import contextlib
import dataclasses
import json
import time
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.reading.status import Overview, Standing, duration, overview
from gatelab.cli.arguments import folders_of
from gatelab.process.console import Console
from gatelab.process.output import say

SECONDS_BETWEEN_LOOKS = 1.0
WIDTH_FOR_BARS = 70  # columns; narrower, they would take the names' place
_STYLES = {"done": "green", "running": "cyan", "failed": "red", "diverged": "red"}
_STYLES |= dict.fromkeys(("interrupted", "preempted", "stale"), "yellow")


def run(options: argparse.Namespace) -> int:
    """Prints where the runs stand, and on stderr what cannot be read; the exit status does not depend on the runs."""
    folders = folders_of(options)
    if options.format == "json":
        say(json.dumps(_json_ready(overview(folders)), indent=1))
        return 0
    console = Console()
    if not options.watch or not console.is_terminal:  # a file or a pipe gets one look
        found = overview(folders)
        print_skipped(found.skipped, Console(stderr=True))
        console.print(_view(found, console.width), soft_wrap=not console.is_terminal)
        return 0
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(_view(overview(folders), console.width), console=console, auto_refresh=False) as live,
    ):
        while True:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            live.update(_view(overview(folders), console.width), refresh=True)
    return 0


def _json_ready(found: Overview) -> dict[str, Any]:
    runs = [{key: str(value) if key == "path" else value for key, value in dataclasses.asdict(item).items()} for item in found.runs]
    skipped = [{"path": str(item.path), "reason": item.reason} for item in found.skipped]
    return {"counts": found.counts, "seconds_left": found.seconds_left, "runs": runs, "skipped": skipped}


def _view(found: Overview, width: int) -> RenderableType:
    """A line of counts, the running ones with their bars, and a line for each that needs attention."""
    total = len(found.runs)
    if not total:
        return Text("There are no runs here.")
    line = Text(f"{total} {'run' if total == 1 else 'runs'}: ")
    line.append(Text(", ").join(Text(f"{count} {state}", _STYLES.get(state, "")) for state, count in found.counts.items()))
    if found.seconds_left is not None:
        line.append(f"; about {duration(found.seconds_left)} left")
    parts: list[RenderableType] = [line]
    running = [item for item in found.runs if item.state == "running"]
    if running:
        parts.append(_running(running, bars=width >= WIDTH_FOR_BARS))
    parts += [_attention(item) for item in found.runs if item.reason and item.state != "not begun"]
    return Group(*parts)


def _running(runs: list[Standing], bars: bool) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("running", overflow="fold")
    for heading in ("", "step", "steps/s", "left")[not bars :]:
        table.add_column(heading, justify="right", no_wrap=True)
    for item in runs:
        step, last = item.step or 0, item.max_steps or 0
        bar = [ProgressBar(total=max(last, 1), completed=step, width=12)] if bars else []
        table.add_row(
            Text(item.path.name),
            *bar,
            f"{step:,} of {last:,}",
            "–" if item.steps_per_second is None else f"{item.steps_per_second:.3g}",
            "–" if item.seconds_left is None else duration(item.seconds_left),
        )
    return table


def _attention(item: Standing) -> Text:
    """Why a run did not finish, and the file that says more."""
    text = Text(f"{item.path.name}  ")
    text.append(item.state, _STYLES.get(item.state, ""))
    text.append("" if item.step is None else f" at step {item.step:,}")
    text.append(f": {item.reason}. ")
    text.append(f"See {item.look}", "dim")
    return text
