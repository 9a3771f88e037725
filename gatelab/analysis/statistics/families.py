"""Many comparisons at once: p-values adjusted so that at most alpha of all families hold a false finding."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment.

    p_(k) of m, in rising order, becomes max over j <= k of min(1, (m - j + 1) p_(j)). Valid for dependent tests, as those against
    one baseline are. None (no test) stays None and is not counted.

    References:
        S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = largest
    return adjusted
