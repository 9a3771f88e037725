"""Finds the code that a run was trained with, and checks whether it is unchanged and may be executed."""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gatelab.errors import UserError
from gatelab.registry.plugins import Plugin, absolute, read_plugin
from gatelab.runs import Run, roles
from gatelab.runs.files import read_formatted

TRUST = "--trust"


def check_trust(plugins: Iterable[Plugin], trust: bool, whose: str) -> None:
    """Refuses code that the user has not named and that does not lie below the current folder.

    Code in a run directory is refused as well, because it came with the run.

    Args:
        plugins: read, not executed yet.
        trust: whether the user has asked to execute it.
        whose: the file that names them, as in "runs/x/config.json".

    Raises:
        UserError: the user must confirm it.
    """
    foreign = [file for plugin in plugins for file in plugin.files if not _is_here(file)]
    if foreign and not trust:
        files = ", ".join(f"'{file}'" for file in foreign)
        raise UserError(
            f"{whose} names code that does not lie under the current folder: {files}. Nothing of it was executed. "
            f"Read it, then add {TRUST} to execute it."
        )


def _is_here(file: Path) -> bool:
    real, here = file.resolve(), Path.cwd().resolve()
    in_a_run = any((folder / "config.json").exists() and (folder / "status.json").exists() for folder in real.parents)
    return real.is_relative_to(here) and here != Path(here.anchor) and not in_a_run


def trained_with(run: Run, trust: bool) -> dict[Path, Plugin]:
    """The user's files that a run was trained with, with the contents of that time; read, not executed.

    The files themselves if they have not changed; otherwise, with `trust`, the copies in the run directory, which replace
    the files: they read other files from the original folder.

    Returns:
        The plugins by the path that they were read from.

    Raises:
        UserError: a file has changed or is gone, or the user must confirm its execution.
    """
    found: dict[Path, tuple[Path, Plugin]] = {}
    for role, path, digest in _recorded(run):
        if path in found:
            continue
        now = _unchanged(path, digest)
        if now is not None:
            check_trust([now], trust, str(run.path / "config.json"))
            found[path] = now.path, now
        else:
            copy = _copy(run, role, path, digest, trust)
            found[path] = copy.path, dataclasses.replace(copy, path=absolute(path))
    return dict(found.values())


def check_data(run: Run, hashes: Mapping[str, str]) -> None:
    """Refuses data that differ from those that a run was trained with.

    Args:
        hashes: the hashes of the present data.

    Raises:
        UserError: with the name of the file.
    """
    try:
        noted = read_formatted(run.path / "provenance.json").get("data_sha256")
    except UserError:
        return
    for name, digest in hashes.items():
        if isinstance(noted, Mapping) and noted.get(name, digest) != digest:
            raise UserError(f"{run.path} was trained with data '{name}' that have changed since. Restore them.")


def changed_since(runs: Iterable[Run]) -> dict[Path, int]:
    """The user's files that have changed since runs were trained with them, and the number of those runs."""
    states: dict[tuple[Path, str | None], bool] = {}
    changed: Counter[Path] = Counter()
    for run in runs:
        recorded = {(path, digest) for _, path, digest in (_recorded(run) if run.config.get("plugins") else ())}
        for one in recorded:
            if one not in states:
                states[one] = _unchanged(*one) is None
            changed[one[0]] += states[one]
    return {path: count for path, count in changed.items() if count}


def _recorded(run: Run) -> list[tuple[str, Path, str | None]]:
    """Role, path and digest of every plugin that a run uses; None for a digest that was not recorded."""
    try:
        origin = read_formatted(run.path / "provenance.json")
    except UserError:
        origin = {}
    noted, hashes = origin.get("plugins"), origin.get("plugin_sha256")
    found: list[tuple[str, Path, str | None]] = []
    for role, name in roles(run.config).items():
        one: Any = noted.get(role) if isinstance(noted, Mapping) else None
        if isinstance(one, Mapping) and Path(str(one.get("path"))).stem == name:
            found.append((role, Path(str(one["path"])), str(one.get("sha256"))))
        elif not isinstance(noted, Mapping):  # of an earlier version, which noted all plugins of the command
            files = run.config.get("plugins")
            paths = [str(path) for path in files if Path(str(path)).stem == name] if isinstance(files, list) else []
            found += [(role, Path(path), hashes.get(path) if isinstance(hashes, Mapping) else None) for path in paths]
    return found


def _unchanged(path: Path, digest: str | None) -> Plugin | None:
    """The file, if its digest is unchanged."""
    try:
        plugin = read_plugin(path)
    except UserError:  # it is gone, or is no longer valid Python
        return None
    # Earlier versions hashed the bytes of the file.
    then = (None, plugin.digest, hashlib.sha256(plugin.sources[plugin.path.name]).hexdigest())
    return plugin if digest in then else None


def _copy(run: Run, role: str, path: Path, digest: str | None, trust: bool) -> Plugin:
    what = "has changed since" if os.path.exists(path) else "is gone"
    copy = run.path / "plugins" / role / path.name
    begin = f"{run.path} was trained with '{path}', which {what}"
    if not copy.is_file():
        raise UserError(f"{begin}, and the run has no copy of it. Restore the file.")
    plugin = read_plugin(copy)
    if plugin.digest != digest:
        raise UserError(f"{begin}, and its copy '{copy}' has changed as well. Restore one of them.")
    if not trust:
        raise UserError(f"{begin}. Restore it, or read the copy '{copy}', then add {TRUST} to execute that.")
    return plugin
