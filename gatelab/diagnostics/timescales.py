"""How long a unit keeps its state, from the gate that multiplies its old state. Pure functions of tensors."""

import functools

import torch
from torch import Tensor

QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9, "max": 1.0}  # a single unit may be all the memory


def timescale(kept: Tensor) -> Tensor:
    """Timescale -1 / E ln f of every unit in steps, (H,): infinite where f = 1 throughout, 0 where it once is 0.

    The product of n factors is about exp(n E ln f), so that 1/e of a state is left after one timescale. With a constant factor it
    is the 1 / (1 - f) of a slow leaky unit (Tallec & Ollivier 2018, arXiv 1804.11188, Sec. 2), to half a step; 1 / (1 - E f) is
    longer where f varies, as E ln f < ln E f.

    Args:
        kept: f, the factors on the old state at all valid steps, (steps, H). What rounding moves out of [0, 1] is moved back.
    """
    return 1 / kept.float().clamp(0, 1).log().mean(0).double().neg().abs()


def quantiles(values: Tensor) -> dict[str, float]:
    """10%, 50% and 90% quantiles and the maximum over the units, each the value of a unit: infinite ones do not affect others."""
    points = torch.tensor(list(QUANTILES.values()), dtype=values.dtype, device=values.device)
    return dict(zip(QUANTILES, torch.quantile(values, points, interpolation="nearest").tolist(), strict=True))


@functools.lru_cache(maxsize=64)  # every probe of a run asks for the same ones
def lags(length: int, count: int = 64) -> Tensor:
    """At most `count` lags from 0 to length - 1: all of them, or 0 and roughly log-spaced ones. Not to be changed in place."""
    if length <= count:
        return torch.arange(length)
    spaced = torch.logspace(0, torch.log10(torch.tensor(length - 1.0, dtype=torch.float64)).item(), count - 1, dtype=torch.float64)
    return torch.cat([torch.zeros(1, dtype=torch.int64), spaced.round().long().clamp(max=length - 1)]).unique()


def by_lag(values: Tensor, lengths: Tensor | None) -> Tensor:
    """(T, B, ...) in the order of the lag from the last valid step of each row; steps after the end stay in place."""
    if lengths is None:
        return values.flip(0)
    steps = torch.arange(len(values), device=values.device)[:, None]
    index = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return values.gather(0, index.reshape(*index.shape, *[1] * (values.dim() - 2)).expand_as(values))


def retention(kept: Tensor, lengths: Tensor | None, at: Tensor) -> Tensor:
    """Cumulative retention prod_{s = T-lag+1 .. T} f(s), mean over rows and units, (K,): the share of a state that is left.

    It is dc(T)/dc(T - lag) along the direct path through the unit. Rows that are too short for a lag are left out of its mean.

    Args:
        kept: f, (T, B, H).
        lengths: valid steps of each row (B,), or None if all are.
        at: the lags, integers (K,) from 0 to T.
    """
    one = torch.ones_like(kept[:1])
    # With the steps of a unit next to each other in memory this takes a third of the time.
    along = by_lag(kept, lengths).movedim(0, -1).contiguous().cumprod(-1).movedim(-1, 0)
    products = torch.cat([one, along])[at].mean(-1)
    if lengths is None:
        return products.mean(1)
    reached = at[:, None] <= lengths
    return torch.where(reached, products, 0).sum(1) / reached.sum(1)
