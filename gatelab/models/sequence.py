"""Encoder, recurrent stack, head: the model that tasks are trained with."""

import torch
from torch import Tensor, nn

from gatelab.errors import UserError, unknown
from gatelab.models.rnn import RNN


class SequenceModel(nn.Module):
    """One-hot encoder (for tokens), RNN, linear head.

    Args:
        rnn: the recurrent stack, `batch_first`.
        output_size: outputs of the head for one step.
        readout: "all" puts the head on every step, "last" on the last state of the top layer (of both directions, if two).
        vocabulary: number of symbols if the inputs are tokens, else None.
        dropout: probability, in front of the head, in training.
        input_noise: standard deviation of Gaussian noise on the inputs of the RNN, in training; for tokens on their one-hot
            vectors. Drawn again in every forward pass from torch's global generator.
    """

    def __init__(
        self,
        rnn: RNN,
        output_size: int,
        readout: str = "all",
        vocabulary: int | None = None,
        dropout: float = 0.0,
        input_noise: float = 0.0,
    ) -> None:
        super().__init__()
        if not rnn.batch_first:
            raise UserError("SequenceModel: the RNN must have batch_first=True, since inputs are (B, T, D).")
        if readout not in ("all", "last"):
            raise UserError("SequenceModel: " + unknown("readout", readout, ("all", "last")))
        self.rnn, self.readout, self.vocabulary = rnn, readout, vocabulary
        self.dropout, self.input_noise = nn.Dropout(dropout), input_noise
        self.head = nn.Linear(rnn.output_size, output_size)

    def forward(self, x: Tensor, lengths: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """(B, T, D) or tokens (B, T) to (B, T, output_size), or to (B, output_size) with readout "last"; `times` as of `RNN`."""
        return self.carry(x, lengths, None, times)[0]

    def carry(
        self, x: Tensor, lengths: Tensor | None, state: tuple[Tensor, ...] | None, times: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `forward`, from a state and with the state behind it, (L, B, H) for each part; None: from the initial state."""
        output, last = self.rnn(self.encode(x), state, lengths, times=times)
        return self.decode(output, last), last

    def encode(self, x: Tensor) -> Tensor:
        """The inputs of the RNN, (B, T, D), from those of the model."""
        if self.vocabulary is not None:
            x = nn.functional.one_hot(x, self.vocabulary)
        x = x.to(self.head.weight.dtype)
        if self.training and self.input_noise:  # without noise nothing is drawn, so that dropout gets the same random numbers
            x = torch.randn_like(x).mul_(self.input_noise).add_(x)
        return x

    def decode(self, output: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        """The outputs of the model from those of the RNN and its last state."""
        if self.readout == "last":
            parts = [state[self.rnn.cell.state.index(name)] for name in self.rnn.cell.outputs]
            last = [part[at] for at in range(-self.rnn.num_directions, 0) for part in parts]
            output = last[0] if len(last) == 1 else torch.cat(last, -1)
        return self.head(self.dropout(output) if self.dropout.p else output)
