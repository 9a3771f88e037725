"""The C files that are written by hand: each opens alone, with what the printer makes of an example in place of a cell's own."""

import subprocess
from pathlib import Path

import pytest
import torch

from gatelab.cells import CELLS
from gatelab.kernels.cpu import _source
from gatelab.kernels.cpu.compiler import require_compiler

FOLDER = Path(_source.__file__).parent
FILES = sorted(FOLDER.glob("*.c"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [(), ("-DDOUBLE",)], ids=["float", "double"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_opens_alone(file: Path, number: tuple[str, ...]):
    """And no cast takes a `const` away."""
    command = [require_compiler(), "-std=gnu11", "-fsyntax-only", "-Wcast-qual", "-Werror", *number, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_is_what_the_printer_makes():
    text = _source.contract(CELLS.build("lstm"), torch.float32)
    assert (FOLDER / "contract.h").read_text() == text, "write what `_source.contract` returns to contract.h"


@pytest.mark.parametrize("name", ["lstm", "attention"])
def test_what_a_file_includes_stands_before_it_when_generated(name: str):
    """In the order in which the files include each other; then `GENERATED` keeps them from it."""
    text = _source.source(CELLS.build(name), torch.float32)
    starts = {file.name: text.find(file.read_text()) for file in FILES}
    assert text.startswith("#define GENERATED\n")
    for file in FILES:
        for line in file.read_text().splitlines():
            before = line.removeprefix('#include "').removesuffix('"')
            if line != before and before != "contract.h" and starts[file.name] >= 0:
                assert 0 <= starts[before] < starts[file.name]
