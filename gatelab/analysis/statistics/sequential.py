"""Looking at results more than once without more false findings: how the allowed error is spent over the looks."""

FIRST = 0.8  # of the allowed error at the first look, which is the only one in most cases


def spent(look: int) -> float:
    """The share of the allowed error that one look may use; over any number of looks the shares add up to at most 1.

    0.8 at the first look, 0.2 / 2^(k - 1) at the k-th. By Bonferroni's inequality a test that is made at `alpha * spent(k)` at
    every look k, and believed at the first look that rejects, has an error of at most alpha, however many looks there are, whenever
    they are taken and whatever decided that another one follows.

    Args:
        look: its number, from 1 on.

    Raises:
        ValueError: the number is below 1.

    References:
        K. K. Gordon Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70, 1983 (spending the
        error; the shares are our choice).
    """
    if look < 1:
        raise ValueError(f"Looks are counted from 1 on, and this one is {look}.")
    return FIRST if look == 1 else (1 - FIRST) / 2 ** (look - 1)
