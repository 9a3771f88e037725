"""One progress bar over all runs of a command, read from their directories, and the summary at its end."""

import shlex
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.runs import Run, read_run
from gatelab.runs.lock import holder

SECONDS_BETWEEN_LOOKS = 0.5
SHARE_OF_TIME = 0.05  # the share of one core that checking may take
PARTS = 1000  # a run counts as this many units of the bar
ENDS = ("finished", "failed", "preempted", "pruned")
GOOD = ("finished", "pruned")


@dataclass
class _Watched:
    """The last known state of a run; `before`: its status when the command began."""

    before: tuple[int, int, int] | None
    seen: tuple[int, int, int] | None
    done: float = 0.0
    state: str = ""


class Progress:
    """Watches run directories from a thread while they are being written.

    For a run that has not ended, the content of its status file is read only if its times change.

    Args:
        paths: the run directories, which need not exist yet.
        show: whether to draw the bar; the line for each ended run is printed anyway.
        expected: the number of runs of a search, which adds them with `add`.
        requeued: whether a stopped run restarts by itself, as on a cluster.
    """

    def __init__(self, paths: Iterable[Path], show: bool = True, expected: int = 0, requeued: bool = False) -> None:
        self._expected = expected
        self._ends = tuple(state for state in ENDS if not (requeued and state == "preempted"))
        self.console = Console(stderr=True)
        self._watched: dict[Path, _Watched] = {}
        self._open: dict[Path, _Watched] = {}
        self.add(paths)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[runs]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not show or not self.console.is_terminal,
            transient=True,
        )

    def add(self, paths: Iterable[Path]) -> None:
        """Adds runs that are about to begin."""
        for path in paths:
            if path not in self._watched:
                mark = _mark(path)
                watched = _Watched(before=mark, seen=mark)
                run = None if mark is None else _look(path)
                if run is not None and run.outcome in GOOD:
                    watched.state = run.outcome
                else:
                    self._open[path] = watched
                self._watched[path] = watched

    def __enter__(self) -> "Progress":
        self._bar.start()
        self._id = self._bar.add_task("training", total=self._total() * PARTS, runs="")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._ends = ENDS
        self._update(everything=True)
        self._bar.stop()

    def summarise(self) -> int:
        """Prints the results of the runs.

        Returns:
            The exit status: 1 if a run is neither finished nor being trained by another process, otherwise 0.
        """
        states = [watched.state for watched in self._watched.values()]
        finished, pruned, total = states.count("finished"), states.count("pruned"), len(states)
        elsewhere = [item for item in map(holder, self._open) if item is not None]
        if total > 1:
            self.say(f"{finished} of {total} runs finished{f', {pruned} pruned' if pruned else ''}.")
        if elsewhere:
            who = sorted({f"process {item.get('pid')} on {item.get('host')}" for item in elsewhere})
            runs = "1 run is" if len(elsewhere) == 1 else f"{len(elsewhere)} runs are"
            self.say(f"{runs} being trained by other processes: {', '.join(who[:3])}{', ...' if len(who) > 3 else ''}.")
        if self._watched:
            out = str(next(iter(self._watched)).parent)
            commands = ["gatelab", "compare", out], ["gatelab", "report", out, "-o", "report.html"]
            self.say(f"Next: {'   '.join(map(shlex.join, commands))}")
        return 0 if finished + pruned + len(elsewhere) == total else 1

    def _watch(self) -> None:
        pause = SECONDS_BETWEEN_LOOKS
        while not self._stop.wait(pause):
            began = time.thread_time()
            self._update()
            pause = max(SECONDS_BETWEEN_LOOKS, (time.thread_time() - began) / SHARE_OF_TIME)

    def _update(self, everything: bool = False) -> None:
        for path, watched in list(self._open.items()):
            seen = _mark(path)
            if seen == watched.before or (seen == watched.seen and not everything):
                continue
            run = _look(path)
            if run is None:  # an incomplete run: its process was killed, or is about to write the rest
                continue
            watched.seen, watched.state = seen, run.outcome
            if run.outcome in self._ends:
                watched.done = 1.0
                del self._open[path]
                self.say(_line(run))
            elif run.state == "running":
                watched.done = run.share
        ended, total = len(self._watched) - len(self._open), self._total()
        done = ended + sum(watched.done for watched in list(self._open.values()))
        self._bar.update(self._id, completed=done * PARTS, total=total * PARTS, runs=f"{ended}/{total} runs")

    def _total(self) -> int:
        return max(self._expected, len(self._watched))

    def say(self, *lines: str) -> None:
        """Prints lines above the bar."""
        for line in lines:
            self.console.print(line, highlight=False, soft_wrap=True)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """A value that changes when a status is replaced."""
    try:
        found = (path / "status.json").stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _look(path: Path) -> Run | None:
    try:
        return read_run(path)
    except UserError:
        return None  # not begun, or just being written


def _line(run: Run) -> str:
    """The result of a run, in one line."""
    step = run.step
    if run.state == "pruned":
        return f"{run.path.name}  pruned at step {step}"
    if (damage := run.damage()) is not None:
        return f"{run.path.name}  finished, but {damage.rstrip('.')}; the same command completes it"
    if run.state == "preempted":
        return f"{run.path.name}  stopped at step {step}; the same command resumes it"
    if run.state == "failed":
        error = " ".join(str(run.status.get("error", "no error was recorded")).split())
        return f"{run.path.name}  failed at step {step}: {error} See {run.path / 'status.json'}"
    result: dict[str, Any] = run.summary()
    metric = result["metric"]
    value, chance, seconds = (
        _formatted(item, digits)
        for item, digits in ((result["test"][metric], ".4g"), (result.get("chance"), ".4g"), (result.get("wall_seconds"), ".0f"))
    )
    return f"{run.path.name}  test {metric} {value} (chance {chance})  {result.get('steps', '?')} steps  {seconds} s"


def _formatted(value: Any, digits: str) -> str:
    """A number of a summary; ? if another program has replaced it."""
    try:
        return format(float(value), digits)
    except (TypeError, ValueError, OverflowError):
        return "?"
