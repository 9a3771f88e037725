"""Why a run failed: one word for the ledger and one sentence for the user."""

import errno
from collections.abc import Iterator
from pathlib import Path

import torch

from gatelab.errors import first_line
from gatelab.runs import Run
from gatelab.runs.files import disk_is_full, full_disk

_NO_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")  # torch on a CPU has no class for it


class RunFailedError(RuntimeError):
    """A run ended without a result. Its directory says why."""


class NonFiniteLossError(ArithmeticError):
    """The loss is nan or infinite."""


class PeerLostError(RunFailedError):
    """Another process of the team was killed, or its node was lost."""


class PeerFailedError(RunFailedError):
    """An error in another process of the team.

    Args:
        text: one sentence.
        cause: as in `explain`.
        trace: its traceback.
    """

    def __init__(self, text: str, cause: str, trace: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.add_note(f"In another process of the run:\n{trace}")


def left_alone(run: Run, retry: str) -> str | None:
    """Why a failed run is not tried again; None if it is."""
    error = " ".join(str(run.status.get("error", "no error was recorded")).split())
    failed = f"{run.path} failed before, at step {run.step}: {error}"
    if run.diverged and retry != "all":
        return f"{failed} It would diverge again and is left alone; machine.retry=all trains it again."
    if run.state == "failed" and retry == "none":
        return f"{failed} It is left alone because of machine.retry=none; machine.retry=all trains it again."
    return None


def explain(error: BaseException, path: Path) -> tuple[str, str]:
    """Cause and sentence.

    Args:
        error: the exception that ended the run, with its causes.
        path: its directory.

    Returns:
        The cause is "diverged", "disk" (full), "memory" (not enough) or "error".
    """
    for one in _chain(error):
        if isinstance(one, PeerFailedError):
            return one.cause, str(one)
        if isinstance(one, NonFiniteLossError):
            return "diverged", str(one)
        if isinstance(one, OSError) and disk_is_full(one):
            return "disk", full_disk(one, path)
        if _of_memory(one):
            return "memory", (
                f"There is not enough memory: {first_line(one)}. Run fewer at once, set machine.checkpoint_every, or use smaller "
                "batches (trainer.batch_size)."
            )
    return "error", str(error) or repr(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
