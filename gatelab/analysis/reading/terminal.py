"""Where runs stand, for the terminal and for other programs."""

import dataclasses
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gatelab.analysis.reading.status import Overview, Standing, duration

WIDTH_FOR_BARS = 70  # columns; narrower, they would take the names' place
_STYLES = {"done": "green", "running": "cyan", "failed": "red", "diverged": "red"}
_STYLES |= dict.fromkeys(("interrupted", "preempted", "stale"), "yellow")


def json_ready(found: Overview) -> dict[str, Any]:
    """All of it in plain containers."""
    runs = [{key: str(value) if key == "path" else value for key, value in dataclasses.asdict(item).items()} for item in found.runs]
    skipped = [{"path": str(item.path), "reason": item.reason} for item in found.skipped]
    return {"counts": found.counts, "seconds_left": found.seconds_left, "runs": runs, "skipped": skipped}


def view(found: Overview, width: int) -> RenderableType:
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
