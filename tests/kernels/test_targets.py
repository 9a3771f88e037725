"""The C of cells on other processors and by another compiler: no warnings, and the numbers of the eager loop.

A few cells stand for all, since the same lines are compiled: together they have every operator and every declaration.
"""

import os
import platform
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from cells.variants import DEFAULTS, Variant
from designs import over
from kernels.covering import covering, naming
from kernels.test_cpu import TOLERANCE, agree, compute, poisoned, some_lengths  # noqa: F401 - `poisoned` is for every test here
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels.cpu import _call, build, source
from gatelab.kernels.cpu._source import FIELDS
from gatelab.kernels.cpu.compiler import FLAGS, LIBRARIES

pytestmark = pytest.mark.slow

# The frame around the equations is the same for all cells: what one of them leaves unused or makes constant is no mistake.
STRICT = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function", "-Wno-constant-logical-operand")
# AVX2 and NEON in float32 are compiled as users compile them. For the other half of the matrix, the same lines of C, -O1 takes a
# third of the time.
LESS = "-O1"
OPTIMISE = {torch.float32: (), torch.float64: (LESS,)}
SHAPES = [(3, 7, 5, 9), (6, 4, 17, 35)]  # B, T, D, H; H is no multiple of any vector

# Name: compiler, Debian's package, flags behind the native ones, bytes of a vector (None: those of this machine), what it needs.
TARGETS = {
    "AVX2": ("gcc", "gcc", ("-march=haswell",), 32, ("avx2", "fma", "bmi1", "bmi2", "movbe")),
    "SSE2": ("gcc", "gcc", ("-march=x86-64", LESS), 16, ()),
    "clang": ("clang", "clang", (LESS,), None, ()),
}

each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def cannot(reason: str) -> NoReturn:
    """Skips the test; in continuous integration, which installs everything, fails it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, package: str) -> str:
    path = shutil.which(name)
    return path or cannot(f"there is no {name} here; on Debian: apt-get install {package}")


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Kernels are compiled for this target; the bytes of its vectors."""
    compiler, package, flags, width, features = TARGETS[request.param]
    if width and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"{request.param} is of x86-64, and this is {platform.machine()}")
    missing = set(features) - set(build.cpu_features().split())
    if missing:
        cannot(f"this processor has no {', '.join(sorted(missing))}")
    monkeypatch.setenv("CC", program(compiler, package))
    load = build.load
    dtype = request.getfixturevalue("dtype")
    monkeypatch.setattr(build, "load", lambda source, name: load(source, name, (*flags, *STRICT, *OPTIMISE[dtype])))
    _call.library.cache_clear()
    yield width
    _call.library.cache_clear()


@each_dtype
def test_on_every_target_cells_agree_with_eager(target: int | None, dtype: torch.dtype) -> None:
    for cell in covering():
        with naming(cell):
            if target is not None:  # the flags had their effect
                assert _call.library(cell, dtype).lanes == target // dtype.itemsize
            for shape, lengths in zip(SHAPES, (None, some_lengths(SHAPES[1])), strict=True):
                torch.set_num_threads(1)
                expected = compute(cell, "eager", shape, torch.float64, lengths)
                torch.set_num_threads(2)
                agree(compute(cell, "cpu", shape, dtype, lengths), expected, TOLERANCE[dtype])


@over("variant", DEFAULTS, compiler=["gcc", "clang"], dtype=TOLERANCE)
def test_no_compiler_warns(variant: Variant, compiler: str, dtype: torch.dtype, tmp_path: Path) -> None:
    flags = [*(flag for flag in FLAGS if flag != "-shared"), *STRICT, "-fsyntax-only"]
    (tmp_path / "cell.c").write_text(source(variant.cell(), dtype))
    subprocess.run([program(compiler, compiler), *flags, "cell.c"], cwd=tmp_path, check=True)


def record(monkeypatch: pytest.MonkeyPatch, compute: Callable[[], Any]) -> list[tuple[bool, int | Tensor | None]]:
    """The argument block of a forward and a backward call, as one, word by word: whether it is written, and what is there."""
    values: dict[str, Any] = {}
    blocks: list[_call.ArgumentBlock] = []
    fill = _call.ArgumentBlock.set

    def listen(block: _call.ArgumentBlock, given: dict[str, Any]) -> _call.ArgumentBlock:
        values.update(given)
        blocks.append(block)
        return fill(block, given)

    monkeypatch.setattr(_call.ArgumentBlock, "set", listen)
    compute()
    counts = {"VECTORS": len(values["p"]), "STATES": len(values["s0"])}
    counts |= {"MATRICES": len(values.get("late", ())), "GIVEN": len(values.get("given", ()))}
    words = []
    for name, kind in FIELDS:
        if kind == "long":  # the sizes stand in both, the strides of a pass in its own
            words.append((False, max(block.words[block.form.offsets[name]] for block in blocks)))
            continue
        _, bracket, of = kind.partition("[")
        items = (*values.get(name, [None] * counts[of[:-1]]), None) if bracket else (values.get(name),)
        # The kernel's own memory is no tensor, and its size is another on another machine.
        words += [(not kind.startswith("const"), item if isinstance(item, int | Tensor) else None) for item in items]
    return words


def as_bytes(written: bool, word: int | Tensor | None) -> bytes:
    """A word as replay.c reads it; nothing of what was computed is in it."""
    if not isinstance(word, Tensor):
        return struct.pack("=q", 0) if word is None else struct.pack("=qq", -1, word)
    assert word.is_contiguous()
    content = bytes(word.nbytes) if written else word.detach().numpy().tobytes()
    return struct.pack("=q", len(content)) + content


@each_dtype
def test_on_neon_a_recorded_call_gives_the_same(dtype: torch.dtype, tmp_path: Path) -> None:
    for cell in covering():
        with naming(cell), pytest.MonkeyPatch.context() as patch:
            replayed(cell, dtype, tmp_path, patch)


def replayed(cell: Cell, dtype: torch.dtype, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Compiles the cell for NEON and has it compute what it computed here."""
    compiler, emulator = program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"), program("qemu-aarch64", "qemu-user")
    (folder / "cell.c").write_text(source(cell, dtype) + Path(__file__).with_name("replay.c").read_text())
    flags = [flag for flag in FLAGS if flag not in ("-fPIC", "-shared")]
    subprocess.run(
        [compiler, *flags, *STRICT, *OPTIMISE[dtype], "-static", "cell.c", "-o", "cell", *LIBRARIES], cwd=folder, check=True
    )
    torch.set_num_threads(2)
    words = record(patch, lambda: compute(cell, "cpu", SHAPES[1], dtype, some_lengths(SHAPES[1])))
    given = b"".join(as_bytes(*word) for word in words)
    results = subprocess.run([emulator, folder / "cell"], input=given, stdout=subprocess.PIPE, check=True, timeout=300).stdout
    for written, word in words:
        if isinstance(word, Tensor):
            found = torch.frombuffer(bytearray(results[: word.nbytes]), dtype=word.dtype).view(word.shape)
            results = results[word.nbytes :]
            scale = max(1.0, word.abs().max().item()) if written else 0.0
            torch.testing.assert_close(found, word, rtol=0, atol=TOLERANCE[dtype] * scale)
    assert results == b""
    assert sum(isinstance(word, Tensor) for written, word in words if written) >= 8  # outputs, records, flow and all gradients
