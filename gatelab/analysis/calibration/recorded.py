"""A comparison whose truth is what runs did: cifg against lstm on the adding problem, as the demo trains them.

Recorded with `gatelab train -m experiment=demo/adding cell=lstm,cifg seed=0,1,2,3,4,5,6,7,8,9` (T = 100, 64 units, 900 steps at a
rate of 0.01, validations every 50 steps; two cores of an AMD EPYC, CPU kernels). Three more
variants stand for the others of the demo: draws of lstm's own runs, which differ in nothing.
"""

import math

import numpy as np

from gatelab.analysis.calibration.truths import BUDGET, CHANCE, SOLVED
from gatelab.analysis.statistics.differences import Family, Sample
from gatelab.analysis.statistics.scales import Axis
from gatelab.analysis.statistics.survival import Times

# Step of the first validation with a mean squared error of at most 0.01 (nan: none), and the error on the test set.
LSTM = (
    (550, 0.000504),
    (750, 0.00227),
    (650, 0.000693),
    (650, 0.000863),
    (math.nan, 0.165),
    (math.nan, 0.165),
    (500, 0.000453),
    (math.nan, 0.165),
    (700, 0.000668),
    (550, 0.000557),
)
CIFG = (
    (350, 0.000174),
    (300, 0.000159),
    (350, 0.000144),
    (300, 0.000155),
    (300, 0.000209),
    (350, 0.000139),
    (300, 0.000164),
    (300, 0.000118),
    (300, 0.000256),
    (300, 0.000147),
)


def cifg_against_lstm(rng: np.random.Generator, n: int = 5) -> Family:
    """Five seeds each of lstm, the baseline, of cifg and of three more variants that are lstm, drawn from the recorded runs."""
    base, first, *others = (_drawn(runs, n, rng) for runs in (LSTM, CIFG, LSTM, LSTM, LSTM))
    return Family(base, [first, *others], False, Axis("log"), "any", CHANCE, SOLVED, BUDGET)


def _drawn(runs: tuple[tuple[float, float], ...], n: int, rng: np.random.Generator) -> Sample:
    """Some of the runs, each at most once."""
    steps, scores = np.array(runs)[rng.choice(len(runs), n, replace=False)].T
    return Sample(scores.tolist(), (), Times(np.where(np.isnan(steps), BUDGET, steps), ~np.isnan(steps)))
