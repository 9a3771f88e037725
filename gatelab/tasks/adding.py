"""Adding: remember two marked numbers among T and output their sum."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gatelab.options import option
from gatelab.tasks import _stream
from gatelab.tasks._losses import squared_error
from gatelab.tasks._task import Batch, Split, Task


@dataclass(frozen=True)
class Adding(Task):
    """The adding problem in its modern form.

        x_t = (v_t, m_t),  v_t ~ U[0, 1] independent,  m_a = m_b = 1 and m_t = 0 elsewhere,
        a ~ U{0 .. floor(T/2) - 1},  b ~ U{floor(T/2) .. T - 1},        y = v_a + v_b

    Layout: x (B, T, 2), channel 0 the values v, channel 1 the marks m; y (B, 1). The output of the last step is the answer.
    Events: the two marked steps.
    Score: mean squared error. A model that outputs 1, the mean, scores 1/6.

    Differs from Hochreiter & Schmidhuber 1997 (Experiment 4): there v ~ U[-1, 1], the first and the last step are marked -1, the
    first mark is among the first 10 steps and the second among the first T/2 - 1 that are left, T varies by 10% and the target is
    scaled to 0.5 + (v_a + v_b)/4. U[0, 1] with one mark in each half is the form of Tallec & Ollivier 2018.

    Args:
        length: T, steps.

    Raises:
        UserError: `length` is less than 2, too short for two marks.

    References:
        Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997, Experiment 4.
        Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018, arXiv 1804.11188, adding task.
    """

    length: int = option(100, "T, steps of a sequence", minimum=2, steps=1)

    readout = "last"
    metric = "mse"
    scale = "log"  # an unsolved run scores 1e-1, a solved one 1e-3 and less
    shape = "any"  # a run solves it after a long plateau or stays at chance
    chance_derivation = "predicting the mean 1 leaves the variance of a sum of two U[0, 1], 2/12 = 1/6"
    solved_derivation = "our choice: 6% of chance, a typical error of 0.1 on sums that range over [0, 2]"

    @property
    def plateau(self) -> int:
        return 100 * self.length  # seen: 14 T at T = 50 and 100 with the defaults, 68 T at T = 200 with RMSprop at 1e-3

    @property
    def input_size(self) -> int:
        return 2

    @property
    def output_size(self) -> int:
        return 1

    @property
    def chance(self) -> float:
        return 1 / 6

    @property
    def solved(self) -> float:
        return 0.01

    @property
    def lag(self) -> float:
        """From one mark to the other: b - a is T/2 on average."""
        return self.length / 2

    def size(self, split: Split) -> int | None:
        return {"train": None, "val": 512, "test": 1024}[split]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        words = _stream.words("adding", split, seed, indices, self.length + 2)
        rows, half = np.arange(len(words)), self.length // 2
        x = np.zeros((len(words), self.length, 2), dtype=np.float32)
        x[:, :, 0] = _stream.uniform(words[:, 2:])
        first = _stream.below(words[:, 0], half)
        second = half + _stream.below(words[:, 1], self.length - half)
        x[rows, first, 1] = x[rows, second, 1] = 1.0
        y = x[rows, first, 0] + x[rows, second, 0]
        return Batch(torch.from_numpy(x), torch.from_numpy(y[:, None]), events=torch.from_numpy(x[:, :, 1] > 0))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return squared_error(output, batch.y).mean()

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        errors = squared_error(output, batch.y)
        return {"mse": (errors.sum(), errors.new_tensor(errors.numel()))}

    def constant(self, batch: Batch) -> Tensor:
        return torch.ones_like(batch.y)
