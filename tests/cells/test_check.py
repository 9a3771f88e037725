"""Cells that break the contract: each mistake ends in one sentence that says what is declared, what was returned, and where."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from cells.mistakes import ELSEWHERE, GOOD, OF_ANY_CELL, Mistake
from cells.mistakes_of_extensions import OF_EXTENSIONS
from cells.variants import Variant, each_variant
from torch._subclasses.fake_tensor import FakeTensorMode

from gatelab.cells import CELLS, Cell, Parts
from gatelab.cells._declared import ARGUMENTS, reserved
from gatelab.cli.main import main
from gatelab.errors import UserError
from gatelab.models import RNN
from gatelab.registry.plugins import load_plugin
from gatelab.tasks import TASKS

MISTAKES = OF_ANY_CELL | OF_EXTENSIONS


def written(name: str, folder: Path) -> Path:
    file = folder / "mine.py"
    file.write_text(MISTAKES[name].source())
    return file


def assert_says(message: str, name: str, file: Path) -> None:
    """One line with all that the message must say, and the line of the file where it has one."""
    assert len(message.strip().splitlines()) == 1
    for part in MISTAKES[name].says:
        assert part in message
    if name not in ELSEWHERE:
        lines = MISTAKES[name].lines()
        assert any(message.strip().endswith(f"({file}:{line}).") for line in lines), lines


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_sentence(name: str, tmp_path: Path) -> None:
    file = written(name, tmp_path)
    with pytest.raises(UserError) as caught:  # noqa: PT012 - of a class when it is loaded, else when a cell is made
        load_plugin(file, (CELLS, TASKS))
        RNN("mine", 2, 3)
    assert_says(str(caught.value), name, file)


QUICK = ("an if over all", "gates as a tuple", "no decorator")
OTHERS = [name for name in list(MISTAKES)[::6] if name not in QUICK]  # all pass through the same place; a command takes 0.3 s


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_the_commands_say_it_and_exit_with_2(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`explain`, which believed everything, and `train --dry-run`, before anything is created."""
    file = written(name, tmp_path)
    plugin = f"plugins=[{file}]"
    for command in (
        ["explain", plugin, "cell=mine"],
        ["train", plugin, "cell=mine", "task=adding", f"out={tmp_path / 'runs'}", "--dry-run"],
    ):
        assert main(command) == 2
        assert_says(capsys.readouterr().err, name, file)
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["mine.py"]


def sound(**changes: Any) -> Cell:
    """A cell of a class of its own, which no other test has looked at."""

    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        f = torch.sigmoid(a.f)
        return {"h": f * s.h + (1 - f) * torch.tanh(a.z)}, {"forget": f}

    declared: dict[str, Any] = {"gates": {"f": "forget", "z": "block_input"}, "step": step, "__module__": __name__}
    return dataclass(frozen=True)(type("Mine", (Cell,), declared | changes))()


def coupled(self: Any, a: Any, s: Any, p: Any) -> Any:
    return {"h": a.z - a.z.mean(-1, keepdim=True)}, {"forget": torch.sigmoid(a.f)}


@each_variant
def test_every_variant_keeps_the_contract(variant: Variant) -> None:
    cell = variant.cell()
    cell.check(variant.name)
    zeros = [{name: torch.zeros(2, 3) for name in names} for names in (cell.gates, cell.state, cell.vectors)]
    assert cell.activated == tuple(cell.step(*(Parts(**part) for part in zeros))[1])


def test_a_gate_may_be_declared_as_unbounded() -> None:
    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        return {"h": torch.tanh(a.z + s.h)}, {"forget": a.f.exp()}

    with pytest.raises(UserError, match=r"the gate 'forget' is .* declare unbounded = \(\"forget\",\)"):
        sound(step=step).check("mine")
    sound(step=step, unbounded=("forget",)).check("mine")


def test_what_is_not_a_number_equals_itself() -> None:
    """A function of a state that is positive in a real run is not defined on random data."""

    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        n = torch.sqrt(s.n) + a.f.exp()
        return {"h": torch.log(s.n) * a.z, "n": n}, {"forget": torch.sigmoid(torch.log(s.n))}

    sound(step=step, state=("h", "n")).check("mine")
    with pytest.raises(UserError, match="couples units"):
        sound(step=lambda self, a, s, p: ({"h": torch.log(s.h).nansum(-1, keepdim=True) + 0 * s.h}, {"forget": 0 * a.f})).check(
            "mine"
        )


