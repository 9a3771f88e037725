"""Python's search for cyclic garbage, kept away from what is imported.

Importing torch makes some 300,000 objects, of which nothing is garbage. Searched as usual while a command starts and once more
when its process ends, they cost a third of the time that a short run takes.
"""

import atexit
import gc

# Of (new objects, searches of the young, searches of the middle-aged) between two searches; Python's own are (700, 10, 10).
WHILE_IMPORTING = (100_000, 50, 100)
_AFTERWARDS = gc.get_threshold()


def spare_imports() -> None:
    """For the start of a process: searches rarely until `settle`, and not at its end, when the memory goes back as a whole."""
    gc.set_threshold(*WHILE_IMPORTING)
    atexit.register(gc.freeze)


def settle() -> None:
    """Searches as usual again, and leaves out what is there now. Does nothing in a process that did not call `spare_imports`."""
    if gc.get_threshold() == WHILE_IMPORTING:
        gc.freeze()
        gc.set_threshold(*_AFTERWARDS)
