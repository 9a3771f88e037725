"""What the tests of the CUDA backend run on: a CUDA device, or Triton's interpreter on the CPU."""

import importlib.util
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from cells.variants import normal
from torch import Tensor

from gatelab.cells import Cell, operand_shapes
from gatelab.kernels import Flow, Weights, eager, gpu

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed: pip install triton")


@pytest.fixture(scope="module")
def interpreter() -> Iterator[None]:
    """Triton's interpreter where there is no CUDA device."""
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        yield


class Case(NamedTuple):
    """A call.

    Attributes:
        lengths: valid steps of each row.
        resets: whether rows start again at some steps.
        record: whether records are asked for, and take part in the loss.
        flow: whether the flow of gradients is asked for.
        bias: whether there are biases.
    """

    N: int
    T: int
    B: int
    D: int
    H: int
    lengths: tuple[int, ...] | None = None
    resets: bool = False
    record: bool = False
    flow: bool = False
    bias: bool = True


def results(module: Any, cell: Cell, case: Case, dtype: torch.dtype) -> dict[str, Tensor | None]:
    """Everything that a backend computes, values and derivatives, from the same numbers for every backend."""
    N, T, B, D, H = case[:5]
    seeds = iter(range(100))

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return (scale * normal(*shape, seed=next(seeds))).to(dtype).to(DEVICE).requires_grad_()

    shapes = operand_shapes(cell, D, H, case.bias)
    named = {name: draw(N, *shape, scale=0.5) for name, shape in shapes.items()}
    weights = Weights.of(cell, named)
    x, s0, again = draw(N, T, B, D), tuple(draw(N, B, H) for _ in cell.state), tuple(draw(N, B, H) for _ in cell.state)
    lengths = None if case.lengths is None else torch.tensor(case.lengths, device=DEVICE)
    resets = (normal(B, T, seed=99) > 0.5).to(DEVICE) if case.resets else None
    flow = Flow() if case.flow else None
    restart = again if case.resets else None
    scan = module.scan(cell, weights, x, s0, lengths, case.record, None, flow, resets, restart)
    values = {"output": scan.output, **{f"last {name}": part for name, part in zip(cell.state, scan.state, strict=True)}}
    if scan.record is not None:
        alive = torch.ones(T, B, 1, dtype=torch.bool, device=DEVICE)
        if lengths is not None:
            alive = (torch.arange(T, device=DEVICE)[:, None] < lengths)[..., None]
        for kind, parts in (("a", scan.record.a), ("s", scan.record.s)):
            values |= {f"record {kind} {name}": value.masked_fill(~alive, 0) for name, value in parts.items()}
    sources = {**named, "x": x, **dict(zip((f"s0 {name}" for name in cell.state), s0, strict=True))}
    sources |= dict(zip((f"restart {name}" for name in cell.state), again, strict=True))
    cotangents = [draw(*value.shape).detach() for value in values.values()]
    found = torch.autograd.grad(
        list(values.values()), list(sources.values()), cotangents, allow_unused=True, materialize_grads=True
    )
    derivatives = {f"by {name}": value for name, value in zip(sources, found, strict=True)}
    flowing = {} if flow is None else {f"flow {name}": value for name, value in flow.cotangents.items()}
    return {name: value.detach() for name, value in (values | derivatives | flowing).items()}


def compare(cell: Cell, case: Case, dtype: torch.dtype, tolerance: float) -> None:
    """Every number within the tolerance of its tensor's largest, against the eager loop in float64."""
    ours, theirs = results(gpu, cell, case, dtype), results(eager, cell, case, torch.float64)
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        value = ours[name]
        assert value is not None and expected is not None
        assert value.dtype == dtype, name
        bound = tolerance * max(1.0, float(expected.abs().max()))
        difference = float((value.double() - expected).abs().max())
        assert difference <= bound, f"{name}: {difference} is more than {bound}"
