"""Python's search for cyclic garbage, kept away from what is imported.

Importing torch makes some 300,000 objects, of which nothing is garbage. Searched as usual while a command starts, while it runs and
once more at its end, they cost a third of the time that a short run takes.
"""

import gc
import sys

# New objects, searches of the young, and searches of the middle-aged between two searches; Python's own are 700, 10 and 10.
WHILE_IMPORTING = (100_000, 50, 100)
LEAK_CHECKERS = ("triton",)  # extension modules that print, at the end of a process, whatever was never freed
_AFTERWARDS = gc.get_threshold()


def spare_imports() -> None:
    """Has Python search rarely until `settle`; for the start of a process."""
    gc.set_threshold(*WHILE_IMPORTING)


def settle() -> None:
    """Has Python search as usual again, but not what is there now. Does nothing in a process that did not call `spare_imports`."""
    if gc.get_threshold() == WHILE_IMPORTING:
        if not {*LEAK_CHECKERS} & sys.modules.keys():
            gc.freeze()
        gc.set_threshold(*_AFTERWARDS)
