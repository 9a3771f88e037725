"""Every entry of the operator table, from its schema: all arguments, random and special values, the value and its derivatives."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from kernels.one_line import NAMES, Compiled, Line, agree, in_torch, numbers
from torch import Tensor

from gatelab.kernels._operators import OPERATORS

REALS = (0.3, -2.0, 0, 3, 1e30, 1e300, math.inf, -math.inf, math.nan)
# What an argument that is a number is tried with, by its name in the schema. None: left out where there is a default.
NUMBERS: dict[str, tuple[Any, ...]] = {
    "other": REALS,
    "alpha": (None, 1, 2.0, -0.5, 0, 3),
    "exponent": (0, 1, 2, 3, 4, -1, -2, -3, 0.5, -0.5, 0.3, -0.7, 2.5, math.inf, -math.inf, math.nan),
    "self": (2.0, 1.0, 0.0, -1.5, 3, math.inf),
    "threshold": (0, 0.7, -1.0),
    "min": (-0.5, None, 0, -math.inf, math.inf, math.nan),
    "max": (0.7, None, 0, -1.0, math.inf, math.nan),
    "min_val": (None, -0.5, -math.inf),
    "max_val": (None, 0.25, math.inf),
    "fill_value": (0.1, -0.0, 3, True, math.inf, -math.inf, math.nan),
    "s": (0.1, 7, False, -math.inf),
    "dtype": (None, torch.float32, torch.bool, torch.int64),
}
LEFT_OUT = ("layout", "device", "pin_memory", "memory_format")  # where a result lies


class Case(NamedTuple):
    """A call: a tensor is its name, a number itself, what is left out is missing."""

    operator: Any
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.operator}({', '.join(f'{name}={value}' for name, value in self.arguments.items())})"


def _cases(operator: Any) -> Iterator[Case]:
    tensors = iter(NAMES)
    choices: list[list[tuple[str, Any]]] = []
    entry = OPERATORS[operator]
    for position, argument in enumerate(operator._schema.arguments):
        kind, name = str(argument.type), argument.name
        if kind == "Tensor":
            choices.append([(name, f"mask {next(tensors)}" if position in entry.masks else next(tensors))])
        elif name == "size":
            choices.append([(name, [])])
        elif name not in LEFT_OUT:
            optional = argument.has_default_value()
            choices.append([(name, value) for value in NUMBERS[name] if optional or value is not None])
    together = list(itertools.product(*choices))
    if len(together) > 36:  # one after the other is enough
        together = [drawn for drawn in together if sum(one != among[0] for one, among in zip(drawn, choices, strict=True)) <= 1]
    for drawn in together:
        yield Case(operator, {name: value for name, value in drawn if value is not None})


def _is_served(case: Case) -> bool:
    """Torch refuses bounds without a value, and infinity as an integer; we, a tensor of another format than the cell's."""
    values = case.arguments
    if "_like" in str(case.operator) and values.get("dtype") == torch.float32:
        return False
    if "clamp" in str(case.operator) and not values.keys() & {"min", "max"}:
        return False
    return values.get("dtype") != torch.int64 or math.isfinite(values.get("fill_value", values.get("s", 0)))


CASES = [case for operator in OPERATORS for case in _cases(operator) if _is_served(case)]


def _line(case: Case) -> Line:
    def line(x: Tensor, y: Tensor, z: Tensor, s: Tensor) -> Tensor:
        tensors = {"x": x, "y": y, "z": z}
        tensors |= {f"mask {name}": value > s for name, value in tensors.items()}
        given = {name: tensors.get(value, value) if isinstance(value, str) else value for name, value in case.arguments.items()}
        result = _call(case.operator, given)
        if result.dtype == torch.bool:
            return torch.where(result, z, -z)
        return result * torch.ones_like(x) if result.dim() == 0 or result.dtype != x.dtype else result

    return line


def _call(operator: Any, given: dict[str, Any]) -> Any:
    """By position where the schema has one, by name where it has none."""
    positional = [argument.name for argument in operator._schema.arguments if not argument.kwarg_only]
    first = list(itertools.takewhile(lambda name: name in given, positional))
    return operator(*(given[name] for name in first), **{name: value for name, value in given.items() if name not in first})


def test_every_argument_of_every_operator_is_tried() -> None:
    for operator in OPERATORS:
        cases = [case for case in CASES if case.operator is operator]
        for argument in operator._schema.arguments:
            if argument.name not in LEFT_OUT and argument.name != "size":
                default = argument.default_value if argument.has_default_value() else "none"
                assert any(case.arguments.get(argument.name, default) is not default for case in cases), (operator, argument.name)


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=str)
def compiled(request: pytest.FixtureRequest) -> tuple[Compiled, torch.dtype]:
    """All cases in one library."""
    return Compiled([_line(case) for case in CASES], request.param), request.param


@pytest.mark.slow  # 300 traces and a library for each number format
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_an_operator_and_its_derivatives(operator: Any, compiled: tuple[Compiled, torch.dtype]) -> None:
    in_c, dtype = compiled
    for number, case in enumerate(CASES):
        if case.operator is operator:
            values = _possible(case, numbers(dtype))
            agree(str(case), in_c(number, values), in_torch(_line(case), values), values)


def _possible(case: Case, values: Tensor) -> Tensor:
    """Without what depends on the order of products in torch."""
    values = values.clone()
    if "alpha" in case.arguments:  # alpha * y, which torch adds in one rounding where the processor has that
        values[:2].clamp_(-1e30, 1e30)
    if case.operator is torch.ops.aten.sigmoid_backward.default:  # y is what a sigmoid returns
        values[1].clamp_(0, 1)
    return values
