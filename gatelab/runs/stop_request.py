"""How a search asks a run to end early: by a file in its directory, so that the run needs no access to the search's storage."""

from pathlib import Path

from gatelab.runs.files import replacing

_FILE = "prune"


def ask_to_stop(run: Path, reason: str) -> None:
    """Asks a run to end; it does within seconds, with state `pruned`.

    Args:
        reason: one sentence, which the run's status will show.
    """
    with replacing(run / _FILE) as temporary:
        temporary.write_text(reason, "utf-8")


def asked_to_stop(run: Path) -> str | None:
    """The reason why a run is asked to end; None while it is not."""
    try:
        return (run / _FILE).read_text("utf-8")
    except OSError:
        return None


def forget(run: Path) -> None:
    """Removes the request of an earlier search, so that the run can be trained again."""
    (run / _FILE).unlink(missing_ok=True)
