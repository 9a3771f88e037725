"""JSB Chorales: the file is the one the literature uses, and the baselines are its."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat

from gatelab.tasks import TASKS, Batch
from gatelab.tasks._task import Split
from gatelab.tasks.jsb import JSB

pytestmark = pytest.mark.usefixtures("mirror")

TASK = JSB()


def whole(split: Split) -> Batch:
    size = TASK.size(split)
    assert size is not None
    return TASK.batch(split, 0, np.arange(size))


@pytest.mark.parametrize(
    ("split", "chorales", "frames", "notes"), [("train", 229, 13807, 3.898), ("val", 76, 4602, 3.870), ("test", 77, 4725, 3.887)]
)
def test_counts(split: Split, chorales: int, frames: int, notes: float) -> None:
    batch = whole(split)
    assert batch.lengths is not None
    assert TASK.size(split) == len(batch.x) == chorales
    assert int((batch.lengths + 1).sum()) == frames
    # The input lacks the last frame of a chorale; the target has it.
    last = batch.y[torch.arange(chorales), batch.lengths - 1].sum()
    assert float(batch.x.sum() + last) / frames == pytest.approx(notes, abs=5e-4)


def test_targets_are_the_next_frames(mirror: Path) -> None:
    rolls = loadmat(mirror / "polyphonic_music" / "JSB_Chorales.mat")["testdata"].ravel()
    batch = TASK.batch("test", 0, np.array([5, 2]))
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [len(rolls[5]) - 1, len(rolls[2]) - 1]
    assert batch.x.shape == batch.y.shape == (2, int(batch.lengths.max()), 88)
    for row, index in enumerate((5, 2)):
        steps = int(batch.lengths[row])
        assert np.array_equal(batch.x[row, :steps].numpy(), rolls[index][:-1])
        assert np.array_equal(batch.y[row, :steps].numpy(), rolls[index][1:])
        assert not batch.x[row, steps:].any()
        assert not batch.y[row, steps:].any()


def test_baselines() -> None:
    assert TASK.chance == pytest.approx(11.091, abs=5e-4)
    assert TASK.markov == pytest.approx(10.491, abs=5e-4)
    assert TASK.solved < TASK.markov < TASK.chance


def test_markov_through_the_loss() -> None:
    """The per-key model, written as outputs with counts taken from the padded batch, scores what `markov` says."""
    train, test = whole("train"), whole("test")
    assert train.lengths is not None
    real = (torch.arange(train.x.shape[1]) < train.lengths[:, None])[:, :, None].double()
    table = []
    for state in (0.0, 1.0):
        weight = (train.x == state) * real
        p = ((weight * train.y).sum((0, 1)) + 0.5) / (weight.sum((0, 1)) + 1)
        table.append(p.logit())
    assert float(TASK.loss(torch.where(test.x > 0, table[1], table[0]), test)) == pytest.approx(TASK.markov, rel=1e-9)


def test_score_by_hand() -> None:
    """Even odds on 88 keys cost 88 ln 2 a frame, whatever is padded."""
    batch = TASK.batch("val", 0, np.arange(4))
    assert float(TASK.loss(torch.zeros_like(batch.y), batch)) == pytest.approx(88 * np.log(2), rel=1e-6)
    total, weight = TASKS.build("jsb").metrics(torch.zeros_like(batch.y), batch)["nll"]
    assert batch.lengths is not None
    assert weight == batch.lengths.sum()
    assert float(total) == pytest.approx(float(weight) * 88 * np.log(2), rel=1e-6)
