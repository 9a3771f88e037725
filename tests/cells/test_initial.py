"""Start values that a cell declares: what each distribution draws, which parameter gets it, and what comes before it."""

import dataclasses
import json
import math
from typing import Any

import pytest
import torch

from gatelab.cells import (
    Cell,
    Constant,
    Cycle,
    Depth,
    Groups,
    Identity,
    Log,
    Logit,
    Normal,
    Place,
    Ramp,
    Ring,
    Scaled,
    Start,
    Uniform,
    UniformGate,
)
from gatelab.config import ChronoInit
from gatelab.errors import UserError
from gatelab.models import RNN, initialize
from gatelab.training.description import describe_entry

N = 4000


def drawn(start: Start, *shape: int, fan_in: int = 1, layer: int = 0, layers: int = 1) -> torch.Tensor:
    torch.manual_seed(0)
    return start.draw(torch.empty(shape, dtype=torch.float64), Place(fan_in, layer, layers))


def quantiles(value: torch.Tensor) -> list[float]:
    return value.flatten().quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()


# Of N draws, a quantile of a uniform variable is within 4 standard errors, sqrt(p (1 - p) / N) < 0.008, of p.
NEAR = 0.032


@pytest.mark.parametrize(
    ("start", "uniform"),
    [
        (Uniform(-1, 3), lambda v: (v + 1) / 4),
        (Normal(2.0), lambda v: 0.5 * (1 + torch.erf(v / 2 / math.sqrt(2)))),
        (Ring(0.3, 0.9), lambda v: (v**2 - 0.09) / 0.72),
        (UniformGate(), torch.sigmoid),
        (Log(Uniform(1, 99)), lambda v: (v.exp() - 1) / 98),
        (Logit(Uniform(0.9, 0.999)), lambda v: (v.sigmoid() - 0.9) / 0.099),
        (Logit(Uniform(0.9, 0.999), 8), lambda v: (v.sigmoid() ** 8 - 0.9) / 0.099),
    ],
    ids=lambda value: str(value) if isinstance(value, Start) else "",  # functions are written with their address
)
def test_what_is_drawn_has_its_distribution(start: Start, uniform: Any) -> None:
    """Its distribution function, of the draws, is uniform in [0, 1]."""
    value = drawn(start, N)
    low, high = start.limits
    assert low <= float(value.min()) <= float(value.max()) <= high
    assert quantiles(uniform(value)) == pytest.approx([0.25, 0.5, 0.75], abs=NEAR)
    assert quantiles(uniform(drawn(start, 50, N // 50))) == pytest.approx([0.25, 0.5, 0.75], abs=NEAR)


def test_a_uniform_gate_keeps_its_distance_from_the_ends() -> None:
    gates = torch.cat([drawn(UniformGate(), 4).sigmoid() for _ in range(3)])
    assert 0.25 - 1e-9 <= float(gates.min()) <= float(gates.max()) <= 0.75 + 1e-9
    assert drawn(UniformGate(), 1).tolist() == [0.0]


@pytest.mark.parametrize(
    ("start", "where", "expected"),
    [
        (Constant(2.0), {}, [2.0] * 5),
        (Ramp(5, -7), {}, [5, 2, -1, -4, -7]),
        (Ramp(0, 16, 2), {}, [0, 1, 4, 9, 16]),
        (Ramp(0, 16, 1, 2), {"layer": 0, "layers": 3}, [0, 4, 8, 12, 16]),
        (Ramp(0, 16, 1, 2), {"layer": 2, "layers": 3}, [0, 1, 4, 9, 16]),
        (Ramp(0, 8, 1, 2), {"layer": 1, "layers": 3}, [0, 1, 8**0.5, 27**0.5, 8]),
        (Groups((1.0, 2.0, 4.0)), {}, [1, 1, 2, 2, 4]),
        (Cycle((1.0, 2.0)), {}, [1, 2, 1, 2, 1]),
        (Depth(), {"layer": 1, "layers": 4}, [0.25] * 5),
        (Scaled(Constant(6.0)), {"fan_in": 9}, [2.0] * 5),
        (Log(Constant(math.e)), {}, [1.0] * 5),
    ],
    ids=str,
)
def test_functions_of_the_unit_and_the_layer(start: Start, where: dict[str, int], expected: list[float]) -> None:
    """In a matrix they are the same in all columns."""
    assert drawn(start, 5, **where).tolist() == pytest.approx(expected)
    assert torch.equal(drawn(start, 5, 3, **where), drawn(start, 5, **where)[:, None].expand(5, 3))


@pytest.mark.parametrize("start", [Ramp(3, 4), Cycle((3.0, 4.0)), Constant(3.0)], ids=str)
def test_one_unit_is_the_first(start: Start) -> None:
    assert drawn(start, 1).tolist() == [3.0]


@dataclasses.dataclass(frozen=True)
class Declared(Cell):
    """Every kind of parameter has a start."""

    gates = {"f": "forget", "z": "block_input"}
    vectors = ("u", "v")
    initial = {
        "R": Identity(0.5),
        "W": Scaled(Normal(1.0)),
        "W.f": Constant(0.0),
        "b.f": Log(Uniform(1, 99)),
        "u": Ramp(1, 3, 1, 2),
    }

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        f = torch.sigmoid(a.f)
        return {"h": f * s.h + (1 - f) * torch.tanh(a.z + p.u + p.v)}, {"forget": f}


def test_every_parameter_gets_its_start() -> None:
    torch.manual_seed(0)
    rnn = RNN(Declared(), 100, 3, num_layers=2, bidirectional=True)
    for name, layer in rnn.layers.items():
        D = 100 if name.startswith("0") else 6
        W, R, b, u, v = (layer.state_dict()[key] for key in ("W", "R", "b", "u", "v"))
        assert R.tolist() == [*torch.eye(3).mul(0.5).tolist()] * 2
        assert not W[:3].any()
        assert 0.5 / math.sqrt(D) < float(W[3:].std()) < 1.5 / math.sqrt(D)
        assert u.tolist() == ([1, 2, 3] if name.startswith("0") else [1, 1.5, 3])
        assert 0 < float(v.abs().max()) <= 1 / math.sqrt(3)
        assert not b[3:].any()
        assert 0 <= float(b[:3].min()) <= float(b[:3].max()) <= math.log(99)


def test_reset_parameters_draws_again_and_the_seed_decides() -> None:
    torch.manual_seed(0)
    rnn = RNN(Declared(), 2, 3)
    first = {name: value.clone() for name, value in rnn.state_dict().items()}
    rnn.reset_parameters()
    assert not torch.equal(rnn.state_dict()["layers.0.b"], first["layers.0.b"])
    torch.manual_seed(0)
    rnn.reset_parameters()
    assert all(torch.equal(value, first[name]) for name, value in rnn.state_dict().items())


def test_the_option_is_added_and_an_initialisation_replaces() -> None:
    torch.manual_seed(0)
    plain = RNN(Declared(), 2, 400)
    torch.manual_seed(0)
    moved = RNN(Declared(forget_bias=2.0), 2, 400)  # type: ignore[call-arg]
    b = moved.state_dict()["layers.0.b"][:400]
    torch.testing.assert_close(b, plain.state_dict()["layers.0.b"][:400] + 2)
    initialize(moved, ChronoInit(t_max=3.0))
    assert 0 <= float(b.min()) <= float(b.max()) <= math.log(2)


def test_without_biases_their_start_has_no_effect() -> None:
    assert set(RNN(Declared(), 2, 3, bias=False).layers["0"].state_dict()) == {"W", "R", "u", "v"}


def test_a_cell_that_declares_nothing_draws_what_it_drew() -> None:
    """To the last bit, in the order of its parameters."""
    torch.manual_seed(0)
    rnn = RNN("peephole", 2, 3)
    torch.manual_seed(0)
    for name, value in rnn.layers["0"].state_dict().items():
        if name != "b":
            assert torch.equal(value, torch.empty_like(value).uniform_(-1 / math.sqrt(3), 1 / math.sqrt(3)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_starts_are_finite_in_every_number_format(dtype: torch.dtype) -> None:
    """In 8 bits, 0.999 is 1, and its logit infinite."""

    @dataclasses.dataclass(frozen=True)
    class Near(Declared):
        initial = {"u": Logit(Uniform(0.9, 0.999)), "v": UniformGate(), "b": UniformGate()}

    rnn = RNN(Near(), 2, 2000, dtype=dtype)
    for name in ("u", "v", "b"):
        assert rnn.layers["0"].state_dict()[name].isfinite().all()


def test_it_may_depend_on_options() -> None:
    @dataclasses.dataclass(frozen=True)
    class Chosen(Declared):
        @property
        def initial(self) -> dict[str, Start]:  # type: ignore[override]
            return {"u": Constant(self.forget_bias)}  # type: ignore[attr-defined]

    assert RNN(Chosen(forget_bias=3.0), 2, 2).layers["0"].u.tolist() == [3.0, 3.0]  # type: ignore[operator, call-arg]


def test_it_is_described_in_words_and_as_data() -> None:
    found = describe_entry("cell", "declared", Declared())["initial"]
    assert {name: start["text"] for name, start in found.items()} == {
        "R": "0.5 times the identity",
        "W": "(normal with standard deviation 1) / sqrt(fan-in)",
        "W.f": "0",
        "b.f": "exp of it uniform in [1, 99]",
        "u": "from 1 to 3 over the units, with the exponent 1 in the first layer and 2 in the last",
    }
    assert json.loads(json.dumps(found))["W"]["of"] == {"kind": "Normal", "std": 1.0}


def test_the_values_of_a_distribution_are_checked() -> None:
    with pytest.raises(UserError, match=r"'std' is -1\.0, but it must be greater than 0"):
        Normal(-1.0)
    with pytest.raises(UserError, match="Scaled: 'of' is 3, but it must be a distribution"):
        Scaled(3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'values' is empty"):
        Cycle(())
    assert Cycle([1.0, 2.0]) == Cycle((1.0, 2.0))  # type: ignore[arg-type]
    assert Logit(Uniform(0.1, 0.9)).limits == (-math.inf, math.inf)
