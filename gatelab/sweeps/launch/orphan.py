"""What the server of a sweep's jobs imports before everything else: it must not outlive its launcher while it imports the rest.

multiprocessing's server checks for its launcher only after it has imported everything, which takes many seconds. Until
then a thread checks. It ends before the first job is forked, because a process with threads should not be forked.
"""

import os
import pickle
import sys
import threading
from types import TracebackType

from gatelab.process.output import say

LAUNCHER = "GATELAB_LAUNCHER"  # the variable of the server that names the process that started it
SECONDS_BETWEEN_LOOKS = 0.1

_imported = threading.Event()


def _look(launcher: int) -> None:
    while not _imported.wait(SECONDS_BETWEEN_LOOKS):
        if os.getppid() != launcher:
            os._exit(1)


def _watch(launcher: int) -> None:
    thread = threading.Thread(target=_look, args=(launcher,), name="orphan", daemon=True)

    def end() -> None:
        _imported.set()
        thread.join()

    os.register_at_fork(before=end)
    thread.start()


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The excepthook of a starting job: if its launcher was killed before it sent everything, no traceback is needed."""
    if isinstance(error, (EOFError, pickle.UnpicklingError)):
        say("gatelab: the command was killed while it started a job, which ends, too.", stderr=True)
    else:
        sys.__excepthook__(kind, error, trace)


if LAUNCHER in os.environ:
    sys.excepthook = _say
    _watch(int(os.environ.pop(LAUNCHER)))
