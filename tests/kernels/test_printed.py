"""Printed equations are taken from the cache, for cells of gatelab alone and only as they were written."""

import pytest
import torch

from gatelab.cells import CELLS
from gatelab.kernels.cpu import _printed, build

pytestmark = pytest.mark.usefixtures("cache")


class Mine(type(CELLS.build("rnn"))):
    """A user's cell: it is not defined in gatelab."""


def again() -> str:
    raise AssertionError("it is traced again")


def test_equations_are_printed_once_for_each_cell_with_its_options() -> None:
    cell = CELLS.build("cifg")
    assert _printed.kept(cell, torch.float32, lambda: "one") == "one"
    assert _printed.kept(cell, torch.float32, again) == "one"
    assert _printed.kept(cell, torch.float64, lambda: "two") == "two"
    assert _printed.kept(CELLS.build("cifg", peepholes=True), torch.float32, lambda: "three") == "three"
    assert [entry.path.suffix for entry in build.entries()] == [".c"] * 3
    assert build.clear() == 3


def test_a_damaged_file_is_written_again() -> None:
    cell = CELLS.build("cifg")
    _printed.kept(cell, torch.float32, lambda: "one\ntwo\n")
    (entry,) = build.entries()
    entry.path.write_bytes(entry.path.read_bytes()[:-2])
    assert _printed.kept(cell, torch.float32, lambda: "three") == "three"
    assert _printed.kept(cell, torch.float32, again) == "three"


def test_a_file_that_others_may_write_is_not_read() -> None:
    cell = CELLS.build("cifg")
    _printed.kept(cell, torch.float32, lambda: "one")
    (entry,) = build.entries()
    entry.path.chmod(0o666)
    assert _printed.kept(cell, torch.float32, lambda: "two") == "two"


def test_the_cell_of_a_user_is_traced_each_time() -> None:
    assert _printed.kept(Mine(), torch.float32, lambda: "one") == "one"
    assert _printed.kept(Mine(), torch.float32, lambda: "two") == "two"
    assert not build.entries()
