"""From C source to a loaded library: compiled once on each machine, then taken from the user's cache.

A file of the cache is called `<name>-<key>-<content>.so`. The key is a hash of all that decides the machine code: source, flags,
compiler, CPU features; so machines that share a home directory do not mix their libraries. The content is a hash of the file
itself, because a truncated library can kill the process that maps it: it is read and compared before it is loaded. With the
hash in the name, one rename is enough to put a file in place.

`CC` names another compiler; for the folder, see `gatelab.process.cache`.
"""

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gatelab.kernels.cpu.compiler import (
    FLAGS,
    INSTALL,
    LIBRARIES,
    NATIVE,
    BuildError,
    CompilerError,
    compiler,
    compiler_version,
    cpu_features,
    require_compiler,
    run_compiler,
)
from gatelab.process import cache
from gatelab.process.cache import prepare, read_private, unsafe
from gatelab.process.identity import process_alive, this_process

FORMAT = 1  # enters the key: increase it when older files must no longer be loaded
WORK = "build-"  # folders of running compilations, inside the cache so that a rename is atomic
OWNER = "owner.json"  # the file in each of them that records the compiling process
_OLD_SECONDS = 86400.0  # longer than any compilation
_OURS = re.compile(r"\w+-[0-9a-f]{16}(-[0-9a-f]{16}\.so|\.c|\.log|\.py)", re.ASCII)

_log = logging.getLogger(__name__)
_loaded: dict[str, ctypes.CDLL] = {}
_failed: dict[str, str] = {}
_said: set[str] = set()
_lock = threading.Lock()


class CachedFile(NamedTuple):
    """A file of the cache: a library, the equations of a cell in C, or source and log of a failed compilation.

    Attributes:
        path: its path.
        size: bytes.
        modified: seconds since the epoch.
    """

    path: Path
    size: int
    modified: float


class _Compilation(NamedTuple):
    """One compilation: `stem` is `<name>-<key>` with the first 16 digits of the key."""

    program: str
    source: str
    flags: tuple[str, ...]
    key: str
    stem: str


def load(source: str, name: str, flags: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The library of a C source, compiled if neither this process nor the cache has it.

    Args:
        source: one C file. `const char gatelab_key[]` is added to it.
        name: the beginning of the file name; unsuitable characters become `_`.
        flags: further flags of the compiler, after `FLAGS`.

    Raises:
        BuildError: the compiler is missing or refuses the source. This process does not try the same source again.
    """
    program = require_compiler()
    parts = [FORMAT, source, FLAGS, NATIVE, LIBRARIES, flags, program, compiler_version(program), cpu_features()]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    with _lock:
        if key in _failed:
            raise BuildError(_failed[key])
        if key not in _loaded:
            try:
                _loaded[key] = _obtain(_compilation(program, source, name, flags, key))
            except BuildError as error:
                _failed[key] = str(error)
                raise
        return _loaded[key]


def cache_folder() -> Path:
    """Where libraries are kept."""
    return cache.cache_folder("kernels")


def cache_problem() -> str | None:
    """Why the cache folder cannot be used, in a few words, or None. Nothing is created or changed."""
    folder = cache_folder()
    if os.path.lexists(folder) or not folder.is_absolute():
        return unsafe(folder) or (None if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written")
    above = next((parent for parent in folder.parents if os.path.lexists(parent)), folder)
    if os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK):
        return None
    return f"it cannot be created below '{above}'"


def entries() -> list[CachedFile]:
    """All files of gatelab in the cache folder, by name."""
    found = []
    for path in _files(cache_folder()):
        with contextlib.suppress(OSError):  # another process has just removed it
            status = path.lstat()
            found.append(CachedFile(path, status.st_size, status.st_mtime))
    return sorted(found)


def clear() -> int:
    """Removes all files of gatelab from the cache folder; other files stay. Loaded libraries keep working.

    Returns:
        The number of files removed.
    """
    folder = cache_folder()
    count = 0
    for path in _files(folder):
        with contextlib.suppress(OSError):
            path.unlink()
            count += 1
    for work in _listing(folder):
        if work.name.startswith(WORK) and not work.is_symlink():
            shutil.rmtree(work, ignore_errors=True)
    return count


def trial() -> float:
    """Compiles, loads and calls a function of two lines, without the cache.

    Returns:
        Wall-clock seconds.

    Raises:
        BuildError: it does not work.
    """
    source = "#include <math.h>\n#include <pthread.h>\ndouble gatelab_trial(double x) { return sqrt(x); }\n"
    started = time.perf_counter()
    library = _privately(_compilation(require_compiler(), source, "trial", (), hashlib.sha256(source.encode()).hexdigest()))
    function = library.gatelab_trial
    function.argtypes, function.restype = [ctypes.c_double], ctypes.c_double
    if function(4.0) != 2.0:
        raise BuildError(f"Code compiled by '{compiler()}' computes wrong numbers; install another compiler: {INSTALL}.")
    return time.perf_counter() - started


def _compilation(program: str, source: str, name: str, flags: tuple[str, ...], key: str) -> _Compilation:
    stem = re.sub(r"\W+", "_", name, flags=re.ASCII)[:64] or "kernel"
    return _Compilation(program, f'{source}\nconst char gatelab_key[] = "{key}";\n', flags, key, f"{stem}-{key[:16]}")


def _obtain(compilation: _Compilation) -> ctypes.CDLL:
    """The library from the cache, or compiled into it, or compiled only for this process if the cache cannot be used."""
    folder = cache_folder()
    problem = prepare(folder)
    if problem is None:
        library = _from_cache(compilation, folder)
        if library is not None:
            return library
        try:
            return ctypes.CDLL(str(_compile(compilation, folder)))
        except OSError as error:  # read-only, full, or mounted with noexec
            problem = error.strerror or str(error)
        except CompilerError as error:  # the source is wrong, or the disk was full: the temporary folder will show which
            problem = error.first
    library = _privately(compilation)
    _say(f"The kernel cache '{folder}' is not used; each process compiles for itself: {problem}.")
    return library


def _privately(compilation: _Compilation) -> ctypes.CDLL:
    """Compiles into a temporary folder, which is removed afterwards; the library stays loaded.

    Raises:
        BuildError: this does not work either.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="gatelab-", ignore_cleanup_errors=True) as folder:
            return ctypes.CDLL(str(_compile(compilation, Path(folder))))
    except OSError as error:
        reason = error.strerror or str(error)
        raise BuildError(
            f"The kernel '{compilation.stem}' can be kept neither in '{cache_folder()}' nor in a temporary folder ({reason}); "
            "set GATELAB_CACHE or TMPDIR to your own folder that has free space and allows executing files."
        ) from error
    except CompilerError as error:
        first = error.first.rstrip(".")
        raise BuildError(
            f"'{compilation.program}' does not compile the kernel '{compilation.stem}': {first}. {_keep(compilation, error.log)}"
        ) from error


