"""Continual embedded Reber: an endless stream of strings without any mark where one ends."""

from dataclasses import dataclass

import numpy as np
import torch

from gatelab.options import option
from gatelab.tasks import _reber, _stream
from gatelab.tasks._task import Batch, Split
from gatelab.tasks.embedded_reber import EmbeddedReber

_ROWS = 256  # streams of an evaluation, each in one row of its batches


@dataclass(frozen=True)
class ContinualReber(EmbeddedReber):
    """Next-symbol prediction on a sequence of embedded Reber strings, with a state that is never reset.

    A batch holds the next `strings` strings of every stream; the state is carried from batch to batch, its gradient is not. A cell
    that cannot forget has to tell the strings apart in spite of what all earlier ones left in its state.

    Layout: x (B, T) int64 tokens, 0 .. 6 for BTSXPVE; y (B, T) the symbols that follow, B behind an E; lengths (B,).
    Events: the first T or P of every string.
    Scores: as in `embedded_reber`. That task, with fresh state for every string, is this one with an external reset.

    Differs from Gers et al. 2000: gradients reach back to the beginning of a batch, there they are truncated as in the LSTM of
    1997 and weights change after every symbol; a stream there ends at the first error or after 100,000 symbols, here it is scored
    by the share of right symbols over 16 batches.

    Args:
        strings: strings of a stream in one batch.

    References:
        Gers, Schmidhuber & Cummins, "Learning to Forget: Continual Prediction with LSTM", Neural Computation 12(10), 2000.
    """

    strings: int = option(6, "strings of a stream in one batch, about 12 symbols each", minimum=1, steps=12)

    carried = True
    repeats = ""

    def size(self, split: Split) -> int | None:
        return {"train": None, "val": 4 * _ROWS, "test": 16 * _ROWS}[split]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        words = _stream.words("continual_reber", split, seed, indices, self.strings)
        symbols, lengths = _reber.embedded(_reber.bits(words).reshape(-1, 1 + _reber.CHOICES))
        symbols, lengths = symbols.reshape(len(words), self.strings, -1), lengths.reshape(len(words), self.strings)
        ends = lengths.cumsum(1)
        steps = int(ends[:, -1].max())
        x = np.full((len(words), steps), _reber.SYMBOLS.index("E"), dtype=np.int64)
        events = np.zeros((len(words), steps), dtype=bool)
        row, string, place = np.nonzero(np.arange(symbols.shape[2]) < lengths[..., None])
        at = (ends - lengths)[row, string] + place
        x[row, at] = symbols[row, string, place]
        events[row, at] = place == 1
        y = np.full_like(x, _reber.SYMBOLS.index("B"))  # after the last E comes the next B
        y[:, :-1] = x[:, 1:]
        y[np.arange(len(words)), ends[:, -1] - 1] = _reber.SYMBOLS.index("B")
        return Batch(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(ends[:, -1].copy()), torch.from_numpy(events))
