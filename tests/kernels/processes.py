"""Processes that load a small kernel. What a process has loaded once it never reads again, hence one for each look."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROGRAM = """
import ctypes, errno, logging, os, sys, tempfile, threading, types
logging.basicConfig(format="%(message)s")
import gatelab
for name in ("kernels", "kernels.cpu"):  # without the import of torch, which takes longer than all else here
    package = types.ModuleType(f"gatelab.{name}")
    package.__path__ = [os.path.join(gatelab.__path__[0], *name.split("."))]
    sys.modules[f"gatelab.{name}"] = package
from gatelab.kernels.cpu import build, compiler
source, name, code = sys.argv[1:]
def load():
    return build.load(source, name)
try:
    exec(code)
except build.BuildError as error:
    print(f"BuildError: {error}")
"""
ANSWER = "int answer(void) { return 42; }"
LOAD = "print(load().answer())"


class Said(NamedTuple):
    """What a process printed: results on stdout, warnings on stderr."""

    out: str
    err: str


def start(code: str = LOAD, source: str = ANSWER, name: str = "answer") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, source, name, code]
    return subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(code: str = LOAD, source: str = ANSWER, name: str = "answer") -> Said:
    process = start(code, source, name)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return Said(out.strip(), err.strip())


def library(cache: Path) -> Path:
    [path] = cache.glob("*.so")
    return path
