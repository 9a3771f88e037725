"""Initial biases of gates, for every cell that has the gate."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gatelab.cells import keeping
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
            _set(rnn, init.name, lambda: (1 + _uniform(rnn) * (init.t_max - 2)).log(), writing=True)
        case UniformGateInit():
            least = 1 / rnn.hidden_size
            _set(rnn, init.name, lambda: torch.logit(least + _uniform(rnn) * (1 - 2 * least)), writing=True)
        case RetentionInit():
            start = -math.log(math.expm1(1 / init.timescale))  # the logit of exp(-1 / timescale)
            _set(rnn, init.name, lambda: torch.tensor(start), writing=False)


def _uniform(rnn: RNN) -> Tensor:
    like = rnn.stack()[0].read("b")
    return torch.rand(rnn.hidden_size, device=like.device, dtype=like.dtype)


def _set(rnn: RNN, name: str, bias_of: Callable[[], Tensor], writing: bool) -> None:
    """Gives the gate that keeps the state a bias, layer by layer.

    Args:
        name: of the initialisation, for the message.
        bias_of: the bias of a sigmoid that keeps the state, (H,) or one for all units.
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
        b, bias = layer.read("b").clone(), bias_of()
        for row, (letter, word) in enumerate(cell.gates.items()):
            if letter == gate:
                b[row * H : (row + 1) * H] = sign * bias
            elif writing and word == "input":
                b[row * H : (row + 1) * H] = -bias
        layer.write("b", b)
