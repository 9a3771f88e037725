"""`gatelab check`: a line for each cell and task, exit status 0 or 2."""

from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]

CELL = '''
from dataclasses import dataclass

from torch import sigmoid

from gatelab import Cell


@dataclass(frozen=True)
class Mine(Cell):
    """One gate, for the tests."""

    gates = {"f": "forget", "z": "block_input"}

    def step(self, a, s, p):
        f = sigmoid(a.f)
        return {"h": f * s.h + (1 - f) * a.z}, {"forget": f}
'''

TASK = '''
from dataclasses import dataclass

from gatelab.tasks.adding import Adding


@dataclass(frozen=True)
class Sum(Adding):
    """Adding with another metric, for the tests."""
'''

EMPTY = """
from dataclasses import dataclass

from gatelab import Task


@dataclass(frozen=True)
class Empty(Task):
    pass
"""


def test_names_and_files_of_cells_and_tasks(gatelab: Call, tmp_path: Path) -> None:
    for name, text in (("mine", CELL), ("total", TASK), ("both", CELL + TASK)):
        (tmp_path / f"{name}.py").write_text(text)
    files = [str(tmp_path / f"{name}.py") for name in ("mine", "total", "both")]
    status, out, err = gatelab("check", "gru", "adding", *files)
    assert status == 0
    assert [line.partition(" keeps the contract (")[0] for line in out.splitlines()] == [
        "cell gru:",
        "task adding:",
        "cell mine:",
        "task total:",
        "cell both:",
        "task both:",
    ]
    assert out.splitlines()[2].endswith("(gates forget; state h); backend cpu")
    assert out.splitlines()[3].endswith("(train, val, test: endless, 512, 1,024 sequences; mse: chance 0.1667, solved 0.01)")
    assert err == ""


def test_all_that_is_broken_is_named(gatelab: Call, tmp_path: Path) -> None:
    broken = {
        "float.py": CELL.replace('{"forget": f}', '{"forget": 0.5}'),
        "metric.py": TASK + '    metric = "accuracy"\n',
        "empty.py": EMPTY,
    }
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
    names = ["float.py", "metric.py", "lstm", "empty.py", "absent.py", "lsmt"]
    status, out, err = gatelab("check", *(str(tmp_path / name) if name.endswith(".py") else name for name in names))
    assert status == 2
    assert out.startswith("cell lstm: keeps the contract")
    assert len(out.splitlines()) == 1
    expected = [
        "gatelab: Cell 'float': step returns the gate 'forget' as a float",
        "gatelab: Task 'metric': metrics of 'train' returns mse, but `metric` declares 'accuracy'",
        "gatelab: Task 'empty': class Empty has no `size`, `batch`",
        f"gatelab: plugins: '{tmp_path / 'absent.py'}' was not found",
        "gatelab: Unknown cell or task 'lsmt'. Did you mean 'lstm'?",
    ]
    lines = err.splitlines()
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=True)] == expected
    assert f"({tmp_path / 'float.py'}:" in lines[0]


def test_a_cell_that_cannot_be_compiled_is_noted(gatelab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatelab.kernels.cpu.refuses", lambda *arguments: "there is no compiler.")
    status, out, _ = gatelab("check", "rnn")
    assert status == 0
    assert out.rstrip().endswith("backend eager; Skipping backend 'cpu': there is no compiler.")


def test_an_overflow_is_refused(gatelab: Call, tmp_path: Path) -> None:
    path = tmp_path / "huge.py"
    path.write_text(CELL.replace("(1 - f) * a.z", "(1 - f) * a.z * 1e38 * 1e38"))
    status, out, err = gatelab("check", str(path))
    assert (status, out) == (2, "")
    assert "Cell 'huge': its output or its gradient is not finite on random input" in err


def test_without_arguments_it_says_what_to_give(gatelab: Call) -> None:
    status, out, err = gatelab("check")
    assert (status, out) == (2, "")
    assert err == "gatelab: check: name a cell, a task or a Python file, as in `gatelab check mycell.py`, or give --all.\n"


@pytest.mark.slow
@pytest.mark.usefixtures("mirror")
def test_all_that_there_is_keeps_its_contract(gatelab: Call) -> None:
    from gatelab.cells import CELLS
    from gatelab.tasks import TASKS

    status, out, err = gatelab("check", "--all")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == len(CELLS.names()) + len(TASKS.names())
    assert all("keeps the contract" in line for line in out.splitlines())
