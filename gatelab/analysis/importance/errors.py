"""How far off variance shares may be: the errors of the forest, as measured on functions whose shares are known."""

from gatelab.analysis.statistics.intervals import Interval

WIDEST = 0.5  # of an interval; the share of a wider one is not determined
BINS = (0.05, 0.2, 0.5, 0.8)  # errors depend on the estimate: small effects are smoothed away

UNSEEN = (-1.0, 1.0)

Errors = tuple[tuple[float, float], ...]

# (draws, options): (errors of a share, errors of the interactions). An error is truth less estimate: for each of the BINS of the
# estimate the 2.5% and the 97.5% quantile over random functions. UNSEEN: too few estimates fell there.
# Printed on 2026-11-28 by the `main` of scripts/importance_errors.py, in one process for each number of draws.
MEASURED: dict[tuple[int, int], tuple[Errors, Errors]] = {
    (20, 2): (
        ((-0.05, 0.01), (-0.11, 0.39), (-0.41, 0.32), (-0.69, 0.15), (-0.51, 0.06)),
        ((-1.0, 1.0), (-0.11, 0.82), (-0.15, 0.49), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (20, 4): (
        ((-0.05, 0.27), (-0.19, 0.39), (-0.44, 0.31), (-0.48, 0.27), (-0.27, 0.14)),
        ((-1.0, 1.0), (-0.17, 0.56), (-0.03, 0.73), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (20, 8): (
        ((-0.05, 0.36), (-0.18, 0.42), (-0.39, 0.44), (-0.42, 0.3), (-1.0, 1.0)),
        ((-1.0, 1.0), (-0.16, 0.61), (-0.21, 0.76), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (40, 2): (
        ((-0.04, 0.08), (-0.14, 0.18), (-0.37, 0.19), (-0.6, 0.1), (-0.33, 0.13)),
        ((-1.0, 1.0), (-0.13, 0.66), (-0.15, 0.7), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (40, 4): (
        ((-0.05, 0.29), (-0.13, 0.19), (-0.34, 0.21), (-0.31, 0.19), (-0.23, 0.15)),
        ((-1.0, 1.0), (-0.18, 0.15), (-0.23, 0.59), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (40, 8): (
        ((-0.04, 0.19), (-0.18, 0.33), (-0.29, 0.26), (-0.33, 0.17), (-1.0, 1.0)),
        ((-1.0, 1.0), (-0.17, 0.63), (-0.27, 0.57), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (80, 2): (
        ((-0.05, 0.05), (-0.12, 0.12), (-0.35, 0.17), (-0.29, 0.17), (-0.2, 0.13)),
        ((-1.0, 1.0), (-0.13, 0.22), (-0.16, 0.5), (0.0, 0.41), (-1.0, 1.0)),
    ),
    (80, 4): (
        ((-0.05, 0.09), (-0.11, 0.2), (-0.25, 0.18), (-0.28, 0.18), (-1.0, 1.0)),
        ((-1.0, 1.0), (-0.17, 0.35), (-0.27, 0.4), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (80, 8): (
        ((-0.03, 0.15), (-0.14, 0.23), (-0.14, 0.21), (-0.4, 0.2), (-1.0, 1.0)),
        ((-1.0, 1.0), (-0.18, 0.07), (-0.26, 0.42), (-1.0, 1.0), (-1.0, 1.0)),
    ),
    (160, 2): (
        ((-0.03, 0.04), (-0.15, 0.1), (-0.26, 0.1), (-0.09, 0.14), (-0.18, 0.14)),
        ((-1.0, 1.0), (-0.14, 0.1), (-0.14, 0.22), (0.0, 0.32), (-1.0, 1.0)),
    ),
    (160, 4): (
        ((-0.04, 0.07), (-0.06, 0.15), (-0.14, 0.14), (-0.04, 0.19), (-1.0, 1.0)),
        ((-1.0, 1.0), (-0.18, 0.06), (-0.25, 0.27), (-0.1, 0.26), (-1.0, 1.0)),
    ),
    (160, 8): (
        ((-0.03, 0.07), (-0.1, 0.19), (-0.11, 0.17), (-0.17, 0.2), (-1.0, 1.0)),
        ((-1.0, 1.0), (-0.18, 0.05), (-0.29, 0.14), (-0.09, 0.27), (-1.0, 1.0)),
    ),
}


def with_error(share: Interval, n: int, options: int, interactions: bool = False) -> Interval:
    """The interval of a share, widened by the error of the forest.

    Args:
        share: the estimate with its interval over resampled runs, if there is one.
        n: runs; options: that were drawn. The errors are those of the nearest case with at most as many runs and at
            least as many options in which they were measured.
        interactions: whether it is the share of the interactions.

    Returns:
        The union of both intervals, inside [0, 1]. Without bounds if nothing was measured for so few runs or so many options.
    """
    known = [(draws, axes) for draws, axes in MEASURED if draws <= n and axes >= options]
    if not known or share.value != share.value:
        return Interval(share.value, None, None)
    place = sum(share.value >= edge for edge in BINS)
    nearest = sorted(known, key=lambda case: (-case[0], case[1]))
    below, above = next((own for case in nearest if (own := MEASURED[case][interactions][place]) != UNSEEN), UNSEEN)
    low = min(share.value + below, share.value if share.low is None else share.low)
    high = max(share.value + above, share.value if share.high is None else share.high)
    return Interval(share.value, max(0.0, low), min(1.0, high))


def determined(share: Interval) -> bool:
    """Whether the runs determine a share: its interval has bounds and is narrow enough to tell large from small."""
    return share.low is not None and share.high is not None and share.high - share.low <= WIDEST
