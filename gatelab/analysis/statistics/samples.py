"""The results of one variant on one task, one a seed."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.statistics.survival import Times


class Sample(NamedTuple):
    """The scores of one variant on one task.

    Attributes:
        scores: (n,), one a seed; nan or infinite for a diverged one.
        seeds: (n,), what each run was seeded with; empty when that is not known.
        times: when the runs solved the task; None when that is not known.
    """

    scores: Sequence[float] | NDArray[np.float64]
    seeds: Sequence[Hashable] = ()
    times: Times | None = None


def scores_of(sample: Sample) -> NDArray[np.float64]:
    """The scores (n,).

    Raises:
        ValueError: there are none, or another number of seeds.
    """
    x = np.asarray(sample.scores, dtype=float)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"Scores of shape (n,) with n >= 1 are needed, but the shape is {x.shape}.")
    if sample.seeds and len(sample.seeds) != x.size:
        raise ValueError(f"There are {x.size} scores of {len(sample.seeds)} seeds.")
    return x


def paired_scores(variant: Sample, baseline: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The scores of both in the order of the variant's seeds; None unless both have the same two or more seeds, each once."""
    a, b = dict(zip(variant.seeds, variant.scores, strict=False)), dict(zip(baseline.seeds, baseline.scores, strict=False))
    repeated = len(a) < len(variant.scores) or len(b) < len(baseline.scores)
    if repeated or a.keys() != b.keys() or len(a) < 2:
        return None
    return np.array([*a.values()], dtype=float), np.array([b[seed] for seed in a], dtype=float)
