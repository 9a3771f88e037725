"""Reber's grammar: predict the next symbol of a string in which every symbol depends only on its place."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gatelab.tasks import _reber, _stream
from gatelab.tasks._task import Batch, Split, Task


@dataclass(frozen=True)
class Reber(Task):
    """Next-symbol prediction in Reber's grammar: the short-memory control of `embedded_reber`.

        B -> 1    1 -> T 2 | P 3    2 -> S 2 | X 4    3 -> T 3 | V 5    4 -> X 3 | S 6    5 -> P 4 | V 6    6 -> E

    Both alternatives have probability 1/2. A string has 8 symbols on average [computed].

    Layout: x (B, T) int64 tokens, 0 .. 6 for BTSXPVE, without the last E; y (B, T) the symbols that follow; lengths (B,).
    Scores: `nll`, the cross-entropy in nats a symbol. No model can get below the entropy of the grammar, 6 ln 2/7 = 0.594.

    References:
        Reber, "Implicit learning of artificial grammars", J. Verbal Learning and Verbal Behavior 6, 1967.
        Cleeremans, Servan-Schreiber & McClelland, "Finite state automata and simple recurrent networks", Neural Comp. 1, 1989.
    """

    repeats = "short strings are few: the shortest four are a quarter of all"
    metric = "nll"
    scale = "linear"  # the entropy of the grammar is a floor above 0, and nats vary little above it
    shape = "single"  # four symbols of memory are enough: every run comes close to the floor
    chance_derivation = "uniform over the seven symbols: ln 7"
    solved_derivation = "our choice: 5% above the entropy of the grammar, 6 choices of ln 2 on 7 predicted symbols"

    @property
    def vocabulary(self) -> int | None:
        return len(_reber.SYMBOLS)

    @property
    def input_size(self) -> int:
        return len(_reber.SYMBOLS)

    @property
    def output_size(self) -> int:
        return len(_reber.SYMBOLS)

    @property
    def chance(self) -> float:
        return math.log(len(_reber.SYMBOLS))

    @property
    def solved(self) -> float:
        return 1.05 * _reber.entropy(certain=1, free=0)

    def size(self, split: Split) -> int | None:
        return {"train": None, "val": 512, "test": 1024}[split]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        words = _stream.words("reber", split, seed, indices, 1)[:, 0]
        symbols, lengths = _reber.inner(_reber.bits(words)[:, 1:])
        steps = int(lengths.max()) - 1
        x, y = symbols[:, :steps].copy(), symbols[:, 1 : steps + 1].copy()
        return Batch(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(lengths - 1))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        assert batch.lengths is not None, "strings have lengths"
        nats, valid = _reber.nats(output, batch.y, batch.lengths)
        return nats.sum() / valid.sum()

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        assert batch.lengths is not None, "strings have lengths"
        nats, valid = _reber.nats(output, batch.y, batch.lengths)
        return {"nll": (nats.sum(), valid.sum().to(nats.dtype))}

    def constant(self, batch: Batch) -> Tensor:
        return torch.zeros(*batch.y.shape, self.output_size, device=batch.y.device)
