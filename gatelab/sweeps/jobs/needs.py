"""What a run needs of a machine, and what this machine has."""

from dataclasses import dataclass

from gatelab.process.memory import available_bytes
from gatelab.runs.matched import Matched

MOST_RUNS = 10_000_000  # runs of a sweep; composing a million takes most of an hour and gigabytes
MOST_JOBS = 100_000  # at once; more than any machine or cluster can run


@dataclass(frozen=True)
class Needs:
    """The needs of one run, or the room of a machine for all runs together.

    Attributes:
        threads: the number of computing threads.
        memory: bytes.
        disk: bytes of a finished run, including a checkpoint that is being replaced.
        seconds: the time of a whole run on an idle core.
        matched: how its hidden size follows from another cell; None where it is given.
    """

    threads: int = 1
    memory: int = 0
    disk: int = 0
    seconds: float = 0.0
    matched: Matched | None = None


def room() -> Needs:
    """The room of this machine for all runs together: its cores and its free memory."""
    from joblib import cpu_count  # here, because the server of a sweep's jobs starts before anything slow is imported

    return Needs(threads=cpu_count(), memory=available_bytes())
