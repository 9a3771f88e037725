"""RNN, the drop-in for `torch.nn.LSTM` with any cell, and SequenceModel, which tasks are trained with."""

from gatelab.models.initialization import initialize
from gatelab.models.rnn import RNN, LayerTrace
from gatelab.models.sequence import SequenceModel

__all__ = ["RNN", "LayerTrace", "SequenceModel", "initialize"]
