"""Cells against torchrecurrent, with its weights copied over: equal, or different in the way that is pinned down here.

Pytest does not collect a file of this name by itself: `scripts/test_peers.sh` installs torchrecurrent beside gatelab and runs it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
import torchrecurrent  # type: ignore[import-not-found]
from cells.variants import normal
from tolerances import FLOAT64
from torch import Tensor, relu, sigmoid, tanh

from gatelab.cells import CELLS
from gatelab.models import RNN

T, B, D, H = 7, 3, 4, 5


@dataclasses.dataclass(frozen=True)
class Peer:
    """How the weights of a published cell are called here.

    Attributes:
        name: its class.
        W, R: our pre-activations in the order of its blocks of rows; one matrix may serve for several.
        b: the same of its two biases, where they differ from those of W and R.
        p: our vectors from its module.
        state: our parts of the state in the order in which it takes and returns them.
        options: arguments of its class; `ours`: options of our cell.
        note: for the table: what makes them equal.
        D: width of the input.
    """

    name: str
    W: str
    R: str = ""
    b: tuple[str, str] | None = None
    p: Callable[[Any], Mapping[str, Tensor]] = lambda theirs: {}
    state: tuple[str, ...] = ("h",)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ours: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""
    D: int = D


PEERS = {
    "atr": Peer("ATR", "p", "q"),
    "brc": Peer("BR", "a u z", b=("a u z", "a u"), p=lambda of: dict(zip(("w_a", "w_u"), of.weight_hh.chunk(2), strict=True))),
    "cfn": Peer("CFN", "k v z", "k v"),
    "fastgrnn": Peer(
        "FastGRNN",
        "q",
        "q",
        b=("q -", "q -"),
        p=lambda of: {
            "d": (of.bias_ih + of.bias_hh).chunk(2)[1] - (of.bias_ih + of.bias_hh).chunk(2)[0],
            "zeta": of.zeta,
            "nu": of.nu,
        },
        options={"nonlinearity": "sigmoid"},
        note="given nonlinearity='sigmoid', which is that of the gate",
    ),
    "fastrnn": Peer("FastRNN", "z", "z", p=lambda of: {"alpha": of.alpha, "beta": of.beta}, note="given the scalars"),
    "intersection_rnn": Peer("IntersectionRNN", "u n d g", "u n d g", D=H, note="while D = H, which it requires"),
    "janet": Peer("JANET", "f z", "f z", state=("h", "h"), note="while beta, which it trains, is 1"),
    "lightru": Peer("LightRU", "z f", "f"),
    "ligru": Peer("LiGRU", "z n", "z n"),
    "mclstm": Peer("MCLSTM", "f i o m z", "f i o m z", state=("v", "c")),
    "nbrc": Peer("NBR", "a u z", "a u"),
    "nfg": Peer("OriginalLSTM", "i z o", "i z o", state=("h", "c"), note="although it is named after lstm1997"),
    "peephole": Peer(
        "PeepholeLSTM",
        "i f z o",
        "i f z o",
        p=lambda of: dict(zip(("p_i", "p_f", "p_o"), of.weight_ph.chunk(3), strict=True)),
        state=("h", "c"),
    ),
    "ran": Peer("RAN", "z i f", "i f", b=("i f", "i f"), state=("h", "c")),
    "sgrn": Peer("SGRN", "p", "q"),
    "star": Peer("STAR", "z k", "k"),
    "t_rnn": Peer("TRNN", "z f"),
    "ugrnn": Peer("UGRNN", "z g", "z g"),
}


def drawn(peer: Peer) -> Any:
    """Its cell, with all weights and biases drawn."""
    theirs = getattr(torchrecurrent, f"{peer.name}Cell")(peer.D, H, **peer.options).double()
    with torch.no_grad():
        for number, (name, value) in enumerate(theirs.named_parameters()):
            if name != "beta" or peer.name != "JANET":
                value.copy_(normal(*value.shape, seed=number) / 2)
    return theirs


def copied(cell: str, peer: Peer, theirs: Any) -> RNN:
    """Our cell with its weights."""
    rnn = RNN(cell, peer.D, H, backend="eager", dtype=torch.float64, **peer.ours)
    layer, ours = rnn.layers["0"], rnn.cell
    with torch.no_grad():
        layer.get_parameter("b").zero_()
        of_W, of_R = peer.b or (peer.W, peer.R)
        for name, rows, attribute, add in (
            ("W", peer.W, "weight_ih", False),
            ("R", peer.R, "weight_hh", False),
            ("b", of_W, "bias_ih", True),
            ("b", of_R, "bias_hh", True),
        ):
            for gate, block in zip(rows.split(), getattr(theirs, attribute).chunk(len(rows.split())) if rows else (), strict=True):
                if gate != "-":  # what `p` takes
                    at = ours.rows(name).index(gate) * H
                    place = layer.get_parameter(name)[at : at + H]
                    place.copy_(place + block if add else block)
        for name, value in peer.p(theirs).items():
            layer.get_parameter(name).copy_(value)
    return rnn


def states(theirs: Any, x: Tensor, start: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """What it returns at every step, in one tuple."""
    found: list[tuple[Tensor, ...]] = []
    state = start
    for value in x:
        returned = theirs(value, *state) if len(state) == 1 else theirs(value, state)
        flat: Any = (
            (returned,)
            if isinstance(returned, Tensor)
            else (returned[0], *returned[1])
            if isinstance(returned[1], tuple)
            else returned
        )
        found.append(flat)
        state = flat[-len(start) :]
    return found


@pytest.fixture(scope="module")
def table() -> Iterator[list[tuple[str, str, str]]]:
    """Rows of cell, class and outcome, printed at the end."""
    rows: list[tuple[str, str, str]] = []
    yield rows
    print(f"\n\n{'cell':<18}{'torchrecurrent':<18}outcome")
    for row in sorted(rows):
        print(f"{row[0]:<18}{row[1]:<18}{row[2]}")


@pytest.mark.parametrize("cell", PEERS)
def test_equal(cell: str, table: list[tuple[str, str, str]]) -> None:
    peer = PEERS[cell]
    theirs = drawn(peer)
    rnn = copied(cell, peer, theirs)
    start = {name: tanh(normal(B, H, seed=40 + number)) for number, name in enumerate(rnn.cell.state)}
    x = normal(T, B, peer.D)
    with torch.no_grad():
        output, last = rnn(x, tuple(value[None] for value in start.values()))
        found = states(theirs, x, tuple(start[name] for name in peer.state))
    difference = float((output - torch.stack([step[0] for step in found])).abs().max())
    for name, value in zip(peer.state, found[-1][-len(peer.state) :], strict=True):
        difference = max(difference, float((last[rnn.cell.state.index(name)][0] - value).abs().max()))
    table.append((cell, peer.name, f"equal to {difference:.0e}" + (f", {peer.note}" if peer.note else "")))
    assert difference <= FLOAT64


@pytest.mark.parametrize(
    ("cell", "name", "ours", "options"),
    [("t_gru", "TGRU", {}, {}), ("t_lstm", "TLSTM", {}, {}), ("taugru", "tauGRU", {"tau": 4}, {"delay": 3})],
)
def test_delays_are_equal(
    cell: str, name: str, ours: dict[str, Any], options: dict[str, Any], table: list[tuple[str, str, str]]
) -> None:
    """Whole layers from zeros; what a cell carries of earlier steps has another form in torchrecurrent."""
    theirs = getattr(torchrecurrent, name)(D, H, **options).double()
    rnn, x = RNN(cell, D, H, backend="eager", dtype=torch.float64, **ours), normal(T, B, D)
    layer, of = rnn.layers["0"], theirs.cells[0]
    with torch.no_grad():
        for number, value in enumerate(of.parameters()):
            value.copy_(normal(*value.shape, seed=number) / 2)
        layer.get_parameter("b").copy_(of.bias_ih + of.bias_hh)
        if cell == "taugru":
            u, z, *others = of.weight_hh.chunk(4)
            weights = {"W": of.weight_ih, "R": torch.cat((u, *others)), "R_z": z}
        else:
            weights = {"W": torch.cat((of.weight_ih, of.weight_hh))}
        for key, value in weights.items():
            layer.get_parameter(key).copy_(value)
        difference = float((rnn(x)[0] - theirs(x)[0]).abs().max())
    table.append((cell, name, f"equal to {difference:.0e}"))
    assert difference <= FLOAT64


# Where torchrecurrent computes something else than the paper: what it computes instead.


def added_in_nas(theirs: Any, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """A sum where Zoph & Le have a product."""
    inputs, recurrent = x @ theirs.weight_ih.T + theirs.bias_ih, h @ theirs.weight_hh.T + theirs.bias_hh
    l = (inputs + recurrent).chunk(8, -1)  # noqa: E741 - the letter of the paper
    first, second = tanh(sigmoid(l[0]) * relu(l[1])), tanh(sigmoid(l[2]) + relu(l[3]))
    third, fourth = tanh(tanh(l[4]) * sigmoid(l[5])), sigmoid(tanh(l[6]) + sigmoid(l[7]))
    c = tanh(first + c) * second
    return tanh(c * tanh(third + fourth)), c


def tanh_in_1997(theirs: Any, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """tanh where Hochreiter & Schmidhuber have 4 sigmoid - 2 and 2 sigmoid - 1."""
    i, z, o = (x @ theirs.weight_ih.T + theirs.bias_ih + h @ theirs.weight_hh.T + theirs.bias_hh).chunk(3, -1)
    c = c + sigmoid(i) * tanh(z)
    return sigmoid(o) * tanh(c), c


def tanh_gate(theirs: Any, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    """tanh where Kusupati et al. have the sigmoid of a gate."""
    shared = x @ theirs.weight_ih.T + h @ theirs.weight_hh.T
    z, n = (tanh(shared + sum(of.chunk(2)[k] for of in (theirs.bias_ih, theirs.bias_hh))) for k in (0, 1))
    return ((sigmoid(theirs.zeta) * (1 - z) + sigmoid(theirs.nu)) * n + z * h,)


PINNED = {
    "nas_cell": (Peer("NAS", "l0 l1 l2 l3 l4 l5 l6 l7", "l0 l1 l2 m3 l4 l5 l6 l7", state=("h", "c")), added_in_nas),
    "lstm1997": (Peer("OriginalLSTM", "i z o", "i z o", state=("h", "c")), tanh_in_1997),
    "fastgrnn": (dataclasses.replace(PEERS["fastgrnn"], options={}), tanh_gate),
}


@pytest.mark.parametrize("cell", PINNED)
def test_different(cell: str, table: list[tuple[str, str, str]]) -> None:
    """It computes what is written above, and not what our cell computes."""
    peer, written = PINNED[cell]
    theirs = drawn(peer)
    rnn, x = copied(cell, peer, theirs), normal(T, B, D)
    state: tuple[Tensor, ...] = (torch.zeros(B, H, dtype=torch.float64),) * len(peer.state)
    with torch.no_grad():
        found = states(theirs, x, state)
        output, _ = rnn(x)
        for value, step in zip(x, found, strict=True):
            state = written(theirs, value, *state)
            for one, other in zip(state, step, strict=True):
                torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)
    difference = float((output - torch.stack([step[0] for step in found])).abs().max())
    what = " ".join((written.__doc__ or "").split()).rstrip(".")
    table.append((cell, peer.name, f"differs by up to {difference:.2g}: {what}"))
    assert difference > 0.01


def test_start_values_that_are_swapped(table: list[tuple[str, str, str]]) -> None:
    """Kusupati et al. start with a small share of the new state: alpha = -3, beta = 3."""
    theirs, ours = torchrecurrent.FastRNNCell(D, H), RNN("fastrnn", D, H).layers["0"]
    assert (theirs.alpha.item(), theirs.beta.item()) == (3.0, -3.0)
    assert (ours.alpha.item(), ours.beta.item()) == (-3.0, 3.0)  # type: ignore[operator]
    table.append(("fastrnn", "FastRNN", "starts with alpha = 3 and beta = -3, the other way round"))


def test_a_constant_that_is_trained(table: list[tuple[str, str, str]]) -> None:
    assert torchrecurrent.JANETCell(D, H).beta.requires_grad
    table.append(("janet", "JANET", "trains beta, a constant of the paper"))


def test_every_cell_is_ours() -> None:
    assert {*PEERS, *PINNED} <= set(CELLS.names())
