"""Measures how far variance shares are from the truth, on random functions whose shares are known.

It prints the table of `gatelab/analysis/importance/errors.py`.

    python scripts/importance_errors.py
"""

import itertools
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution

from gatelab.analysis.importance.errors import BINS
from gatelab.analysis.importance.variance import TREES_RESAMPLED, shares_of

DRAWS = (20, 40, 80, 160)
DIMENSIONS = (2, 4, 8)
SEARCHES = 80
ACTIVE = 3  # options that do something, at most; all others do nothing
EVENNESS = (0.3, 1.0)  # of Dirichlet's distribution of the shares, in turn: below 1 many are near 0 or 1
SEEN = 8  # errors in a bin, below which it counts as not measured
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


def errors(n: int, d: int) -> dict[bool, list[tuple[float, float]]]:
    """By bin of the estimate the quantiles of its errors (truth less estimate): of shares, and of the interactions (True)."""
    found: dict[tuple[bool, int, bool], list[float]] = defaultdict(list)
    for search in range(SEARCHES):
        truth, estimate = known_shares(n, d, np.random.default_rng(search), NOISE[search % 2], EVENNESS[search // 2 % 2])
        for axis, (true, seen) in enumerate(zip(truth, estimate, strict=True)):
            found[axis == d, int(np.digitize(seen, BINS)), axis < min(ACTIVE, d)].append(true - seen)
    return {rest: [_widest(found, rest, number) for number in range(len(BINS) + 1)] for rest in (False, True)}


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
    rows = [{f"option{axis}": float(value) for axis, value in enumerate(point)} for point in points]
    ranges = {f"option{axis}": FloatDistribution(0.0, 1.0) for axis in range(d)}
    seen = [*shares_of(rows, scores.tolist(), ranges, int(generator.integers(2**31)), TREES_RESAMPLED).values()]
    return [*map(float, shares[:-1]), *[0.0] * (d - active), float(shares[-1])], [*seen, 1 - sum(seen)]


def _widest(found: dict[tuple[bool, int, bool], list[float]], rest: bool, number: int) -> tuple[float, float]:
    """Over the options that do something, and over the others: the wider of both."""
    of_bin = [seen for key, seen in found.items() if key[:2] == (rest, number) and len(seen) >= SEEN]
    within = [np.quantile(seen, (0.025, 0.975)) for seen in of_bin]
    if not within:
        return -1.0, 1.0
    lowest, highest = min(float(low) for low, _ in within), max(float(high) for _, high in within)
    return round(min(lowest, 0.0), 2), round(max(highest, 0.0), 2)


def main() -> None:
    for n, d in itertools.product(DRAWS, DIMENSIONS):
        table = errors(n, d)
        print(f"    ({n}, {d}): (\n        {tuple(table[False])},\n        {tuple(table[True])},\n    ),", flush=True)


if __name__ == "__main__":
    main()
