"""The printed equations of gatelab's own cells, kept in the kernel cache.

To trace a cell, torch imports its compiler, which takes longer than everything else that a cached kernel needs. The printed code
depends on files of gatelab, the options of the cell and the version of torch; their hash names the file. The equations of a
user's cell may depend on anything, and are traced in every process.
"""

import contextlib
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from gatelab.cells import CELLS, Cell
from gatelab.kernels.cpu import build
from gatelab.process import cache
from gatelab.process.identity import this_process


@functools.cache
def is_ours(kind: type[Cell]) -> bool:
    """Whether the equations are gatelab's own."""
    return kind.__module__.split(".")[:2] == CELLS.package.split(".")


def kept(cell: Cell, dtype: torch.dtype, printed: Callable[[], str]) -> str:
    """The result of `printed`, from the cache if it is there.

    Args:
        cell: the cell.
        dtype: the number format of the equations.
        printed: traces and prints them.

    Raises:
        NotTraceableError: as `printed`.
    """
    if not is_ours(cell.origin):
        return printed()
    parts = [build.FORMAT, torch.__version__, _sources(), type(cell).__module__, repr(cell), str(dtype)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    folder, name = build.cache_folder(), f"{CELLS.name_of(cell.origin)}_step-{key[:16]}.c"
    if cache.prepare(folder) is not None:
        return printed()
    head, _, text = cache.read_private(folder / name)[0].decode("utf-8", "replace").partition("\n")
    if head == _head(key, text):
        return text
    text = printed()
    with contextlib.suppress(OSError):  # a full or read-only cache only costs time
        _write(folder / name, f"{_head(key, text)}\n{text}")
    return text


def _head(key: str, text: str) -> str:
    """The first line of the file: its key, and the hash of the rest, because the file may have been cut off."""
    return f"// {key} {hashlib.sha256(text.encode()).hexdigest()}"


@functools.cache
def _sources() -> str:
    """The hash of all sources that a printed cell depends on."""
    digest = hashlib.sha256()
    for room in ("cells", "kernels"):
        for path in sorted((Path(__file__).parents[2] / room).rglob("*.py")):
            digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix=build.WORK, dir=path.parent, ignore_cleanup_errors=True) as work:
        Path(work, build.OWNER).write_text(json.dumps(this_process()))
        file = Path(work, path.name)
        file.write_text(text, "utf-8")
        file.chmod(0o600)
        os.replace(file, path)
