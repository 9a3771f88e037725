"""Initial biases of gates, for every cell that has the gate."""

import math

import torch

from gatelab.cells import Constant, Log, Place, Start, Uniform, UniformGate, keeping
from gatelab.config import ChronoInit, RetentionInit, StandardInit, UniformGateInit
from gatelab.errors import UserError
from gatelab.models.rnn import RNN


@torch.no_grad()
def initialize(rnn: RNN, init: StandardInit | ChronoInit | UniformGateInit | RetentionInit) -> None:
    """Sets or draws the biases of an initialisation; everything else stays as the module drew it.

    Args:
        rnn: the recurrent stack, just initialised.
        init: `standard` sets none.

    Raises:
        UserError: no bias decides how much of its state the cell keeps, or the module has no biases.
    """
    match init:
        case StandardInit():
            return
        case ChronoInit():
            _set(rnn, init.name, Log(Uniform(1.0, init.t_max - 1)), writing=True)
        case UniformGateInit():
            _set(rnn, init.name, UniformGate(), writing=True)
        case RetentionInit():
            start = -math.log(math.expm1(1 / init.timescale))  # the logit of exp(-1 / timescale)
            rounded = torch.tensor(start, dtype=torch.float32, device="cpu").item()  # the same in all number formats
            _set(rnn, init.name, Constant(rounded), writing=False)


def _set(rnn: RNN, name: str, start: Start, writing: bool) -> None:
    """Gives the gate that keeps the state a bias, layer by layer.

    Args:
        name: of the initialisation, for the message.
        start: the bias of a sigmoid that keeps the state.
        writing: whether an input gate of its own gets the opposite.
    """
    cell, H = rnn.cell, rnn.hidden_size
    words = list(cell.gates.values())
    kept = keeping(cell)
    if kept is None:
        why = (
            f"the retention gate '{cell.retention}' of {rnn.cell_name} is not the sigmoid of one pre-activation, so no bias sets it"
            if cell.retention in cell.activated
            else f"{rnn.cell_name} has no such gate"
        )
        raise UserError(
            f"init={name} sets the bias of the gate that keeps the state, but {why}. Its pre-activations are {', '.join(words)}. "
            "Use init=standard."
        )
    gate, sign = kept
    for layer in rnn.stack():
        if "b" not in layer.shapes:
            raise UserError(f"init={name} sets biases, and there are none with model.bias=false. Use model.bias=true.")
        b = layer.read("b").clone()
        bias = start.draw(b[:H], Place(H, 0, 1))
        for row, letter in enumerate(cell.rows("b")):
            if letter == gate:
                b[row * H : (row + 1) * H] = sign * bias
            elif writing and cell.gates[letter] == "input":
                b[row * H : (row + 1) * H] = -bias
        layer.write("b", b)
