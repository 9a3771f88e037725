"""Reber's grammar: strings over BTSXPVE whose every symbol is one of two that its place allows."""

import math

import numpy as np
import torch
from torch import Tensor

from gatelab.tasks._losses import cross_entropy

SYMBOLS = "BTSXPVE"
# The inner grammar: from each place two symbols are possible, each with probability 1/2. Place 6 is its end.
_NEXT = {1: ("T2", "P3"), 2: ("S2", "X4"), 3: ("T3", "V5"), 4: ("X3", "S6"), 5: ("P4", "V6")}
_END = 6
_SYMBOL = np.array([[SYMBOLS.index(way[0]) for way in _NEXT.get(place, ("E0", "E0"))] for place in range(_END + 1)])
_PLACE = np.array([[int(way[1]) for way in _NEXT.get(place, ("E6", "E6"))] for place in range(_END + 1)])
# From anywhere to the end in at most two steps: the way that is taken when all choices are used up.
_OUT = np.array([0, 1, 1, 1, 1, 1, 0])
CHOICES = 60  # the most choices: with probability below 1e-7 a string is cut short by leaving its loops

LONGEST = CHOICES + 8  # symbols of one embedded string


def bits(words: np.ndarray) -> np.ndarray:
    """The choices of one string from each random word: (...) to (..., 1 + CHOICES), 0 or 1."""
    return (words[..., None] >> np.arange(1 + CHOICES, dtype=np.uint64) & np.uint64(1)).astype(np.int64)


def inner(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strings of the inner grammar, from B to E.

    Args:
        bits: (B, CHOICES), 0 or 1: which of two symbols comes next.

    Returns:
        Symbols (B, CHOICES + 4), E behind the end, and lengths (B,), B and E included.
    """
    rows = np.arange(len(bits))
    symbols = np.full((len(bits), CHOICES + 4), SYMBOLS.index("E"), dtype=np.int64)
    symbols[:, 0] = SYMBOLS.index("B")
    place = np.ones(len(bits), dtype=np.int64)
    lengths = np.full(len(bits), 2, dtype=np.int64)
    for step in range(CHOICES + 2):
        way = bits[:, step] if step < CHOICES else _OUT[place]
        going = place != _END
        symbols[rows[going], step + 1] = _SYMBOL[place[going], way[going]]
        lengths += going
        place = np.where(going, _PLACE[place, way], place)
    return symbols, lengths


def embedded(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embedded strings: B, T or P, an inner string, the same T or P, E.

    Args:
        bits: (B, 1 + CHOICES): the first decides between T and P, which are repeated after the inner string.

    Returns:
        Symbols (B, LONGEST), E behind the end, and lengths (B,).
    """
    rows, (middle, length) = np.arange(len(bits)), inner(bits[:, 1:])
    outer = np.where(bits[:, 0] == 0, SYMBOLS.index("T"), SYMBOLS.index("P"))
    symbols = np.full((len(bits), LONGEST), SYMBOLS.index("E"), dtype=np.int64)
    symbols[:, 0] = SYMBOLS.index("B")
    symbols[:, 1] = outer
    symbols[:, 2 : 2 + middle.shape[1]] = middle
    symbols[rows, 2 + length] = outer
    return symbols, length + 4


def choices() -> float:
    """How many choices an inner string takes on average: the expected steps from place 1 to the end."""
    places = sorted(_NEXT)
    move = np.zeros((len(places), len(places)))
    for row, place in enumerate(places):
        for way in _NEXT[place]:
            if int(way[1]) != _END:
                move[row, places.index(int(way[1]))] += 0.5
    return float(np.linalg.solve(np.eye(len(places)) - move, np.ones(len(places)))[0])


def entropy(certain: int, free: int) -> float:
    """Entropy of the grammar in nats a predicted symbol.

    Args:
        certain: predicted symbols of a string that follow from earlier ones.
        free: choices between two symbols outside the inner string.
    """
    made = choices() + free
    return made * math.log(2) / (made + certain)


def nats(output: Tensor, y: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy (B, T) of the predicted symbols, 0 after the end, and the mask of valid steps.

    Args:
        output: logits (B, T, 7).
        y: the next symbols (B, T).
        lengths: valid steps of each row (B,).
    """
    valid = torch.arange(y.shape[1], device=y.device) < lengths[:, None]
    output = torch.where(valid[..., None], output, 0)  # values after the end may be anything
    return cross_entropy(output, torch.where(valid, y, 0)) * valid, valid


def recalled(y: Tensor, lengths: Tensor) -> Tensor:
    """The steps (B, T) whose next symbol is the second T or P of an embedded string: only there E comes next."""
    outer = (y == SYMBOLS.index("T")) | (y == SYMBOLS.index("P"))
    followed = torch.zeros_like(outer)
    followed[:, :-1] = y[:, 1:] == SYMBOLS.index("E")
    return outer & followed & (torch.arange(y.shape[1], device=y.device) < lengths[:, None] - 1)