MODES: dict[str, Callable[[], Any]] = {
    "inference": torch.inference_mode,
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "fake": FakeTensorMode,
    "deterministic": lambda: torch.autograd.set_detect_anomaly(True),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("mode", MODES)
def test_the_mode_of_the_caller_does_not_enter(mode: str) -> None:
    with MODES[mode]():
        sound().check("mine")
        with pytest.raises(UserError, match="couples units"):
            sound(step=coupled).check("mine")


def test_no_random_number_of_the_caller_is_drawn() -> None:
    before = torch.get_rng_state()
    sound().check("mine")
    assert torch.equal(torch.get_rng_state(), before)


def test_equal_cells_are_run_once() -> None:
    calls = []

    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        calls.append(a)
        return {"h": a.z}, {"forget": torch.sigmoid(a.f)}

    cell = sound(step=step)
    cell.check("mine")
    ran = len(calls)
    assert ran > 0
    type(cell)().check("another name")
    RNN(cell, 2, 3)
    assert len(calls) == ran


@pytest.mark.parametrize("file", ["<stdin>", "<ipython-input-3-1f2e3d>", "<string>"])
def test_a_cell_that_is_typed_in_has_a_line_as_well(file: str) -> None:
    """The REPL, a notebook and `python -c` have no file."""
    for name in ("unknown state", "an if", "more state", "state as a text"):
        names: dict[str, Any] = {"__name__": "__typed__"}
        exec(compile(MISTAKES[name].source(), file, "exec"), names)
        with pytest.raises(UserError) as caught:
            RNN(names["Mine"](), 2, 3)
        assert_says(str(caught.value), name, Path(file))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_vector_can_take_a_name_of_a_layer(bidirectional: bool) -> None:
    rnn = RNN("attention", 2, 3, bidirectional=bidirectional)
    for layer in rnn.layers.values():
        assert {*dir(layer)} - {*rnn.cell.shapes(2, 3)} <= reserved()


def test_no_option_can_take_a_name_of_an_argument() -> None:
    assert {*inspect.signature(RNN).parameters} - {"cell_options"} <= ARGUMENTS


def test_a_state_without_h_needs_no_feedback_where_nothing_is_fed_back() -> None:
    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        f = torch.sigmoid(a.f)
        return {"c": f * s.c + (1 - f) * torch.tanh(a.z)}, {"forget": f}

    sources = {"f": "input", "z": "input"}
    cell = sound(step=step, state=("c",), sources=sources)
    assert cell.fed_back == ()
    assert set(cell.shapes(2, 3)) == {"W", "b"}
    found = {}
    for backend in ("eager", "auto"):
        torch.manual_seed(0)
        found[backend] = RNN(cell, 2, 3, backend=backend)(torch.ones(4, 1, 2))[0]
    torch.testing.assert_close(found["auto"], found["eager"])
    with pytest.raises(UserError, match="feedback names 'h', which is not among c"):
        RNN(sound(step=step, state=("c",)), 2, 3)


def test_a_class_in_place_of_a_cell_is_named() -> None:
    with pytest.raises(UserError, match="must be a name or an object, but this is the class Mine; call it"):
        RNN(type(sound()), 2, 3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="but this is of type NoneType"):
        RNN(None, 2, 3)  # type: ignore[arg-type]


def test_explain_says_what_is_fed_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(Mistake(GOOD, (), 'sources = {"f": "input", "z": "input"}').source())
    pages = {}
    for cell in ("mine", "fgr"):
        assert main(["explain", f"plugins=[{file}]", f"cell={cell}"]) == 0
        pages[cell] = " ".join(capsys.readouterr().out.split())
    assert "state h; fed back: nothing" in pages["mine"]
    assert "fed back: h, i, f, o" in pages["fgr"]


def test_a_cell_that_is_in_no_registry_is_called_by_its_class() -> None:
    """Not by its module, which is `__main__` in a notebook."""
    with pytest.raises(UserError, match=r"^Cell 'Mine': step couples units"):
        RNN(sound(step=coupled), 2, 3)
    assert RNN(sound(), 2, 3).cell_name == "Mine"


def test_a_class_that_is_derived_computes_something_else_than_torch() -> None:
    """Else `from_torch` took the first in the alphabet, and `to_torch` made an LSTM of it."""

    @dataclass(frozen=True)
    class Changed(CELLS.get("lstm")):  # type: ignore[misc]
        def step(self, a: Any, s: Any, p: Any) -> Any:
            return super().step(a, s, p)

    CELLS.add("a_changed_lstm", Changed, "a test")
    assert CELLS.get("lstm").peer is torch.nn.LSTM
    assert CELLS.get("a_changed_lstm").peer is None
    assert RNN.from_torch(torch.nn.LSTM(2, 3)).cell_name == "lstm"


def test_list_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """FGR's line has some, which were taken for markup."""
    assert main(["list", "cells"]) == 0
    assert "y = [h, i, f, o] is fed" in " ".join(capsys.readouterr().out.split())
