"""The folders that a user means: of runs, and of sweeps by their name."""

import os
from collections.abc import Sequence
from pathlib import Path

from gatelab.errors import UserError
from gatelab.runs.sweep import read_plan

_NAMED = 10  # sweeps, in a message
_LOOKED_IN = 1000  # folders


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


def folders_of(runs: Sequence[str], out: str | None, later: bool = False) -> list[Path]:
    """The folders that `RUNS` stands for: of runs, or of a sweep that is given by its name.

    Args:
        runs: as given.
        out: where to look for sweeps.
        later: whether a folder may be made later.

    Raises:
        UserError: there is neither a folder nor a sweep of a name.
    """
    given = [out] if out and [*runs] == ["runs"] else runs
    return [_folder(name, out, later) for name in given]


def _folder(given: str, out: str | None, later: bool) -> Path:
    if os.path.dirname(given) or (out in (None, given) and os.path.isdir(given)):
        return Path(given)
    try:
        return sweep_folder(given, out)
    except UserError:
        if later:
            return Path(given)
        raise


def run_folders(runs: Sequence[str], out: str | None, later: bool = False) -> list[Path]:
    """As `folders_of`, with the run directories of a sweep in place of its folder."""
    found: list[Path] = []
    for folder in folders_of(runs, out, later):
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
