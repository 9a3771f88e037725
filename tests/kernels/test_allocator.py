"""Memory that is kept: counted in page faults, which do not depend on how busy the machine is."""

import ctypes
import platform
from types import SimpleNamespace

import pytest
from kernels.processes import run

from gatelab.kernels.allocator import keep_memory

COUNT = """
import resource
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        blocks = [bytearray(40_000_000) for _ in range(4)]  # together more than the padding of the heap, which always stays
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
from gatelab.kernels.allocator import keep_memory
plain = faults()
said = keep_memory()
first = faults()
print(plain, first, faults(), said)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


@glibc
@pytest.mark.slow  # a process that imports torch
def test_large_blocks_are_mapped_once():
    plain, first, later, said = run(COUNT).out.split()
    assert said == "None"
    assert int(plain) >= 200  # with huge pages; 20 times 9,766 of 4 kB
    assert int(first) < int(plain) / 4  # once for all: 1/5
    assert int(later) <= 5


@glibc
@pytest.mark.slow
def test_an_import_changes_nothing():
    code = (
        "for name in list(sys.modules):\n    if name.startswith('gatelab'): del sys.modules[name]\nimport gatelab; gatelab.RNN\n"
        + COUNT
    )
    plain, *_ = run(code).out.split()
    assert int(plain) >= 200


def test_without_glibc_it_says_so(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=None))
    assert "glibc" in str(keep_memory())


def test_a_refusal_is_said(monkeypatch):
    libc = SimpleNamespace(gnu_get_libc_version=None, mallopt=lambda parameter, value: int(parameter != -4))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    assert "mallopt(-4, 0)" in str(keep_memory())
