"""How a cell looks: a function of its name alone, so that it is the same in every figure of every report."""

import hashlib

# Okabe & Ito (2008), told apart by colour-blind readers; grey for their black, which a dark page hides; yellow last, the palest.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080", "#F0E442")
DASHES = ("", "7 3", "2 2", "8 3 2 3", "12 4", "12 3 2 3")  # lengths of strokes and gaps, in points
SYMBOLS = ("circle", "square", "triangle", "diamond", "cross", "star")

# Chosen so that the usual baselines and the cells of the demo have colours of their own.
_SALT = "159716"


def look_of(cell: str) -> tuple[int, int, int]:
    """Colour, symbol and dash of a cell, as indices into COLOURS, SYMBOLS and DASHES."""
    number = int.from_bytes(hashlib.sha256(f"{_SALT}{cell}".encode()).digest()[:8])
    number, colour = divmod(number, len(COLOURS))
    number, symbol = divmod(number, len(SYMBOLS))
    return colour, symbol, number % len(DASHES)