def _from_cache(compilation: _Compilation, folder: Path) -> ctypes.CDLL | None:
    """The library, if the cached file is whole, belongs to the user and has our key. Other files of that name are removed."""
    for path in _listing(folder):
        if not (path.name.startswith(f"{compilation.stem}-") and _OURS.fullmatch(path.name)):
            continue
        content, reason = read_private(path)
        if not reason and not path.stem.endswith(hashlib.sha256(content).hexdigest()[:16]):
            reason = "it is damaged"
        # Searched in the bytes, not by loading it: code of a foreign file must never run.
        if not reason and compilation.key.encode() not in content:
            reason = "it is another library"
        if not reason:
            with contextlib.suppress(OSError):
                return ctypes.CDLL(str(path))
            reason = "it cannot be loaded"
        _say(f"The kernel '{path}' is not used, but compiled again: {reason}.")
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _compile(compilation: _Compilation, folder: Path) -> Path:
    """Compiles in the cache folder, then renames the library into place.

    Raises:
        OSError: the folder cannot be written.
        CompilerError: the compiler ended with an error.
    """
    _clear_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=WORK, dir=folder, ignore_cleanup_errors=True) as work:
        Path(work, OWNER).write_text(json.dumps(this_process()))
        built = run_compiler(compilation.program, Path(work), compilation.stem, compilation.source, compilation.flags)
        built.chmod(0o700)  # whatever the umask: a file that others may write would not be loaded
        path = folder / f"{compilation.stem}-{hashlib.sha256(built.read_bytes()).hexdigest()[:16]}.so"
        os.replace(built, path)
    return path


def _clear_abandoned(folder: Path) -> None:
    """Removes the folders of compilations whose process was killed.

    A process on another machine, or one that has not recorded itself yet, cannot be checked: its folder is removed when it is
    old.
    """
    for path in _listing(folder):
        if not path.name.startswith(WORK) or path.is_symlink():
            continue
        with contextlib.suppress(OSError):  # another process is removing it
            record = _owner(path)
            if time.time() - path.stat().st_mtime > _OLD_SECONDS or (record is not None and not process_alive(record)):
                shutil.rmtree(path, ignore_errors=True)


def _owner(work: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((work / OWNER).read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _keep(compilation: _Compilation, output: str) -> str:
    """Keeps source and log of a failed compilation for the user; returns a sentence that names the files."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        for place in (folder if unsafe(folder) is None else None, None):
            with contextlib.suppress(OSError):
                path = (place or Path(tempfile.mkdtemp(prefix="gatelab-failed-"))) / compilation.stem
                path.with_suffix(".c").write_text(compilation.source, encoding="utf-8")
                path.with_suffix(".log").write_text(output, encoding="utf-8")
                return f"Source and messages: {path}.c, {path}.log."
    return "Source and messages could not be kept."


def _files(folder: Path) -> Iterator[Path]:
    """All files of gatelab, including those of running or interrupted compilations."""
    for path in _listing(folder):
        if path.name.startswith(WORK) and path.is_dir() and not path.is_symlink():
            yield from _listing(path)
        elif _OURS.fullmatch(path.name):
            yield path


def _listing(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except OSError:
        return []


def _say(message: str) -> None:
    if message not in _said:
        _said.add(message)
        _log.warning("%s", message)


def _unlock() -> None:
    """Replaces the lock: a thread of the parent, which does not exist here, may have held it when this process was forked."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_unlock)

__all__ = [
    "BuildError",
    "CachedFile",
    "cache_folder",
    "cache_problem",
    "clear",
    "compiler",
    "compiler_version",
    "cpu_features",
    "entries",
    "load",
    "trial",
]
