"""The functions that printed equations call, in Triton. Only generated modules import this file, as Triton may be missing."""

import triton  # pyright: ignore[reportMissingImports] - torch's CPU build has none
import triton.language as tl  # pyright: ignore[reportMissingImports] - torch's CPU build has none


@triton.jit
def choose(mask, yes, no):
    return tl.where(mask, yes, no)


@triton.jit
def magnitude(x):
    return tl.abs(x)


@triton.jit
def is_nan(x):
    return x != x


@triton.jit
def maximum_of(x, y):  # NaN if one is
    return tl.where((x != x) | (x > y), x, y)


@triton.jit
def minimum_of(x, y):
    return tl.where((x != x) | (x < y), x, y)


@triton.jit
def at_least(x, low):  # NaN if x is
    return tl.where(x < low, low, x)


@triton.jit
def at_most(x, high):
    return tl.where(x > high, high, x)


@triton.jit
def sign_of(x):  # 0 of NaN
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0)).to(x.dtype)


@triton.jit
def exp_of(x):
    return tl.exp(x)


@triton.jit
def log_of(x):
    return tl.log(x)


@triton.jit
def floor_of(x):
    return tl.floor(x)


@triton.jit
def sqrt_of(x):
    return tl.sqrt(x)


@triton.jit
def sin_of(x):
    return tl.sin(x)


@triton.jit
def cos_of(x):
    return tl.cos(x)


@triton.jit
def erf_of(x):
    return tl.erf(x)


@triton.jit
def sigmoid_of(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def tanh_of(x):
    # 1 - exp(-2|x|) loses digits where x is small; a polynomial replaces it there (float32: within 2 units in the last place).
    e = tl.exp(-2 * tl.abs(x))
    large = (1 - e) / (1 + e)
    q = x * x
    series = -0.00570498872745 * q + 0.0206390887954
    series = series * q - 0.0537397155531
    series = series * q + 0.133314422036
    series = series * q - 0.333332819422
    small = x + x * q * series
    large = tl.where(x < 0, -large, large)
    if x.dtype == tl.float64:
        return large
    else:
        return tl.where(tl.abs(x) < 0.625, small, large)


@triton.jit
def expm1_of(x):
    half = tanh_of(x / 2)
    return tl.where(tl.abs(x) < 1, 2 * half / (1 - half), tl.exp(x) - 1)


@triton.jit
def log1p_of(x):
    u = 1 + x
    lost = (u == 1) | (x == float("inf"))
    corrected = tl.log(u) * (x / tl.where(lost, 1.0, u - 1).to(x.dtype))
    return tl.where(u == 1, x, tl.where(x == float("inf"), x, corrected))


@triton.jit
def pow_of(x, y):
    size = tl.exp(y * tl.log(tl.where(x == 0, 1.0, tl.abs(x)).to(x.dtype)))
    whole = tl.floor(y) == y
    odd = whole & (tl.floor(y / 2) * 2 != y)
    power = tl.where(x < 0, tl.where(whole, tl.where(odd, -size, size), float("nan")), size)
    power = tl.where(x == 0, tl.where(y > 0, 0.0, float("inf")), power)
    return tl.where((y == 0) | (x == 1), 1.0, power).to(x.dtype)
