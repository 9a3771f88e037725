"""Copying: keep ten letters over T blank steps and repeat them at a signal."""

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

_LETTERS = 8  # size of the alphabet
_RECALL = 10  # letters to keep, and steps to repeat them in
_CERTAIN = 100.0  # a logit among zeros: exp(-100) vanishes in float32, so that the loss of a certain, correct answer is 0


@dataclass(frozen=True)
class Copying(Task):
    """The copy memory problem, in two published layouts of T + 20 steps.

        steps (0-based)    0 .. 9       10 .. T+8    T+9       T+10 .. T+19
        tallec  x          letters      dummy = 8    signal=9  dummy = 8        letters 0 .. 7, one token a step
        tallec  y          dummy = 8    dummy = 8    dummy=8   the letters
        bai     x          digits       0            9         9                digits 1 .. 8, the integer itself in one channel
        bai     y          0            0            0         the digits

    Both have the signal at step T + 9 and the answer in the ten steps after it; bai's input is 9 in those steps too, so that its
    last eleven entries are 9. Letters are independent and uniform.

    Layout: tallec x (B, T+20) int64 tokens, bai x (B, T+20, 1) float32 with values 0 .. 9; y (B, T+20) int64, classes 0 .. 9 in
    both (class 9 is never correct: the output alphabet is that of the input).
    Events: the ten steps of the letters.
    Scores: `nll`, the cross-entropy in nats averaged over all T + 20 steps as in both papers, and `recall`, the accuracy on the ten
    answer steps (chance 1/8), also for each slot: `recall/0` to `recall/9`. Few of the averaged steps matter: the level of
    a model without memory is small, 10 ln 8/(T+20) = 0.297 for T = 50, and has been mistaken for success.

    Args:
        length: T, the steps from the last letter to the first answer, less one.
        layout: "tallec" or "bai".

    Raises:
        UserError: `length` is less than 1 or `layout` is unknown.

    References:
        Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018, arXiv 1804.11188, copy task.
        Bai, Kolter & Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling",
        arXiv 1803.01271, 2018, copy memory task, with the layout of its published code.
    """

    length: int = option(50, "T, a sequence has T + 20 steps", minimum=1, steps=1)
    layout: str = option("tallec", "tallec: tokens; bai: integers on one channel", choices=("tallec", "bai"))

    metric = "nll"
    scale = "log"  # nats fall by decades once the letters are kept: 1e-1 to 1e-4
    shape = "any"  # a run learns to keep the letters or stays at chance
    chance_derivation = "without memory the blank steps are certain and ten steps cost ln 8 each: 10 ln 8/(T + 20)"
    solved_derivation = (
        "our choice: 10% of chance, 0.21 nats a letter, a mean probability of 0.81 for the right one; "
        "models that have not learnt to remember stay at chance itself"
    )

    @property
    def plateau(self) -> int:
        return 100 * self.length  # seen: 55 T at T = 50 with the defaults, until the score is a tenth better than chance

    @property
    def vocabulary(self) -> int | None:
        return _LETTERS + 2 if self.layout == "tallec" else None

    @property
    def input_size(self) -> int:
        return self.vocabulary or 1

    @property
    def output_size(self) -> int:
        return _LETTERS + 2

    @property
    def chance(self) -> float:
        return _RECALL * math.log(_LETTERS) / (self.length + 2 * _RECALL)

    @property
    def solved(self) -> float:
        return 0.1 * self.chance

    @property
    def _codes(self) -> tuple[int, int]:
        """The number of the first letter, and of the blank."""
        return (0, _LETTERS) if self.layout == "tallec" else (1, 0)

    @property
    def lag(self) -> float:
        """From a letter to its repetition."""
        return self.length + _RECALL

    def size(self, split: Split) -> int | None:
        return {"train": None, "val": 512, "test": 1024}[split]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        first, blank = self._codes
        signal = _LETTERS + 1
        letters = first + _stream.below(_stream.words("copying", split, seed, indices, _RECALL), _LETTERS)
        x = np.full((len(letters), self.length + 2 * _RECALL), blank, dtype=np.int64)
        y = x.copy()
        x[:, :_RECALL] = letters
        x[:, -_RECALL - 1] = signal
        y[:, -_RECALL:] = letters
        events = (torch.arange(x.shape[1]) < _RECALL).expand(x.shape)
        if self.layout == "tallec":
            return Batch(torch.from_numpy(x), torch.from_numpy(y), events=events)
        x[:, -_RECALL:] = signal
        return Batch(torch.from_numpy(x[:, :, None].astype(np.float32)), torch.from_numpy(y), events=events)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(output, batch.y).mean()

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        nats = cross_entropy(output, batch.y)
        right = (output[:, -_RECALL:].argmax(-1) == batch.y[:, -_RECALL:]).to(nats.dtype)
        rows = right.new_tensor(len(right))
        slots = {f"recall/{slot}": (of_slot, rows) for slot, of_slot in enumerate(right.sum(0))}
        return {"nll": (nats.sum(), nats.new_tensor(nats.numel())), "recall": (right.sum(), rows * _RECALL)} | slots

    def constant(self, batch: Batch) -> Tensor:
        """Constant over sequences, not over steps: sure of the blank, then uniform over the letters."""
        first, blank = self._codes
        step = torch.zeros(self.length + 2 * _RECALL, self.output_size, device=batch.y.device)
        step[:-_RECALL, blank] = _CERTAIN
        step[-_RECALL:, first : first + _LETTERS] = _CERTAIN
        return step.expand(len(batch.y), -1, -1)
