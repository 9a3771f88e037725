"""What a summary says besides scores: the words for a cell, and how far the test set can be trusted."""

import math

import numpy as np
import pytest
import torch

from gatelab.cells import CELLS
from gatelab.tasks import TASKS
from gatelab.training.fit import fit
from gatelab.training.parallel import Team
from gatelab.training.scores import Scatter
from gatelab.training.summary import about


class Said:
    """Unit that forgets
    (Smith et al. 2001, e.g. there); the rest is detail.

    Equations.
    """


class Dotted:
    """Shows h = o . c. And more."""


class Silent: ...


def test_the_first_sentence_introduces_a_cell() -> None:
    assert about(Said) == "Unit that forgets (Smith et al. 2001, e.g. there)"
    assert about(Dotted) == "Shows h = o . c"
    assert about(Silent) == ""


@pytest.mark.parametrize("name", CELLS.names())
def test_every_cell_is_introduced_in_half_a_line(name: str) -> None:
    said = about(CELLS.get(name))
    assert 15 < len(said) < 110
    assert said[0].isupper()


def test_the_standard_error_of_a_mean_of_parts() -> None:
    values = np.random.default_rng(0).normal(size=50)
    scatter = Scatter()
    for value in values:
        scatter.add(torch.tensor(16 * value), torch.tensor(16.0))
    error = scatter.error(Team())
    assert error.value == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    assert error.parts == 50
    assert scatter.error(Team()) == (None, 0)  # they are not counted twice


def test_a_summary_has_the_constant_and_the_error_of_its_test_split(small) -> None:
    summary = fit(
        small(cell={"name": "attention"}, task={"name": "adding", "length": 12}, trainer={"max_steps": 2, "probe_every": 1})
    ).summary()
    task = TASKS.build("adding", length=12)
    batch = task.batch("test", 0, np.arange(1024))
    assert summary["constant"] == pytest.approx((batch.y - 1).square().mean().item(), rel=1e-5)
    assert summary["constant"] != pytest.approx(task.chance, rel=1e-3)
    assert summary["test_parts"] == 1024 / 16
    # Of 1,024 squared errors that are about as large as they vary.
    assert summary["test_error"] == pytest.approx(summary["test"]["mse"] / math.sqrt(1024), rel=0.4)
    assert summary["lag"] == 6
    assert summary["retention"] == "forget"
    assert summary["tape"] == {"window": 16}
    assert summary["about"].startswith("LSTM that reads earlier states back")
