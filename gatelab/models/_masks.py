"""Random masks from a counter-based generator: a bit depends on its key and its place alone.

So it is the same on every device, for any number of threads, and however time is cut into segments. A key is drawn from torch's
global generator of the CPU once for each forward pass, so that a run that continues from a checkpoint gets the same masks.

The generator is SplitMix64: the finaliser of Stafford ("mix 13") applied to key + place * odd constant, in 64-bit integers that
wrap around (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA).
"""

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """64 bits as torch's int64 holds them."""
    return value - 2**64 if value >= 2**63 else value


_GAMMA = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)
BITS = 24  # of a uniform number, as many as float32 has


def draw_key() -> Tensor:
    """A key of 63 bits, as a tensor, so that a captured graph draws another one each time."""
    return torch.randint(2**63 - 1, (), dtype=torch.int64, device="cpu")


def split(key: Tensor, *place: int) -> Tensor:
    """Another key for every place: numbers such as those of a layer and a direction."""
    for number in place:
        key = _mixed(key + _signed((number + 1) * _GAMMA % 2**64))
    return key


def uniform(key: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Independent numbers in [0, 1), multiples of 2^-24.

    Args:
        key: of these numbers.
        shape: of the result; a number depends on its place in the last dimensions alone, not on the size of the first.
        like: for the device and the number format of the result.
    """
    count = torch.Size(shape).numel()
    counter = torch.arange(1, count + 1, dtype=torch.int64, device=like.device).view(shape)
    bits = _mixed(counter * _GAMMA + key.to(like.device))
    return (_shifted(bits, 64 - BITS)).to(torch.float32).mul_(2.0**-BITS).to(torch.promote_types(like.dtype, torch.float32))


def _mixed(value: Tensor) -> Tensor:
    value = (value ^ _shifted(value, 30)) * _FIRST
    value = (value ^ _shifted(value, 27)) * _SECOND
    return value ^ _shifted(value, 31)


def _shifted(value: Tensor, by: int) -> Tensor:
    """To the right, with zeros from the left: torch repeats the sign."""
    return (value >> by) & ((1 << (64 - by)) - 1)
