"""What transcriptions read their weights from."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gatelab.models import RNN

Array = NDArray[np.float64]
State = dict[str, Array]
Gates = dict[str, Array]
Oracle = Iterator[tuple[State, Gates]]


def sigmoid(value: Array) -> Array:
    return 1 / (1 + np.exp(-value))


class Network:
    """Weights of one layer for a transcription: blocks of H rows by position, one H-vector by name."""

    def __init__(self, rnn: RNN) -> None:
        self.H = rnn.hidden_size
        self.values = {name: value.detach().numpy() for name, value in rnn.layers["0"].named_parameters()}

    def input(self, block: int, x: Array) -> Array:
        return self.values["W"][block * self.H : (block + 1) * self.H] @ x

    def raw(self, x: Array) -> Array:
        """The input itself, projected where it has another width."""
        return self.values["W_x"] @ x if "W_x" in self.values else x

    def recurrent(self, block: int, h: Array) -> Array:
        return self.values["R"][block * self.H : (block + 1) * self.H] @ h

    def b(self, block: int) -> Array:
        return self.values["b"][block * self.H : (block + 1) * self.H] if "b" in self.values else np.zeros(self.H)

    def p(self, gate: str) -> Array:
        """Peephole weights, 0 where there are none."""
        return self.values.get(f"p_{gate}", np.zeros(self.H))

    def __call__(self, block: int, x: Array, h: Array) -> Array:
        return self.input(block, x) + self.recurrent(block, h) + self.b(block)
