"""Both backends of a CPU train the same model."""

import math

import pytest
from tolerances import TRAINED

from gatelab.config import AdamW, Model
from gatelab.diagnostics import keys
from gatelab.training.fit import fit

STEPS = 50


@pytest.mark.slow
@pytest.mark.parametrize(("task", "metric"), [("jsb", "nll"), ("adding", "mse")])
def test_both_backends_reach_the_same_validation_score(task, metric, small, request):
    """After the first 50 optimiser steps at the default settings; for jsb to 1e-3 nats a frame.

    That kernels agree cannot be seen later than this: training is chaotic, so that a difference in the last bit grows by itself.
    In float64 the two backends are 5e-14 apart at step 50, 8e-7 at 100, 3e-4 at 150 and 5e-3 at 200 (jsb, lstm), and the best of
    1000 steps in float32 differs as it does between two seeds. No kernel is right or wrong by 1e-3 after a whole run.
    """
    if task == "jsb":
        request.getfixturevalue("mirror")
    scores = {}
    for backend in ("eager", "cpu"):
        settings = {"max_steps": STEPS, "batch_size": 32}
        run = fit(small(backend, task={"name": task}, optimizer=AdamW(), model=Model(backend=backend), trainer=settings))
        steps, scores[backend] = run.metrics()[keys.score("val", metric)]
        assert steps == list(range(10, STEPS + 1, 10))
    assert scores["cpu"] == pytest.approx(scores["eager"], rel=0, abs=TRAINED[metric])
    assert math.isfinite(scores["cpu"][-1])
    assert scores["cpu"][-1] < scores["cpu"][0]  # it has learned
