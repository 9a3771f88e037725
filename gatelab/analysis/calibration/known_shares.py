"""Random functions of options whose shares of the variance are known, and what the forest finds of them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.importance.variance import TREES_RESAMPLED, shares_of

ACTIVE = 3  # options that do something, at most; all others do nothing
EVENNESS = (0.3, 1.0)  # of Dirichlet's distribution of the shares, in turn: below 1 many are near 0 or 1
NOISE = (0.0, 0.25)  # variance of the noise of seeds over that of the function, in turn

Points = NDArray[np.float64]
# Effects of an option that is uniform in (0, 1), each with mean 0 and variance 1.
EFFECTS: tuple[Callable[[Points], Points], ...] = (
    lambda x: 12**0.5 * (x - 0.5),
    lambda x: 180**0.5 * ((x - 0.5) ** 2 - 1 / 12),
    lambda x: np.sign(x - 0.5),
    lambda x: 2**0.5 * np.sin(2 * np.pi * x),
    lambda x: (np.exp(3 * x) - np.expm1(3) / 3) / (np.expm1(6) / 6 - (np.expm1(3) / 3) ** 2) ** 0.5,
)


def known_shares(n: int, d: int, generator: np.random.Generator, noise: float, evenness: float) -> tuple[list[float], list[float]]:
    """The true and the estimated shares of all options in one search of n independent draws; what they leave comes last.

    The function is a sum of orthogonal effects, of single options and of the first two together, weighed by their shares.
    """
    active = min(ACTIVE, d)
    shares = generator.dirichlet([evenness] * (active + 1))
    effects = [EFFECTS[number] for number in generator.integers(len(EFFECTS), size=active + 2)]
    points = generator.random((n, d))
    parts = [effects[axis](points[:, axis]) for axis in range(active)]
    parts.append(effects[-2](points[:, 0]) * effects[-1](points[:, 1]))
    scores = np.sqrt(shares) @ np.array(parts) + noise**0.5 * generator.standard_normal(n)
    from optuna.distributions import FloatDistribution

    rows = [{f"option{axis}": float(value) for axis, value in enumerate(point)} for point in points]
    ranges = {f"option{axis}": FloatDistribution(0.0, 1.0) for axis in range(d)}
    seen = [*shares_of(rows, scores.tolist(), ranges, int(generator.integers(2**31)), TREES_RESAMPLED).values()]
    return [*map(float, shares[:-1]), *[0.0] * (d - active), float(shares[-1])], [*seen, 1 - sum(seen)]
