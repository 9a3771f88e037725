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


def over_families(families: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    """Holm's adjustment of whole families, whose p-values are each adjusted within their family.

    A family is tested at alpha / m, m families, and where every comparison of some is a finding, their alpha passes to the
    others: with the families in the order of their largest p, P_(1) <= P_(2) <= ..., a p of family (k) becomes the least, over
    i <= k, of max((m - i + 1) p, (m - i + 2) P_(i-1), ..., m P_(1)), at most 1. With one comparison a family it is `holm`.

    Args:
        families: one list of p-values each; None (no test) stays None. A family without a test is not counted.

    References:
        F. Bretz, W. Maurer, W. Brannath, M. Posch, "A graphical approach to sequentially rejective multiple test procedures",
        Statistics in Medicine 28, 2009 (alpha that passes on).
    """
    adjusted: list[list[float | None]] = [[None] * len(family) for family in families]
    largest = {place: max(known) for place, family in enumerate(families) if (known := [p for p in family if p is not None])}
    order = sorted(largest, key=lambda place: largest[place])
    passed = 0.0  # the level from which on all families before are findings as a whole
    for rank, reached in enumerate(order):
        factor = len(order) - rank
        for place in order[rank:]:
            for index, p in enumerate(families[place]):
                if p is not None:
                    before = adjusted[place][index]
                    own = min(1.0, max(passed, factor * p))
                    adjusted[place][index] = own if before is None else min(before, own)
        passed = max(passed, factor * largest[reached])
    return adjusted
