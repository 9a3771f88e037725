"""Descriptions of cells and tasks, kept in the user's cache: to make them takes torch, to show them does not.

Kept are those of what comes with gatelab, as JSON, under the hash of all that they are made from. What a user's file or another
package defines may depend on anything that it imports, and is described each time.
"""

import contextlib
import functools
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import gatelab
from gatelab.process.cache import cache_folder, prepare, read_private
from gatelab.runs.files import replacing
from gatelab.sweeps.jobs.conf import REGISTRIES
from gatelab.sweeps.naming import KINDS, entries_of
from gatelab.tasks import data_status

FORMAT = 2  # of the files
ROOMS = (
    "cells",
    "tasks",
    "options",
    "registry",
    "diagnostics",
    "training",
    "sweeps/jobs",
)  # their sources make it
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")

Descriptions = list[dict]  # of `gatelab.training.description`


def described(words: Sequence[str], command: str, kinds: Sequence[str] = KINDS, whole: bool = True) -> Descriptions:
    """The cell and the task that words name, in plain data.

    Args:
        words: as for `gatelab.sweeps.naming.entries_of`.
        command: for the message.
        kinds: what a name can be of.
        whole: whether to look again for data that were missing when the answer was kept; else the level of chance may be unknown.

    Raises:
        UserError: as `entries_of`.
    """
    file = _file(words, kinds)
    known = None if file is None else _read(file)
    if known is not None and not (whole and any(one.get("chance_problem") for one in known)):
        return known
    from gatelab.training.description import describe_entry  # with torch

    found = [describe_entry(kind, name, entry) for kind, name, entry in entries_of(words, command, kinds)]
    found = json.loads(json.dumps(found))  # the same whether it was kept or not: tuples are lists
    if file is not None and all(REGISTRIES[one["kind"]].is_built_in(one["name"]) for one in found):
        # A cache that is full or read-only saves no time, and costs no answer.
        with contextlib.suppress(OSError), replacing(file) as temporary:
            temporary.write_text(json.dumps({"words": list(words), "entries": found}))
            temporary.chmod(0o600)  # whatever the umask: what others may write is not read
    return found


def _file(words: Sequence[str], kinds: Sequence[str]) -> Path | None:
    """Where the answer is kept; None if it is not, because it would need a file of the user's, or no cache can be used."""
    added = any(registry.added() for registry in REGISTRIES.values())
    if added or any(word.endswith(".py") or word.lstrip("+").startswith("plugins") for word in words):
        return None
    folder = cache_folder("descriptions")
    parts = [FORMAT, list(words), list(kinds), _sources(), [item.state for item in data_status()]]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return None if prepare(folder) else folder / f"{key[:32]}.json"


@functools.cache
def _sources() -> str:
    """The hash of all that a description is made by."""
    digest, folder = hashlib.sha256(), Path(gatelab.__file__).parent
    for room in ROOMS:
        for path in sorted((folder / room).rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            digest.update(f"{package} {version(package)}\n".encode())
    return digest.hexdigest()


def _read(file: Path) -> Descriptions | None:
    content, problem = read_private(file)
    try:
        return None if problem else json.loads(content)["entries"]
    except (ValueError, KeyError, TypeError):  # it was cut off
        return None
