"""The one-step Jacobian J(t) = d s(t) / d s(t-1) of a layer with its input held fixed, along the states that a batch visits.

The stack has block-triangular Jacobians, so that its exponents are those of its layers. A cell with a memory of
earlier states does not map s(t-1) to s(t), so that this module does not apply to it.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatelab.cells import Cell, Cut, Parts, largest, reads_of, ready, replaying, yielded
from gatelab.kernels import Record, Weights

Product = Callable[[Tensor], Tensor]  # maps tangents (..., k, n) to J times each of them
AGREEMENT, AGREEMENT_FLOOR = 0.02, 1e-3  # start directions agree within 2% of an exponent, or 0.001 nats a step


def exponents(steps: Iterable[Product], start: Tensor, transient: int = 0) -> Tensor:
    """The k largest Lyapunov exponents lim 1/T sum_t ln r_ii(t) from QR steps, in nats a step, descending, (..., k).

    The products J(t) Q(t-1) = Q(t) R(t) are made orthonormal at every step, so that nothing overflows
    (Benettin, Galgani, Giorgilli & Strelcyn 1980, Meccanica 15).

    Args:
        steps: J(1) ... J(T) as maps of k tangents.
        start: k independent tangents (..., k, n).
        transient: the number of first steps that only align the tangents and are not counted.
    """
    q = torch.linalg.qr(start.mT).Q.mT
    total, count = torch.zeros_like(q[..., 0]), 0
    for number, step in enumerate(steps):
        factors = torch.linalg.qr(step(q).mT)
        q = factors.Q.mT
        if number < transient:
            continue
        total += factors.R.diagonal(dim1=-2, dim2=-1).abs().log()
        count += 1
    return (total / count).sort(-1, descending=True).values


@dataclass(frozen=True)
class Spectrum:
    """Exponents and how far they can be trusted.

    Attributes:
        exponents: (k,), mean over start directions and sequences, descending.
        over_starts: (k,), largest minus smallest value of the start directions on a sequence, mean over the sequences.
        over_sequences: (k,), standard deviation over the sequences; nan for a single one.
        transient: steps that only turned the directions.
        agreed: how many of the exponents, from the largest on, the start directions agree about.
    """

    exponents: Tensor
    over_starts: Tensor
    over_sequences: Tensor
    transient: int
    agreed: int


def spectrum(steps: Iterable[Product], start: Tensor, transient: int) -> Spectrum:
    """The k largest exponents from several start directions.

    All directions turn towards the same ones, at a rate that is the gap between two exponents. Where they have got there within the
    transient, all starts give the same values; elsewhere the values still depend on the start.

    Args:
        steps: J(1) ... J(T) as maps of tangents.
        start: independent tangents (S, B, k, n): S start directions for each of B sequences.
        transient: first steps that are not counted.
    """
    found = exponents(steps, start, transient)
    apart = (found.amax(0) - found.amin(0)).mean(0)
    mean = found.mean((0, 1))
    agreed = (apart <= torch.clamp(AGREEMENT * mean.abs(), min=AGREEMENT_FLOOR)).int().cumprod(0).sum().item()
    over_sequences = found.mean(0).std(0) if found.shape[1] > 1 else torch.full_like(mean, math.nan)
    return Spectrum(mean, apart, over_sequences, transient, int(agreed))


def singular_values(step: Product, n: int, like: Tensor) -> Tensor:
    """Singular values of J, descending, (..., n): how much one step stretches and shrinks a difference of states.

    Args:
        step: J as a map of tangents.
        n: its size.
        like: (..., 1), for the leading shape, dtype and device.
    """
    eye = torch.eye(n, dtype=like.dtype, device=like.device).expand(*like.shape[:-1], n, n)
    return torch.linalg.svdvals(step(eye))


def jacobian(cell: Cell, weights: Weights, record: Record, at: int | Tensor) -> Product:
    """J at some steps, as a map of tangents (..., B, k, parts * H); its parts are in the order of `cell.state`.

    Pre-activations depend on the state through R, a_g(s) = a_g + R_g (s - s(t-1)) with the recorded values on the right, and late
    ones through their own matrices and the values that they read.

    Args:
        cell: equations without `memory`.
        weights: of one layer, one replica.
        record: what `step` was given, (1, T, B, H) each.
        at: a step, or several: then tangents have them in front.
    """
    cell = replaying(cell, record.a)
    a = {name: value[0, at].detach().requires_grad_() for name, value in record.a.items()}
    s = {name: value[0, at].detach().requires_grad_() for name, value in record.s.items()}
    p = Parts(**{name: value[0].detach() for name, value in weights.p.items()})
    R = weights.R[0].detach().mT if weights.R is not None else None
    late = {name: value[0].detach().mT for name, value in weights.late.items()}

    def leaf(_: int, of: Any, x: Tensor) -> Tensor:
        """The result of a function over units, as a variable of its own: its tangent follows from that of the argument."""
        return of(x).detach().requires_grad_()

    # Apart from functions over units `step` and `before` are pointwise: the gradient of a sum over units holds each unit's own
    # derivative. Each of `pieces` is what runs before one more late product can be computed, the last is `step`.
    pieces: list[tuple[list[Any], dict[str, Tensor]]] = []
    with torch.enable_grad(), Cut(leaf) as cut:
        for values in yielded(cell, Parts(**a), Parts(**s), p):
            pieces.append((cut.calls[sum(len(calls) for calls, _ in pieces) :], dict(values)))
        new, _ = cell.step(Parts(**a), Parts(**s), p)
    pieces.append((cut.calls[sum(len(calls) for calls, _ in pieces) :], new))
    given = [*a.values(), *s.values(), *(result for _, _, result in cut.calls)]

    def partials(value: Tensor) -> list[Tensor]:
        if not value.requires_grad:  # it depends on none of them
            return [torch.zeros_like(of)[..., None, :] for of in given]
        with torch.enable_grad():
            found = torch.autograd.grad(value.sum(), given, retain_graph=True, materialize_grads=True)
        return [part[..., None, :] for part in found]

    rows = [
        ([(of, partials(x)) for of, x, _ in calls], {name: partials(value) for name, value in values.items()})
        for calls, values in pieces
    ]

    def product(tangents: Tensor) -> Tensor:
        moved = dict(zip(cell.state, tangents.chunk(len(cell.state), -1), strict=True))
        da: dict[str, Tensor] = {}
        if R is not None:
            fed = torch.cat([moved[name] for name in cell.feedback], -1) @ R
            da = dict(zip(cell.recurrent_gates, fed.chunk(len(cell.recurrent_gates), -1), strict=True))
        zero = torch.zeros_like(moved[cell.state[0]])
        pending, known = list(late), dict(moved)
        reduced: list[Tensor] = []

        def along(row: list[Tensor]) -> Tensor:
            later = [zero] * (len(row) - len(a) - len(s) - len(reduced))
            tangent = [*(da.get(name, zero) for name in a), *(moved[name] for name in s), *reduced, *later]
            return torch.stack([d * v for d, v in zip(row, tangent, strict=True)]).sum(0)

        after: dict[str, Tensor] = {}
        for calls, values in [([], {}), *rows]:
            for of, row in calls:
                reduced.append(zero if of is largest else of(along(row)))  # the others are linear
            after = {name: along(row) for name, row in values.items()}
            known |= after
            for name in ready(cell, pending, known):
                pending.remove(name)
                da[name] = torch.cat([known[read] for read in reads_of(cell, name)], -1) @ late[name]
        return torch.cat([after[name] for name in cell.state], -1)

    return product
