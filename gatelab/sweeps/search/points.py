"""Random search: points of the unit cube, one for each trial, become overrides, the same for every variant."""

import numpy as np
from hydra.core.override_parser.types import Override
from numpy.typing import NDArray

from gatelab.errors import UserError
from gatelab.sweeps.jobs.hydra_internals import combinations
from gatelab.sweeps.search.draws import EXAMPLE, unit_number
from gatelab.sweeps.search.space import read_domains, searched


def split(overrides: list[Override], trials: int, seed: int, sampler: str) -> list[list[str]]:
    """The overrides of every job: for every trial its draws with every combination of all other values.

    The draws do not depend on those other values, so that variants share them, and a larger search begins with the same trials.

    Args:
        overrides: `interval(...)` and `choice(...)` are drawn from, each by the inverse of its distribution function.
        trials: number of draws; `seed`, `sampler`: see `unit_cube`.

    Raises:
        UserError: nothing is drawn from, one cannot be drawn from, or they are too many for the sampler.
    """
    domains = read_domains([override for override in overrides if searched(override)], None)
    if not domains:
        raise UserError(f"A random search draws from intervals and choices, but none is given. Give one, as in {EXAMPLE}.")
    grid = combinations([override for override in overrides if not searched(override)])
    points = unit_cube([domain.key for domain in domains], trials, seed, sampler)
    jobs = []
    for point in points:
        draws = [f"{domain.key}={domain.at(float(u))}" for domain, u in zip(domains, point, strict=True)]
        jobs += [[*job, *draws] for job in grid]
    return jobs


def unit_cube(keys: list[str], trials: int, seed: int, sampler: str) -> NDArray[np.float64]:
    """Points of the unit cube: row t of `trials` rows depends on the seed, on t and on the keys, not on their order.

    sobol: a Sobol sequence, scrambled by random matrices and a random shift (Matoušek). Each point is uniform, and the points
    together are spread evenly: of the first 2^m points, each of 2^k equal parts (k <= m) of every axis has 2^(m-k). Statistics
    that treat these draws as independent are on the safe side, since even points vary less. independent: a hash of (seed, trial,
    key), so that an option keeps its draws when others are added.

    Args:
        keys: the options, one for each axis.
        trials: number of points. Each sequence continues: a larger number begins with the same points.
        seed: any whole number.
        sampler: sobol or independent.

    Returns:
        (trials, keys), in [0, 1).

    Raises:
        UserError: a Sobol sequence has fewer axes.

    References:
        Matoušek (1998), On the L2-discrepancy for anchored boxes, Journal of Complexity 14.
        Joe & Kuo (2008), Constructing Sobol sequences with better two-dimensional projections, SIAM J. Sci. Comput. 30.
    """
    if sampler == "independent":
        return np.array([[unit_number(seed, trial, key) for key in keys] for trial in range(trials)])
    from scipy.stats.qmc import Sobol

    if len(keys) > Sobol.MAXDIM:
        raise UserError(
            f"{len(keys):,} options are drawn, but a Sobol sequence has at most {Sobol.MAXDIM:,} axes. "
            "Draw from fewer, or add hydra.sweeper.sampler=independent."
        )
    scrambling = np.random.default_rng(int(unit_number("sobol", seed) * 2.0**53))
    # Whole powers of 2, of which the first points are taken: SciPy warns of other numbers, which are less evenly spread.
    points = Sobol(len(keys), scramble=True, rng=scrambling).random_base2((trials - 1).bit_length())[:trials]
    return points[:, np.argsort(np.argsort(keys))]
