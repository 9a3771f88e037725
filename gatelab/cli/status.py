"""`gatelab status`: what the runs of a sweep are doing, once or until Ctrl-C."""

import contextlib
import time
from collections.abc import Sequence

from rich.live import Live

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.reading.status import overview
from gatelab.analysis.reading.terminal import json_ready, view
from gatelab.process.console import Console
from gatelab.process.output import say_json
from gatelab.runs.folders import folders_of

SECONDS_BETWEEN_LOOKS = 1.0


def run(runs: Sequence[str], out: str | None, watch: bool, format: str) -> int:
    """Prints where the runs stand, and on stderr what cannot be read; the exit status does not depend on the runs."""
    folders = folders_of(runs, out)
    if format == "json":
        say_json(json_ready(overview(folders)))
        return 0
    console = Console()
    if not watch or not console.is_terminal:  # a file or a pipe gets one look
        found = overview(folders)
        print_skipped(found.skipped, Console(stderr=True))
        console.print(view(found, console.width), soft_wrap=not console.is_terminal)
        return 0
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(view(overview(folders), console.width), console=console, auto_refresh=False) as live,
    ):
        while True:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            live.update(view(overview(folders), console.width), refresh=True)
    return 0
