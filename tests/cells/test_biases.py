"""An option for the start of every bias, derived from `gates`: which there are, which a cell declares instead, what they do."""

import dataclasses
from typing import Any

import pytest
import torch
from cells.variants import each_cell

from gatelab.cells import CELLS, Cell, bias_option, without_weights
from gatelab.cells.gru import GRU
from gatelab.cells.lstm import LSTM
from gatelab.errors import UserError
from gatelab.models import RNN
from gatelab.options import option


def names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


@each_cell
def test_every_pre_activation_has_an_option_named_after_its_word(name: str) -> None:
    cls = CELLS.get(name)
    if isinstance(cls.gates, property):  # its number of pre-activations is an option, so that one option serves several
        assert set(cls().initial_bias) == set(cls().gates)
        return
    fields = {field.name: field for field in dataclasses.fields(cls) if "bias_of" in field.metadata}
    assert {option: field.metadata["bias_of"] for option, field in fields.items()} == {
        f"{word}_bias": gate for gate, word in cls.gates.items() if gate not in without_weights(cls())
    }
    assert all(field.default == 0.0 for field in fields.values() if field.metadata.get("derived"))


def test_what_a_cell_declares_keeps_its_default() -> None:
    assert LSTM().initial_bias == {"f": 1.0, "i": 0.0, "z": 0.0, "o": 0.0}
    assert GRU(update_bias=2.0).initial_bias == {"r": 0.0, "z": 2.0, "n": 0.0, "m": 0.0}  # type: ignore[call-arg]
    assert LSTM(2.0).forget_bias == 2.0  # the place of an option that is declared does not move


def test_the_option_reaches_the_module() -> None:
    b = RNN("lstm", 2, 3, input_bias=-1.0, output_bias=0.5).layers["0"].b
    assert b.tolist() == [-1.0] * 3 + [1.0] * 3 + [0.0] * 3 + [0.5] * 3  # type: ignore[operator]


def test_at_the_default_nothing_changes() -> None:
    """To the last bit: no option is drawn, and none moves what is drawn."""
    torch.manual_seed(0)
    given = RNN("gru", 2, 3, reset_bias=0.0, update_bias=0.0, candidate_bias=0.0, candidate_recurrent_bias=0.0)
    torch.manual_seed(0)
    plain = RNN("gru", 2, 3)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, given.state_dict()[key])
    assert all((value == 0).all() for key, value in plain.state_dict().items() if key.endswith(".b"))


def test_an_option_of_the_same_name_wins() -> None:
    @dataclasses.dataclass(frozen=True)
    class Own(Cell):
        gates = {"f": "forget", "z": "block_input"}

        forget_bias: int = option(3, "something else")
        other: float = bias_option("z", 2.0, "under another name")

    assert names(Own) == {"forget_bias", "other"}
    assert Own().initial_bias == {"z": 2.0}


def test_a_member_of_the_same_name_wins() -> None:
    @dataclasses.dataclass(frozen=True)
    class Own(Cell):
        gates = {"f": "forget", "i": "initial", "z": "block_input"}

        @property
        def forget_bias(self) -> float:
            return 7.0

    assert names(Own) == {"block_input_bias"}
    assert Own().forget_bias == 7.0


def test_a_derived_class_has_the_options_of_its_own_pre_activations() -> None:
    @dataclasses.dataclass(frozen=True)
    class Renamed(LSTM):
        gates = {"f": "forget", "i": "write", "z": "block_input"}

    @dataclasses.dataclass(frozen=True)
    class Again(Renamed):
        gates = {"i": "input", "f": "forget", "z": "block_input"}

    assert names(Renamed) == {"forget_bias", "write_bias", "block_input_bias"}
    assert names(Again) == {"forget_bias", "input_bias", "block_input_bias"}


def test_a_derived_option_is_shown_where_it_is_set() -> None:
    assert repr(LSTM()) == "LSTM(forget_bias=1.0)"
    assert repr(CELLS.build("lstm", output_bias=2.0)) == "LSTM(forget_bias=1.0, output_bias=2.0)"


def test_a_derived_class_may_have_an_option_without_a_default() -> None:
    @dataclasses.dataclass(frozen=True)
    class Required(GRU):
        gain: float = option(help="without a default")

    assert Required(3.0).gain == 3.0


def test_pre_activations_that_depend_on_an_option_have_none() -> None:
    @dataclasses.dataclass(frozen=True)
    class Chosen(LSTM):
        @property
        def gates(self) -> dict[str, str]:  # type: ignore[override]
            return {"f": "forget", "z": "block_input"}

    assert names(Chosen) == {"forget_bias"}


@pytest.mark.parametrize("options", [{"input_bias": -1.0}, {"forget_bias": 2.0}])
def test_a_start_is_refused_where_there_are_no_biases(options: dict[str, Any]) -> None:
    (name, value), *_ = options.items()
    with pytest.raises(UserError, match=rf"'{name}' is {value}, where a bias starts from, but with bias=False .* Leave out one"):
        RNN("lstm", 2, 3, bias=False, **options)
    RNN("lstm", 2, 3, bias=False)
