"""How a cell looks: a function of its name alone, so that it is the same in every figure of every report."""

import hashlib

# Okabe & Ito (2008), told apart by colour-blind readers; grey for their black, which a dark page hides; yellow last, the palest.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080", "#F0E442")
# The same on the page, where some are too pale on white or too dark on black.
_ON_WHITE = (*COLOURS[:7], "#C9BC1F")
_ON_BLACK = ("#3A96D8", "#EC7A1C", "#1FBF8F", *COLOURS[3:])
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


def style_sheet() -> str:
    """The colours as variables of the page, `--colour-0` and so on, in its light and its dark theme; print is light."""
    light, dark = (
        " ".join(f"--colour-{number}: {colour};" for number, colour in enumerate(colours)) for colours in (_ON_WHITE, _ON_BLACK)
    )
    return (
        f":root {{ {light} }}\n"
        f'@media screen {{ :root[data-theme="dark"] {{ {dark} }} }}\n'
        f"@media screen and (prefers-color-scheme: dark) {{ :root:not([data-theme]) {{ {dark} }} }}\n"
    )
