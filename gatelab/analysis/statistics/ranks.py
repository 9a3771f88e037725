"""Variants over several tasks: their average ranks, and the probability that one is better on a task that was not tried."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEWEST_TASKS = 5  # for a critical difference: with fewer tasks the distribution behind it is far off
DRAWS = 20_000
PRIOR = 0.5  # the weight of the prior, in tasks: half a task on which both are alike


class Ranks(NamedTuple):
    """Average ranks over tasks.

    Attributes:
        ranks: (K,), of each variant, 1 the best.
        critical: variants whose ranks differ by more than this differ; None for too few tasks or a single variant.
    """

    ranks: NDArray[np.float64]
    critical: float | None


class Chances(NamedTuple):
    """The probabilities that on a task like those tried the first variant is better, as good, or worse; they add up to 1."""

    better: float
    alike: float
    worse: float


def average_ranks(values: NDArray[np.float64], level: float = 0.95) -> Ranks:
    """The average rank of each variant over tasks, and Nemenyi's critical difference.

    R_k = mean over tasks of the rank of variant k, ties share theirs.  CD = q sqrt(K (K + 1) / (6 N)), K variants, N tasks, q the
    quantile of the studentized range for K groups and infinite degrees of freedom, divided by sqrt(2). It holds for all pairs
    together.

    Args:
        values: (N, K), larger is better; -inf for a failure.
        level: confidence.

    Returns:
        No critical difference for fewer than five tasks.

    References:
        J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, section 3.2.2.
    """
    tasks, variants = values.shape
    ranks = stats.rankdata(-values, axis=1).mean(axis=0)
    if tasks < FEWEST_TASKS or variants < 2:
        return Ranks(ranks, None)
    q = float(stats.studentized_range.ppf(level, variants, math.inf)) / math.sqrt(2)
    return Ranks(ranks, q * math.sqrt(variants * (variants + 1) / (6 * tasks)))


def signed_rank_chances(differences: NDArray[np.float64], alike: float, seed: int = 0) -> Chances:
    """The Bayesian signed-rank test: how probable it is that a variant is better on a task like those that were tried.

    The tasks have weights w ~ Dirichlet(s, 1, ..., 1), the first one of a task on which both variants are alike, s = 1/2. A draw
    says "better" if sum_ij w_i w_j [z_i + z_j > 2 alike] is the largest of the three sums, the others with "between" and "<". A
    probability is the share of the draws.

    Args:
        differences: (N,), first minus second variant, one for each task, larger is better; on a scale that the tasks share.
        alike: differences up to this size do not matter.
        seed: of the draws.

    References:
        A. Benavoli, G. Corani, J. Demsar, M. Zaffalon, "Time for a change: a tutorial for comparing multiple classifiers through
        Bayesian analysis", JMLR 18, 2017, section 4.
    """
    z = np.concatenate([[0.0], differences])
    weights = np.random.default_rng(seed).dirichlet([PRIOR, *np.ones(len(differences))], DRAWS)
    with np.errstate(invalid="ignore"):
        sums = z[:, None] + z[None, :]
    sums = np.where(np.isnan(sums), 0.0, sums)  # a failure of one and a failure of the other
    above = np.einsum("ri,ij,rj->r", weights, (sums > 2 * alike).astype(float), weights, optimize=True)
    below = np.einsum("ri,ij,rj->r", weights, (sums < -2 * alike).astype(float), weights, optimize=True)
    shares = np.stack([above, 1 - above - below, below])
    ties = shares >= shares.max(axis=0) - 1e-12
    better, same, worse = (ties / ties.sum(axis=0)).mean(axis=1)
    return Chances(float(better), float(same), float(worse))
