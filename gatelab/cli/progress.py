"""One progress bar over all runs of a command, read from their directories, and the summary at its end."""

import threading
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gatelab.registry import UserError
from gatelab.runs import Run, read_run

SECONDS_BETWEEN_LOOKS = 0.5
PARTS = 1000  # a run counts as this many units of the bar


class Progress:
    """Watches run directories from a thread while they are being written.

    Args:
        paths: the run directories, which need not exist yet.
        show: whether to draw the bar; the line for each ended run is printed anyway.
        expected: how many runs there will be, of a search that names them with `add` as it goes.
    """

    def __init__(self, paths: list[Path], show: bool = True, expected: int = 0) -> None:
        self.paths = list(dict.fromkeys(paths))
        self._expected = expected
        self.console = Console(stderr=True)
        self._before = {path: self._look(path) for path in self.paths}
        self._ended: dict[Path, Run] = {path: run for path, run in self._before.items() if run and run.state == "finished"}
        self._already = len(self._ended)
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

    def __enter__(self) -> "Progress":
        if self._already:
            self.console.print(f"{self._already} of {len(self.paths)} runs are finished already.", highlight=False)
        self._bar.start()
        self._id = self._bar.add_task("training", total=self._total() * PARTS, runs="")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._update()
        self._bar.stop()

    def add(self, paths: list[Path]) -> None:
        """Further runs, which are about to begin."""
        for path in paths:
            if path not in self._before:
                self._before[path] = self._look(path)
                self.paths.append(path)

    def summarise(self) -> int:
        """Prints what became of the runs.

        Returns:
            The exit status: 0 if all are finished or were pruned, else 1.
        """
        states = [run.state for run in self._ended.values()]
        finished, pruned = states.count("finished"), states.count("pruned")
        if len(self.paths) > 1:
            also = f", {pruned} pruned" if pruned else ""
            self.console.print(f"{finished} of {len(self.paths)} runs finished{also}.", highlight=False)
        if not self.paths:
            return 0
        out = self.paths[0].parent
        self.console.print(f"Next: gatelab compare {out}   gatelab report {out} -o report.html", highlight=False, soft_wrap=True)
        return 0 if finished + pruned == len(self.paths) else 1

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_LOOKS):
            self._update()

    def _update(self) -> None:
        done = 0.0
        for path in [*self.paths]:
            if path in self._ended:
                done += 1
                continue
            run = self._look(path)
            if run is None or run.status == getattr(self._before[path], "status", None):
                continue
            if run.state == "running":
                done += min(1.0, run.status["step"] / run.status["max_steps"])
            else:
                done += 1
                self._ended[path] = run
                self.console.print(_line(run), highlight=False, soft_wrap=True, markup=False)
        runs = f"{len(self._ended)}/{self._total()} runs"
        self._bar.update(self._id, completed=done * PARTS, total=self._total() * PARTS, runs=runs)

    def _total(self) -> int:
        return max(self._expected, len(self.paths))

    @staticmethod
    def _look(path: Path) -> Run | None:
        try:
            return read_run(path)
        except UserError:
            return None  # not begun, or being written this moment


def _line(run: Run) -> str:
    """What a run came to, in one line."""
    if run.state == "pruned":
        return f"{run.path.name}  pruned at step {run.status['step']}"
    if run.state == "failed":
        return f"{run.path.name}  failed at step {run.status['step']}: {run.status['error']}"
    result: dict[str, Any] = run.summary()
    metric = result["metric"]
    value, chance = float(result["test"][metric]), float(result["chance"])
    return (
        f"{run.path.name}  test {metric} {value:.4g} (chance {chance:.4g})  {result['steps']} steps  {result['wall_seconds']:.0f} s"
    )
