"""Random numbers for generated tasks: each is a pure function of (task, split, seed, index), with no state between calls.

A counter-based generator (Philox 4x64, Salmon, Moraes, Dror & Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011)
maps a counter to four 64-bit words. Sequence `index` owns the counters [index K/4, (index + 1) K/4), where K is the number of
words of one sequence rounded up to a multiple of four: any sequence can be made without those before it, so that a run that resumes
from a checkpoint, and a batch that is split among processes, see the same data. A batch of consecutive indices is one call.

The words come from the bit generator itself, whose stream NumPy keeps fixed across versions; `numpy.random.Generator`, whose
methods NumPy may change (NEP 19), is not used.
"""

import functools
import hashlib
import itertools

import numpy as np

from gatelab.tasks._task import Split

_WORDS = 4  # 64-bit words that Philox makes from one counter


def words(task: str, split: Split, seed: int, indices: np.ndarray, width: int) -> np.ndarray:
    """The random words of the given sequences.

    Args:
        task: its name; tasks of different names share no words.
        split: train, val or test. The last two do not depend on `seed`: every run is scored on the same sequences.
        seed: the data seed of the run, any integer.
        indices: integers (B,), at least 0, in any order.
        width: K, words a sequence.

    Returns:
        64-bit unsigned integers (B, K).
    """
    key = _key(f"{task}/{split}/{seed if split == 'train' else 'fixed'}")
    indices = np.asarray(indices, dtype=np.int64)
    counters = -(-width // _WORDS)
    out = np.empty((len(indices), counters * _WORDS), dtype=np.uint64)
    breaks = np.flatnonzero(indices[1:] - indices[:-1] != 1) + 1
    for start, stop in itertools.pairwise([0, *breaks.tolist(), len(indices)] if len(indices) else []):
        generator = np.random.Philox(key=key, counter=int(indices[start]) * counters)
        out[start:stop] = generator.random_raw((stop - start) * counters * _WORDS).reshape(stop - start, -1)
    return out[:, :width]


@functools.cache
def _key(identity: str) -> int:
    """The 128 bits of key that Philox takes."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:16], "little")


def uniform(word: np.ndarray) -> np.ndarray:
    """U[0, 1) in float64 from words of any shape, one word each: the upper 53 bits, as many as a double holds."""
    return (word >> np.uint64(11)) * 2.0**-53


def below(word: np.ndarray, bound: int) -> np.ndarray:
    """Integers in [0, bound) from words of any shape, one word each; the probabilities are equal within bound / 2^53."""
    return (uniform(word) * bound).astype(np.int64)
