"""Variable copying: keep ten letters over a number of blank steps that differs from sequence to sequence."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gatelab.options import option
from gatelab.tasks import _stream
from gatelab.tasks._losses import cross_entropy
from gatelab.tasks._task import Batch, Split, Task

_LETTERS, _RECALL = 8, 10
_BLANK, _SIGNAL = 8, 9
_CERTAIN = 100.0  # a logit among zeros


@dataclass(frozen=True)
class VariableCopying(Task):
    """The copy problem whose gap G ~ U{1 .. T} is drawn for every sequence: G + 20 steps.

        steps (0-based)    0 .. 9     10 .. G+8    G+9       G+10 .. G+19
        x                  letters    blank = 8    signal=9  blank = 8        letters 0 .. 7, one token a step
        y                  blank = 8  blank = 8    blank=8   the letters

    With a fixed gap a network can count; here it has to wait for the signal.

    Layout: x (B, max G + 20) int64 tokens, y likewise, lengths (B,). Events: the ten steps of the letters.
    Scores: `nll`, the cross-entropy in nats over all steps, and `recall`, the accuracy on the ten answer steps (chance 1/8).

    Args:
        length: T, the largest gap.

    References:
        Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018, arXiv 1804.11188, variable copy task.
    """

    length: int = option(50, "T, the largest gap; a sequence has 21 to T + 20 steps", minimum=1, steps=1)

    metric = "nll"
    scale = "log"  # nats fall by decades once the letters are kept: 1e-1 to 1e-4
    shape = "any"  # a run learns to keep the letters or stays at chance
    chance_derivation = "without memory the blank steps are certain and ten steps cost ln 8 each: 10 ln 8/((T + 1)/2 + 20)"
    solved_derivation = "our choice: 10% of chance, 0.21 nats a letter"

    @property
    def plateau(self) -> int:
        return 100 * self.length  # seen: more than 60 T at T = 50 with the defaults

    @property
    def vocabulary(self) -> int | None:
        return _SIGNAL + 1

    @property
    def input_size(self) -> int:
        return _SIGNAL + 1

    @property
    def output_size(self) -> int:
        return _SIGNAL + 1

    @property
    def chance(self) -> float:
        return _RECALL * math.log(_LETTERS) / ((self.length + 1) / 2 + 2 * _RECALL)

    @property
    def solved(self) -> float:
        return 0.1 * self.chance

    @property
    def lag(self) -> float:
        """From a letter to its repetition, over the mean gap."""
        return (self.length + 1) / 2 + _RECALL

    def size(self, split: Split) -> int | None:
        return {"train": None, "val": 512, "test": 1024}[split]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        words = _stream.words("variable_copying", split, seed, indices, 1 + _RECALL)
        gaps, letters = 1 + _stream.below(words[:, 0], self.length), _stream.below(words[:, 1:], _LETTERS)
        lengths = gaps + 2 * _RECALL
        x = np.full((len(words), int(lengths.max())), _BLANK, dtype=np.int64)
        y = x.copy()
        x[:, :_RECALL] = letters
        x[np.arange(len(words)), lengths - _RECALL - 1] = _SIGNAL
        np.put_along_axis(y, (lengths - _RECALL)[:, None] + np.arange(_RECALL), letters, 1)
        events = (torch.arange(x.shape[1]) < _RECALL).expand(x.shape)
        return Batch(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(lengths), events)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        nats, valid, _ = self._parts(output, batch)
        return nats.sum() / valid.sum()

    def metrics(self, output: Tensor, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        nats, valid, asked = self._parts(output, batch)
        right = asked & (output.argmax(-1) == batch.y)
        return {
            "nll": (nats.sum(), valid.sum().to(nats.dtype)),
            "recall": (right.sum().to(nats.dtype), asked.sum().to(nats.dtype)),
        }

    def constant(self, batch: Batch) -> Tensor:
        """Certain of the blank until the signal, then uniform over the letters."""
        _, _, asked = self._parts(torch.zeros(*batch.y.shape, self.output_size, device=batch.y.device), batch)
        answer = torch.zeros(2, self.output_size, device=batch.y.device)
        answer[0, _BLANK] = answer[1, :_LETTERS] = _CERTAIN
        return answer[asked.long()]

    @staticmethod
    def _parts(output: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy (B, T), 0 after the end; the valid steps; the ten answer steps."""
        assert batch.lengths is not None, "`batch` always gives them"
        steps = torch.arange(batch.y.shape[1], device=batch.y.device)
        valid = steps < batch.lengths[:, None]
        output = torch.where(valid[..., None], output, 0)  # values after the end may be anything
        return (
            cross_entropy(output, torch.where(valid, batch.y, 0)) * valid,
            valid,
            valid & (steps >= batch.lengths[:, None] - _RECALL),
        )
