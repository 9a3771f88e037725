"""Measures how far variance shares are from the truth, on random functions whose shares are known.

It prints the table of `gatelab/analysis/importance/errors.py`.

    python scripts/importance_errors.py
"""

import itertools
from collections import defaultdict

import numpy as np

from gatelab.analysis.calibration.known_shares import ACTIVE, EVENNESS, NOISE, known_shares
from gatelab.analysis.importance.errors import BINS

DRAWS = (20, 40, 80, 160)
DIMENSIONS = (2, 4, 8)
SEARCHES = 80
SEEN = 8  # errors in a bin, below which it counts as not measured


def errors(n: int, d: int) -> dict[bool, list[tuple[float, float]]]:
    """By bin of the estimate the quantiles of its errors (truth less estimate): of shares, and of the interactions (True)."""
    found: dict[tuple[bool, int, bool], list[float]] = defaultdict(list)
    for search in range(SEARCHES):
        truth, estimate = known_shares(n, d, np.random.default_rng(search), NOISE[search % 2], EVENNESS[search // 2 % 2])
        for axis, (true, seen) in enumerate(zip(truth, estimate, strict=True)):
            found[axis == d, int(np.digitize(seen, BINS)), axis < min(ACTIVE, d)].append(true - seen)
    return {rest: [_widest(found, rest, number) for number in range(len(BINS) + 1)] for rest in (False, True)}


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
