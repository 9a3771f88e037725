"""Options of a user's cell: lists, which are tuples in the cell, and types that no configuration can hold."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gatelab.cells import CELLS
from gatelab.cli.main import main
from gatelab.errors import UserError
from gatelab.models import RNN
from gatelab.registry.plugins import load_plugin
from gatelab.tasks import TASKS

SOURCE = '''
import enum
from dataclasses import dataclass
from typing import Any, Literal

from torch import sigmoid, tanh

from gatelab import Cell, option


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Banded(Cell):
    """Leaky unit with several candidates."""

    gates = {{"f": "forget", "z": "block_input"}}
    {declared}

    def step(self, a, s, p):
        f = sigmoid(a.f)
        z = sum(scale * tanh(a.z / scale) for scale in getattr(self, "scales", [1.0]))
        return {{"h": f * s.h + (1 - f) * z}}, {{"forget": f}}
'''
LISTS = (
    "scales: list[float] = option(factory=lambda: [0.5, 2.0], help='factors')",
    "scales: list[float] = option([0.5, 2.0], 'factors')",
    "scales: tuple[float, ...] = option((0.5, 2.0), 'factors')",
)


def written(folder: Path, declared: str) -> Path:
    file = folder / "banded.py"
    file.write_text(SOURCE.format(declared=declared))
    return file


@pytest.mark.parametrize("declared", LISTS)
def test_a_list_is_an_option(declared: str, tmp_path: Path) -> None:
    load_plugin(written(tmp_path, declared), (CELLS, TASKS))
    x = torch.ones(4, 1, 2)
    outputs = {}
    choices: tuple[dict[str, Any], ...] = ({}, {"scales": [0.5, 2.0]}, {"scales": (1.0,)})
    for given in choices:
        torch.manual_seed(0)
        rnn = RNN("banded", 2, 3, **given)
        assert rnn.cell.scales == tuple(given.get("scales", (0.5, 2.0)))  # type: ignore[attr-defined]
        outputs[rnn.cell] = rnn(x)[0]
    assert len(outputs) == 2  # the first two cells are equal


@pytest.mark.parametrize("declared", LISTS)
def test_explain_takes_a_list(declared: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = f"plugins=[{written(tmp_path, declared)}]"
    assert main(["explain", plugin, "cell=banded", "cell.scales=[0.25, 1.0, 4.0]"]) == 0
    page = capsys.readouterr().out
    assert "0.5, 2.0" in page
    assert "17 operators" in page  # those of three candidates
    assert main(["explain", plugin, "cell=banded", "cell.scales=[wide]"]) == 2
    assert "cell.scales=[wide] is not accepted" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_with_a_list_is_trained_resumed_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs"
    run = [f"plugins=[{written(tmp_path, LISTS[0])}]", "cell=banded", "task=adding", "task.length=10", f"out={out}"]
    run += ["trainer.max_steps=4", "trainer.val_every=2", "model.hidden_size=4", "logger=none", "machine.progress=false"]
    for scales in ("[0.25,4.0]", "[1.0]"):
        assert main(["train", *run, f"cell.scales={scales}"]) == 0
    assert main(["train", *run, "cell.scales=[1.0]"]) == 0  # already finished
    assert len(list(out.glob("*/summary.json"))) == 2
    for folder in out.iterdir():
        assert main(["inspect", str(folder), "--trust"]) == 0
    capsys.readouterr()
    assert main(["compare", str(out)]) == 0
    table = capsys.readouterr().out
    assert "scales=[0.25, 4.0]" in table
    assert "scales=[1.0]" in table


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("x: dict[str, float] = option(factory=dict)", "cell 'banded': option 'x' has type dict"),
        ("x: set[int] = option(factory=set)", "option 'x' has type set"),
        ("x: Literal['a', 'b'] = option('a')", "option 'x' has type .*Literal.* for one of several words, use str with `choices`"),
        ("x: Colour = option(Colour.RED)", "option 'x' has type Colour, which a configuration cannot hold. Use int, float"),
        ("x: complex = option(1j)", "option 'x' has type complex"),
        ("x: list[bytes] = option([])", "option 'x' has type list"),
        ("x: 'Nowhere' = option(1)", "the type of an option cannot be read: NameError: name 'Nowhere' is not defined"),
    ],
)
def test_a_type_that_no_configuration_can_hold(declared: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load_plugin(written(tmp_path, declared), (CELLS, TASKS))
    assert "banded" not in CELLS


def test_an_option_without_default_must_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, "gain: float = option(help='needed')")
    load_plugin(file, (CELLS, TASKS))
    message = "cell 'banded' needs a value for its option 'gain', which has no default."
    with pytest.raises(UserError, match=message):
        RNN("banded", 2, 3)
    assert RNN("banded", 2, 3, gain=2.0).cell.gain == 2.0  # type: ignore[attr-defined]
    assert main(["explain", f"plugins=[{file}]", "cell=banded"]) == 2
    assert message in capsys.readouterr().err
    assert main(["list", "cells", str(file)]) == 0  # the others are listed still
    listed = capsys.readouterr().out
    assert "peephole" in listed
    assert "needs a value" in " ".join(listed.split())


def test_any_is_a_type_as_well(tmp_path: Path) -> None:
    load_plugin(written(tmp_path, "x: Any = option(1.0, 'anything')"), (CELLS, TASKS))
    known: Any = RNN("banded", 2, 3, x=[1, [2]]).cell
    assert known.x == (1, (2,))
