"""Warp: predict the previous letter while time is stretched."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gatelab.options import option
from gatelab.tasks import _stream
from gatelab.tasks._losses import cross_entropy
from gatelab.tasks._task import Batch, Split, Task

_LETTERS = 10
_NONE = _LETTERS  # as a target, none before the first letter; as an input, padding
_LEAST = -100.0  # logit of an impossible class


@dataclass(frozen=True)
class Warp(Task):
    """Previous-letter prediction on random letters whose time axis is warped: every letter lasts for several steps.

        kind     input for the letters a b c, lasting 2, 1, 3 steps         target
        repeat   a a b c c c                                                none none a b b b
        pad      a . b c . .                                                none none a b b b

    Uniform warping: each letter lasts `factor` steps. Variable: 1 .. `factor` steps, drawn for every letter. Without warping a
    leaky unit with the right time constant is enough, and under uniform warping a slower one; variable warping needs
    a time constant that depends on the input.

    Layout: x (B, T) int64 tokens, 0 .. 9 the letters, 10 padding; y (B, T), 0 .. 9 the letter before, 10 for none. The last letter
    may be cut off.
    Score: `nll`, the cross-entropy in nats averaged over all steps.

    Differs from Tallec & Ollivier 2018: there 50,000 sequences are trained on for three epochs, here every batch is drawn.

    Args:
        length: T, steps.
        factor: the most steps that a letter lasts.
        mode: "uniform" or "variable".
        kind: "repeat" the letter or "pad" behind it.

    References:
        Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018, arXiv 1804.11188, on warping.
    """

    length: int = option(500, "T, steps of a sequence", minimum=1, steps=1)
    factor: int = option(4, "most steps that a letter lasts; 1: no warping", minimum=1)
    mode: str = option("variable", "each letter lasts `factor` steps, or 1 to `factor`", choices=("variable", "uniform"))
    kind: str = option("repeat", "what fills the steps of a letter", choices=("repeat", "pad"))

    metric = "nll"
    scale = "log"  # the previous letter can be known, so that nats fall by decades
    shape = "any"  # a run finds a time constant that fits or does not; slow runs stay near chance
    chance_derivation = "ln 10 at every step but those of the first letter, whose number is certain or uniform"
    solved_derivation = "our choice: 10% of chance"

    @property
    def vocabulary(self) -> int | None:
        return _LETTERS + 1

    @property
    def input_size(self) -> int:
        return _LETTERS + 1

    @property
    def output_size(self) -> int:
        return _LETTERS + 1

    @property
    def chance(self) -> float:
        first = self._first()
        known = [p * math.log(p) for q in first for p in (q, 1 - q) if p > 0]
        return float(((1 - first) * math.log(_LETTERS)).sum() - sum(known)) / self.length

    @property
    def solved(self) -> float:
        return 0.1 * self.chance

    def _first(self) -> np.ndarray:
        """Probability (T,) that a step belongs to the first letter."""
        steps = np.arange(self.length)
        if self.mode == "uniform":
            return (steps < self.factor).astype(float)
        return np.clip(1 - steps / self.factor, 0, 1)

    @property
    def lag(self) -> float:
        """A letter is asked for as long as the next one lasts, which is this at most."""
        return self.factor

    def size(self, split: Split) -> int | None:
        return {"train": None, "val": 512, "test": 1024}[split]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        words = _stream.words("warp", split, seed, indices, 2 * self.length)
        letters = _stream.below(words[:, : self.length], _LETTERS)
        lasts = np.full(letters.shape, self.factor, dtype=np.int64)
        if self.mode == "variable":
            lasts = 1 + _stream.below(words[:, self.length :], self.factor)
        ends = lasts.cumsum(1)
        rows = np.arange(len(words))[:, None]
        # The number of the letter at each step: how many have ended by then.
        begins = np.zeros((len(words), self.length + 1), dtype=np.int64)
        np.add.at(begins, (rows, np.minimum(ends, self.length)), 1)
        letter = begins[:, :-1].cumsum(1)
        x = letters[rows, letter]
        y = np.where(letter == 0, _NONE, letters[rows, letter - 1])
        if self.kind == "pad":
            x[:, 1:] = np.where(begins[:, 1:-1] > 0, x[:, 1:], _NONE)
        return Batch(torch.from_numpy(x), torch.from_numpy(y))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(output, batch.y).mean()

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        nats = cross_entropy(output, batch.y)
        return {"nll": (nats.sum(), nats.new_tensor(nats.numel()))}

    def constant(self, batch: Batch) -> Tensor:
        """Uniform over the letters, except for the probability that this is still the first."""
        first = torch.from_numpy(self._first())[:, None]
        logits = torch.cat(((1 - first).expand(-1, _LETTERS) / _LETTERS, first), 1).log().clamp_min(_LEAST).float()
        return logits.to(batch.y.device).expand(len(batch.y), -1, -1)
