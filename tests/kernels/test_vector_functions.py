"""The functions that equations are printed with, over the whole range of both number formats, in units in the last place."""

import ctypes
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gatelab.kernels.cpu as backend
from gatelab.kernels.cpu import build

VECTOR = (Path(backend.__file__).parent / "vector.c").read_text()
FUNCTIONS = re.findall(r"(?:INLINE V (\w+_of)\(V x\)|LANEWISE\((\w+_of), \w+\))", VECTOR)
NAMES = [first or second for first, second in FUNCTIONS]
CALLER = """
void call_{name}(const real *x, real *y, long n) {{
  for (long i = 0; i < n; i += LANES) *(V *)(y + i) = {name}(*(const V *)(x + i));
}}
"""
CALLER_OF_TWO = """
void call_pow_of(const real *x, const real *y, real *z, long n) {
  for (long i = 0; i < n; i += LANES) *(V *)(z + i) = pow_of(*(const V *)(x + i), *(const V *)(y + i));
}
"""


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _by_torch(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """In float64: NumPy has no such function, and no longer one is needed for float32."""
    return lambda x: function(torch.from_numpy(x.astype(np.float64))).numpy()


# The function in extended precision, and the units that it may be away: (float32, float64).
# Those of vector.c round six to ten times: what was seen on 300,000 numbers, rounded up to half a unit. Those of the C library are
# computed in float64 and rounded once in float32; in float64 their authors promise less than one unit. The reference of erf is of
# float64 itself and adds a unit. Below the normal range the unit is the least number, which is what can be lost there.
EXACT: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "exp_of": (np.exp, 2, 1.5),
    "expm1_of": (np.expm1, 2, 2),
    "log_of": (np.log, 2, 2),
    "log1p_of": (np.log1p, 3.5, 3),
    "sigmoid_of": (_sigmoid, 2.5, 2.5),
    "tanh_of": (np.tanh, 2.5, 2.5),
    "sign_of": (lambda x: np.nan_to_num(np.sign(x)), 0, 0),
    "floor_of": (np.floor, 0, 0),
    "sqrt_of": (np.sqrt, 0.51, 0.51),
    "sin_of": (np.sin, 0.51, 1.01),
    "cos_of": (np.cos, 0.51, 1.01),
    "atan_of": (np.arctan, 0.51, 1.01),
    "erf_of": (_by_torch(torch.erf), 0.51, 2),
}


@functools.cache
def _library(number: Any) -> ctypes.CDLL:
    define = "#define DOUBLE\n" if number is np.float64 else ""
    callers = "".join(CALLER.format(name=name) for name in NAMES)
    return build.load(define + VECTOR + callers + CALLER_OF_TWO, "functions")


def _aligned(values: Any, number: Any) -> Any:
    block = np.zeros(len(values) + 16, number)
    start = (-block.ctypes.data % 64) // block.itemsize
    block[start : start + len(values)] = values
    return block[start : start + len(values)]


def _apply(name: str, *arguments: Any) -> Any:
    number = arguments[0].dtype.type
    count = len(arguments[0])
    padded = [_aligned(np.concatenate([x, np.zeros(-count % 16, number)]), number) for x in arguments]
    result = _aligned(np.zeros_like(padded[0]), number)
    addresses = [ctypes.c_void_p(value.ctypes.data) for value in (*padded, result)]
    getattr(_library(number), f"call_{name}")(*addresses, ctypes.c_long(len(result)))
    return result[:count]


def _numbers(number: Any) -> Any:
    """Special values, all exponents, and the ranges in which something happens, densely."""
    info, draws = np.finfo(number), np.random.default_rng(0)
    special = [0.0, 1.0, np.inf, np.nan, info.tiny, info.smallest_subnormal, info.max, info.eps, 0.5, 2.0, 1e-8, 1e22]
    bits = draws.integers(0, 2 ** (8 * info.dtype.itemsize - 1), 40000, dtype=f"u{info.dtype.itemsize}").view(number)
    end = -np.log(np.longdouble(info.smallest_subnormal)) * 1.1
    ranges = [np.linspace(0, 2, 20001), np.linspace(0, float(end), 60001), draws.normal(0, 1, 20000)]
    x = np.concatenate([np.asarray(values, number) for values in (special, bits, *ranges)])
    return np.concatenate([x, -x])


def _errors(result: Any, wide: Any, number: Any) -> Any:
    """Units in the last place; infinite where one is NaN or infinite and the other is not."""
    with np.errstate(all="ignore"):
        expected = wide.astype(number)
        same = (result == expected) | (np.isnan(result) & np.isnan(expected))
        unit = np.spacing(np.minimum(np.abs(expected), np.finfo(number).max * (1 - np.finfo(number).eps)).astype(number))
        errors = np.abs(result.astype(np.longdouble) - wide) / unit
        # Beyond the largest number, infinity and that number are one unit apart.
        top = np.finfo(number).max
        errors = np.where(np.isinf(result) & (np.abs(wide) >= top) & (np.sign(result) == np.sign(wide)), 0, errors)
        errors = np.where(np.isinf(expected) & (np.abs(result) == top), 1, errors)
    return np.where(same, np.where(np.isfinite(errors), errors, 0), np.where(np.isnan(errors), np.inf, errors))


def test_every_function_has_a_reference() -> None:
    assert sorted(NAMES) == sorted(EXACT)


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXACT)
def test_functions_to_the_last_bits_over_the_whole_range(name: str, number: Any) -> None:
    reference, *bounds = EXACT[name]
    x = _numbers(number)
    result = _apply(name, x)
    with np.errstate(all="ignore"):
        wide = reference(x.astype(np.longdouble))
        lost = np.exp(-x.astype(np.longdouble)) > np.finfo(number).max
    if name == "sigmoid_of":  # 0 where exp(-x) is infinite, as torch's; what is lost is less than the least normal number
        assert (np.abs(result[lost]) < np.finfo(number).tiny).all()
        result, wide, x = result[~lost], wide[~lost], x[~lost]
    errors = _errors(result, wide, number)
    worst = errors.argmax()
    assert errors[worst] <= bounds[number is np.float64], f"{errors[worst]:.2f} units in the last place at {x[worst]!r}"
    if name not in (
        "tanh_of",
        "sign_of",
    ):  # tanh is hot, and the sign of its zero costs 1% of a step; sign(-0) is as the operator's
        zero = wide == 0
        assert (np.signbit(result[zero]) == np.signbit(wide[zero])).all()


def test_powers_to_the_last_bits() -> None:
    """C's pow; float32 by that of float64."""
    base = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 1e-30, 1e30, -1e30, np.inf, -np.inf, np.nan], np.float64)
    exponents = np.array([0.0, -0.0, 1.0, -1.0, 2.0, 3.0, -3.0, 0.5, 0.3, -0.3, 1e3, -1e3, 1001.0, np.inf, -np.inf, np.nan])
    draws = np.random.default_rng(1)
    drawn = np.stack([draws.lognormal(0, 9, 9999), draws.normal(0, 9, 9999)], 1)
    pairs = np.concatenate([[(x, y) for x in base for y in exponents], drawn])
    for number, bound in ((np.float32, 0.51), (np.float64, 1.01)):
        x, y = pairs.T.astype(number)
        with np.errstate(all="ignore"):
            wide = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
        result = _apply("pow_of", x, y)
        errors = _errors(result, wide, number)
        assert errors.max() <= bound, (errors.max(), x[errors.argmax()], y[errors.argmax()])
        assert (np.signbit(result) == np.signbit(wide))[wide == 0].all()
