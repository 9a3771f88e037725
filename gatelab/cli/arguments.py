"""Arguments that the commands over run directories share."""

import argparse
import errno
import os
import shlex
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gatelab.errors import UserError
from gatelab.options.bounds import shown
from gatelab.process.output import say
from gatelab.runs import Run
from gatelab.training.trained import changed_since

_NAMED = 10  # sweeps, in a message
_LOOKED_IN = 1000  # folders


def output_file(given: str | Path, name: str) -> Path:
    """A file that a command is to write, checked before it computes for minutes.

    Args:
        given: its path. Folders above it that do not exist are not made here.
        name: of the argument, for the message.

    Raises:
        UserError: no file can be written there.
    """
    path = Path(given)
    try:
        if not str(given).strip() or path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        there = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"{name} is {shown(str(given))}, which cannot be written: {error.strerror}. Give another file.") from error
    except ValueError as error:  # a null byte
        raise UserError(f"{name} is {shown(str(given))}, which cannot be the name of a file.") from error
    return path


def add_run_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search."""
    parser.add_argument("folders", nargs="*", default=["runs"], metavar="RUNS", help="folders with runs; default: runs")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Adds where sweeps are looked for by their names."""
    parser.add_argument("--out", metavar="RUNS", help="the `out` of the sweep; default: runs, then the folders beside it")


def sweep_folder(given: str, out: str | None = None) -> Path:
    """The folder of a sweep, `<out>/sweeps/<name>`.

    Args:
        given: that folder, the sweep's name, or the folder of runs if there is only one sweep in it.
        out: where a name is looked for; None: in `runs`, then in all folders here.

    Raises:
        UserError: there is no such sweep, or there are several.
    """
    if (own := sweeps_in(Path(given))) or is_sweep(Path(given)):
        if len(own) > 1:
            names = ", ".join(path.name for path in own[-_NAMED:])
            raise UserError(f"There are {len(own)} sweeps in '{given}': {names}. Give the folder of one, as in {own[-1]}.")
        return own[0] if own else Path(given)
    known = {folder: sweeps_in(folder) for folder in ([Path(out)] if out else [Path("runs"), *_folders_here()])}
    found = [path for paths in known.values() for path in paths if path.name == given]
    if len(found) > 1 and found[0].parent.parent != Path(out or "runs"):
        raise UserError(f"There are several sweeps '{given}': {', '.join(map(str, found))}. Give the folder of one.")
    if found:
        return found[0]
    named = {folder: ", ".join(path.name for path in paths[-_NAMED:]) for folder, paths in known.items() if paths}
    there = "".join(f" Below {folder} there are: {names}." for folder, names in named.items())
    raise UserError(
        f"There is no sweep '{given}'.{there} Give its name, with --out where its runs are elsewhere than in runs, or its folder, "
        "as in runs/sweeps/<name>."
    )


def is_sweep(folder: Path) -> bool:
    """Whether this is the folder of a sweep."""
    return os.path.isfile(folder / "plan.json")


def sweeps_in(folder: Path) -> list[Path]:
    """The folders of the sweeps of a folder of runs, by name."""
    return sorted(path.parent for path in folder.glob("sweeps/*/plan.json")) if os.path.isdir(folder) else []


def _folders_here() -> list[Path]:
    names = (entry.name for entry in os.scandir() if entry.is_dir())
    return [Path(name) for name in sorted(names) if name != "runs" and not name.startswith(".")][:_LOOKED_IN]


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search and the baseline."""
    add_run_folders(parser)
    parser.add_argument("--baseline", metavar="CELL", help="the cell that the others are compared with")


def say_changed(runs: Iterable[Run]) -> None:
    """Names on stderr the plugins that are no longer what these runs were trained with; the results stay what they are."""
    for path, count in changed_since(runs).items():
        what = "has changed since" if os.path.exists(path) else "is gone, and"
        whose = "one of these runs was" if count == 1 else f"{count} of these runs were"
        say(f"'{path}' {what} {whose} trained with it.", stderr=True)


def report_command(options: argparse.Namespace) -> str:
    """The command that writes the report of these folders, as a shell reads it."""
    baseline = ["--baseline", options.baseline] if options.baseline else []
    return shlex.join(["gatelab", "report", *options.folders, *baseline, "-o", getattr(options, "output", "report.html")])
