"""What commands make of their arguments: run directories and sweeps, cells and tasks, files to write."""

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
from gatelab.runs.sweep import read_plan
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


def sweep_folder(given: str, out: str | None = None) -> Path:
    """The folder of a sweep, `<out>/sweeps/<name>`.

    Args:
        given: that folder, the sweep's name, or the folder of runs if there is only one sweep in it.
        out: where a name is looked for; None: in `runs`, then in all folders here.

    Raises:
        UserError: the sweep does not exist, or there are several.
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
        f"There is no folder and no sweep '{given}'.{there} Give its name, with --out where its runs are elsewhere than in runs, "
        "or its folder, as in runs/sweeps/<name>."
    )


def folders_of(options: argparse.Namespace, later: bool = False) -> list[Path]:
    """The folders that `RUNS` stands for: of runs, or of a sweep that is given by its name.

    Args:
        options: of a command with `RUNS`.
        later: whether a folder may be made later.

    Raises:
        UserError: there is neither a folder nor a sweep of a name.
    """
    given = [options.out] if options.out and options.folders == ["runs"] else options.folders
    return [_folder(name, options.out, later) for name in given]


def _folder(given: str, out: str | None, later: bool) -> Path:
    if os.path.dirname(given) or (out in (None, given) and os.path.isdir(given)):
        return Path(given)
    try:
        return sweep_folder(given, out)
    except UserError:
        if later:
            return Path(given)
        raise


def run_folders(options: argparse.Namespace, later: bool = False) -> list[Path]:
    """As `folders_of`, with the run directories of a sweep in place of its folder."""
    found: list[Path] = []
    for folder in folders_of(options, later):
        planned = [one.path for one in read_plan(folder)] if is_sweep(folder) else [folder]
        found += planned if later or not is_sweep(folder) else filter(Path.is_dir, planned)
    return found


def is_sweep(folder: Path) -> bool:
    """Whether this is the folder of a sweep."""
    return os.path.isfile(folder / "plan.json")


def sweeps_in(folder: Path) -> list[Path]:
    """The folders of the sweeps of a folder of runs, by name."""
    return sorted(path.parent for path in folder.glob("sweeps/*/plan.json")) if os.path.isdir(folder) else []


def _folders_here() -> list[Path]:
    names = (entry.name for entry in os.scandir() if entry.is_dir())
    return [Path(name) for name in sorted(names) if name != "runs" and not name.startswith(".")][:_LOOKED_IN]


def say_changed(runs: Iterable[Run]) -> None:
    """Names on stderr the plugins that are no longer what these runs were trained with; the results stay what they are."""
    for path, count in changed_since(runs).items():
        what = "has changed since" if os.path.exists(path) else "is gone, and"
        whose = "one of these runs was" if count == 1 else f"{count} of these runs were"
        say(f"'{path}' {what} {whose} trained with it.", stderr=True)


def report_command(options: argparse.Namespace) -> str:
    """The command that writes the report of these folders, as a shell reads it."""
    baseline = ["--baseline", options.baseline] if options.baseline else []
    out = ["--out", options.out] if options.out else []
    level, unit = getattr(options, "level", None), getattr(options, "time", "steps")  # the dashboard has the defaults
    solved = [*([f"--level={level}"] if level is not None else []), *(["--time", unit] if unit != "steps" else [])]
    end = [*out, *baseline, *solved, "-o", getattr(options, "output", "report.html")]
    return shlex.join(["gatelab", "report", *options.folders, *end])
