"""Embedded Reber strings: the last symbol but one is the second, with an inner string in between."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gatelab.tasks import _reber, _stream
from gatelab.tasks._task import Batch, Split
from gatelab.tasks.reber import Reber

_CERTAIN = 100.0  # a logit among zeros


@dataclass(frozen=True)
class EmbeddedReber(Reber):
    """Next-symbol prediction in the embedded Reber grammar: T or P must be remembered over an inner string and predicted again.

        B  (T | P)  inner string  the same (T | P)  E

    Inner strings are those of `reber`: 8 symbols on average, at least 5, so that embedded ones have 12, at least 9 [computed]. All
    other symbols can be predicted from the four before them; only the second T or P needs the first.

    Layout: x (B, T) int64 tokens, 0 .. 6 for BTSXPVE, without the last E; y (B, T) the symbols that follow; lengths (B,).
    Events: the first T or P.
    Scores: `recall`, how often the second T or P is the most likely symbol (chance 1/2 for a model that knows the grammar but not
    the first); `nll`, the cross-entropy in nats a symbol.

    Differs from Hochreiter & Schmidhuber 1997 (Experiment 1): strings are drawn for every batch, there 256 are trained on and
    256 tested; the criterion there is that all symbols which may come are the most active outputs.

    References:
        Fahlman, "The recurrent cascade-correlation architecture", NIPS 3, 1991.
        Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997, Experiment 1.
    """

    repeats = "short strings are few"
    metric = "recall"
    higher_is_better = True
    scale = "logit"  # a share of correct symbols; errors of 5% and 0.5% differ as 50% and 95% do
    shape = "any"  # a run either carries the first symbol over the inner string or guesses
    chance_derivation = "the second of two equally likely symbols, guessed: 1/2"
    solved_derivation = "our choice: one error in twenty"

    @property
    def plateau(self) -> int:
        return 1000  # seen: 150 steps with the defaults; smaller batches and plain gradient descent take longer

    @property
    def chance(self) -> float:
        return 0.5

    @property
    def solved(self) -> float:
        return 0.95

    @property
    def lag(self) -> float:
        """From the first T or P to the step that asks for it: over an inner string, 8 symbols on average."""
        return 8.0

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        words = _stream.words("embedded_reber", split, seed, indices, 1)[:, 0]
        symbols, lengths = _reber.embedded(_reber.bits(words))
        steps = int(lengths.max()) - 1
        x, y = (torch.from_numpy(symbols[:, start : start + steps].copy()) for start in (0, 1))
        events = (torch.arange(steps) == 1).expand(x.shape)
        return Batch(x, y, torch.from_numpy(lengths - 1), events)

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        assert batch.lengths is not None, "strings have lengths"
        nats, valid = _reber.nats(output, batch.y, batch.lengths)
        asked = _reber.recalled(batch.y, batch.lengths)
        right = asked & (output.argmax(-1) == batch.y)
        return {
            "recall": (right.sum().to(nats.dtype), asked.sum().to(nats.dtype)),
            "nll": (nats.sum(), valid.sum().to(nats.dtype)),
        }

    def constant(self, batch: Batch) -> Tensor:
        """Always certain of T."""
        output = torch.zeros(*batch.y.shape, self.output_size, device=batch.y.device)
        output[..., _reber.SYMBOLS.index("T")] = _CERTAIN
        return output
