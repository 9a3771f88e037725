"""An option that one of the listed cells, tasks or optimisers lacks is refused by its name, before anything is composed."""

from collections.abc import Callable
from typing import Any

import pytest

from gatelab.cells import CELLS
from gatelab.errors import UserError
from gatelab.sweeps.jobs import choices, compose

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Composing is an error."""

    def refuse(*arguments: Any) -> None:
        raise AssertionError("it was composed")

    monkeypatch.setattr(compose, "_composed", refuse)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["task=adding,copying,digits", "task.length=20"],
            "Unknown option of task 'digits' 'length'. Available: none. "
            "It is an option of adding, copying: train digits with a separate command.",
        ),
        (
            ["cell=lstm,attention,gru", "cell.window=3"],
            "Unknown option of cell 'lstm' 'window'. Available: block_input_bias, forget_bias, input_bias, output_bias. "
            "It is an option of attention: train lstm with a separate command.",
        ),
        (["cell=gru", "+cell.widow=3"], "Unknown option of cell 'gru' 'widow'. "),
        (["optimizer=adamw,sgd", "optimizer.momentum=0.5"], "Unknown option of optimizer 'adamw' 'momentum'. "),
        (["init=standard", "init.t_max=5"], "Unknown option of init 'standard' 't_max'. "),
        (["task=digits,adding", "task.length=20,30", "cell=lstm,gru"], "Unknown option of task 'digits' 'length'. "),
    ],
)
def test_the_one_that_lacks_it_is_named(gatelab: Call, overrides: list[str], message: str) -> None:
    status, out, err = gatelab("train", "-m", *overrides)
    assert (status, out) == (2, "")
    assert err.startswith(f"gatelab: {message}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ["task=adding,copying", "task.length=20"],
        ["task=digits", "task=adding", "task.length=20"],  # the last choice counts
        ["task.length=20"],
        ["cell=lstm,gru", "cell.name=lstm"],
        ["trainer=debug", "trainer.max_steps=3"],
        ["optimizer=adamw", "optimizer.lr=0.1"],
    ],
)
def test_what_all_have_is_accepted(overrides: list[str]) -> None:
    compose.check_groups(compose.parse(overrides))


@pytest.mark.parametrize("name", CELLS.names())
def test_every_option_of_every_cell_is_known(name: str) -> None:
    options = choices.options_of("cell", name)
    assert options is not None
    compose.check_groups(compose.parse([f"cell={name}", *(f"cell.{option}=null" for option in options)]))
    with pytest.raises(UserError, match=f"option of cell '{name}' 'zzz'"):
        compose.check_groups(compose.parse([f"cell={name}", "cell.zzz=1"]))
