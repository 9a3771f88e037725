"""From printed source to a module of kernels. Triton reads the source of its functions from a file in the kernel cache."""

import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import tempfile
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from gatelab.kernels.cpu.build import cache_folder
from gatelab.process.cache import prepare


class _Loader(importlib.machinery.SourceFileLoader):
    """A loader that writes no bytecode."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        pass

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        """Compiles the file that was just compared with the printed source, and ignores existing bytecode."""
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)


@functools.cache
def module_of(source: str, name: str) -> ModuleType:
    """The module of a source; Triton compiles its kernels when they are first launched.

    Args:
        source: the source of the whole module.
        name: the beginning of the file name.
    """
    key = hashlib.sha256(source.encode()).hexdigest()[:16]
    stem = re.sub(r"\W+", "_", name, flags=re.ASCII)[:64] or "kernel"
    path = _written(source, f"{stem}-{key}.py")
    loader = _Loader(f"gatelab_kernel_{key}", str(path))
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _written(source: str, name: str) -> Path:
    """A file with exactly this content: in the cache folder, or in a temporary one if that cannot be used."""
    folder = cache_folder()
    if prepare(folder) is None:
        try:
            return _in(folder, source, name)
        except OSError:  # read-only or full
            pass
    return _in(Path(tempfile.mkdtemp(prefix="gatelab-")), source, name)


def _in(folder: Path, source: str, name: str) -> Path:
    path = folder / name
    if not path.is_file() or path.is_symlink() or path.read_bytes() != source.encode():
        handle, temporary = tempfile.mkstemp(dir=folder, prefix="build-", suffix=".py")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        os.replace(temporary, path)
    return path
