"""How pages on cells and tasks print their docstrings."""

from gatelab.cells import CELLS
from gatelab.sweeps.facts import flowing

PAGE = """A unit.

```
f = 1
  c = 2
```

Bounds: as far as this goes, and
further. Cost: little.
Second line of it.

References:
    A, 1997
    B, 1998"""
FLOWING = """A unit.

```
f = 1
  c = 2
```

Bounds: as far as this goes, and further. Cost: little. Second line of it.

References:
    A, 1997
    B, 1998"""


def test_paragraphs_are_one_line_each_and_code_stays() -> None:
    assert flowing(PAGE) == FLOWING
    assert flowing("") == ""


def test_no_word_of_a_cell_is_lost() -> None:
    for name in CELLS.names():
        docstring = CELLS.get(name).__doc__ or ""
        assert flowing(docstring).split() == docstring.split()
