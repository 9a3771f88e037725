"""Batches from tasks: an endless stream for training, a fixed list for validation and test."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gatelab.tasks import TASKS, Batch, Split, Task, Watched
from gatelab.training.parallel import Team

AHEAD = 10  # batches made at once: after a step the processor's caches are cold, and a single batch takes three times as long
AHEAD_BYTES = 2**22  # the maximum size of these batches
KEPT_BYTES = 2**24  # the maximum size of a split that is kept between evaluations; a larger one is made again
EVALUATION_BATCH = 256  # sequences; evaluation keeps no activations, so that larger batches cost little memory


class TrainingStream:
    """Endless batches; batch k is a function of only (task, seed, k), so that a run can resume anywhere.

    Generated data is taken in order. Finite data is taken in epochs, each a new permutation; what does not fill the last
    batch of an epoch is left out of that epoch.

    Args:
        task: where the sequences come from.
        seed: the data seed.
        batch_size: B.
        start: called when iteration begins; the number of batches already seen.
        team: the processes that share the rows; a batch has those of this process.
    """

    def __init__(self, task: Task, seed: int, batch_size: int, start: Callable[[], int], team: Team | None = None) -> None:
        self.task, self.seed, self.start, self.team = _watched(task), seed, start, team or Team()
        self.size = self.task.size("train")
        self.batch_size = batch_size if self.size is None else min(batch_size, self.size)

    def __iter__(self) -> Iterator[Batch]:
        number, count, together = self.start(), 1, True
        while True:
            numbers = range(number, number + count)
            batches = self._at_once(numbers) if together else [*map(self._batch, numbers)]
            if together and batches[0].lengths is not None:
                # Rows that end at different steps are padded to the longest of several batches.
                batches, together = [*map(self._batch, numbers)], False
            yield from batches
            number, count = numbers.stop, max(1, min(AHEAD, AHEAD_BYTES // _bytes(batches[-1])))

    def _batch(self, number: int) -> Batch:
        return self.task.batch("train", self.seed, self._own_indices(number))

    def _at_once(self, numbers: Sequence[int]) -> list[Batch]:
        """The same batches from one call of the task, which makes each row from its index alone."""
        parts = [self._own_indices(number) for number in numbers]
        whole, stop, batches = self.task.batch("train", self.seed, np.concatenate(parts)), 0, []
        for part in parts:
            start, stop = stop, stop + len(part)
            batches.append(whole.rows(slice(start, stop)))
        return batches

    def _own_indices(self, number: int) -> np.ndarray:
        return self.indices(number)[self.team.rows(self.batch_size)]

    def indices(self, number: int) -> np.ndarray:
        """The sequences of batch `number`, for all processes."""
        if self.size is None:
            return np.arange(number * self.batch_size, (number + 1) * self.batch_size)
        epoch, place = divmod(number, self.size // self.batch_size)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
        return order[place * self.batch_size : (place + 1) * self.batch_size]


class EvaluationBatches:
    """All sequences of a fixed split, in order; of each batch the rows of this process, if it has any."""

    def __init__(self, task: Task, split: Split, team: Team | None = None) -> None:
        self.task, self.team = _watched(task), team or Team()
        self.split: Split = split
        size = self.task.size(split)
        assert size is not None  # `Watched` refuses it for val and test
        self.size = size
        self._kept: list[Batch] = []

    def __len__(self) -> int:
        return len(self._indices())

    def __iter__(self) -> Iterator[Batch]:
        if self._kept:
            yield from self._kept
            return
        kept: list[Batch] = []
        for indices in self._indices():
            batch = self.task.batch(self.split, 0, indices)
            yield batch
            kept.append(batch)
            if sum(map(_bytes, kept)) > KEPT_BYTES:
                kept.clear()
        if len(kept) == len(self):
            self._kept = kept

    def _indices(self) -> list[np.ndarray]:
        firsts = range(0, self.size, EVALUATION_BATCH)
        whole = [np.arange(first, min(first + EVALUATION_BATCH, self.size)) for first in firsts]
        shares = [indices[self.team.rows(len(indices))] for indices in whole]
        return [indices for indices in shares if len(indices)]


def _bytes(batch: Batch) -> int:
    return sum(part.nbytes for part in batch if part is not None)


def _watched(task: Task) -> Watched:
    return Watched(task, TASKS.name_of(type(task)))
