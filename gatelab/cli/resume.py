"""`gatelab resume`: continues a sweep, by the commands that began it."""

import os
from collections.abc import Sequence
from pathlib import Path

from gatelab.cli.train import train
from gatelab.errors import UserError
from gatelab.process.output import say
from gatelab.runs.folders import sweep_folder
from gatelab.runs.sweep import commands, failed_runs, read_plan
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.recorded import check_command


def run(sweep: str, out: str | None, failed: bool, trust: bool) -> int:
    """Repeats every command of the sweep where it was given: finished runs are skipped, and interrupted ones resume.

    Returns:
        The exit status: 0, or 1 if a run failed, now or before.

    Raises:
        UserError: the sweep does not exist, it would train other runs than it planned, or it names code that must not be executed.
    """
    folder = sweep_folder(sweep, out).absolute()
    found = commands(folder)
    if not found:
        raise UserError(f"{folder / 'plan.json'} records no command. Run the original command again.")
    plan, planned = folder / "plan.json", {one.path.name for one in read_plan(folder)}
    # All of them are looked at, from the folder of the user, before the first one trains. What an earlier call has added goes.
    begun = [(_without_retry(check_command(command, trust, plan)), str(command.get("folder", ""))) for command in found]
    if not failed and failed_runs(folder):
        say("What failed before is left alone (machine.retry=none); --failed trains it again.", stderr=True)
    worst = 0
    for arguments, where in dict.fromkeys(begun):
        given = [*arguments, f"machine.retry={'all' if failed else 'none'}"]
        if Path(where).is_dir():
            os.chdir(where)  # what it names is relative to there
        else:  # it was moved, with what belongs to it or not
            given.append(f"out={compose.quoted(str(folder.parent.parent))}")
        worst = max(worst, train(given, planned))
    return worst


def _without_retry(arguments: Sequence[str]) -> tuple[str, ...]:
    return tuple(item for item in arguments if not item.startswith("machine.retry="))
