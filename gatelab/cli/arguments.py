"""What commands make of their arguments: files to write, and the command that shows the same runs as a report."""

import errno
import os
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from gatelab.errors import UserError
from gatelab.options.bounds import shown
from gatelab.process.output import say
from gatelab.runs import Run
from gatelab.training.trained import changed_since


def output_file(given: str | Path, name: str) -> Path:
    """A file that a command is to write, checked before it computes for minutes.

    Args:
        given: its path. Folders above it that do not exist are not made here.
        name: of the argument, for the message.

    Raises:
        UserError: no file can be written there.
    """
    path = Path(given)
    try:
        if not str(given).strip() or path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        there = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"{name} is {shown(str(given))}, which cannot be written: {error.strerror}. Give another file.") from error
    except ValueError as error:  # a null byte
        raise UserError(f"{name} is {shown(str(given))}, which cannot be the name of a file.") from error
    return path


def say_changed(runs: Iterable[Run]) -> None:
    """Names on stderr the plugins that are no longer what these runs were trained with; the results stay what they are."""
    for path, count in changed_since(runs).items():
        what = "has changed since" if os.path.exists(path) else "is gone, and"
        whose = "one of these runs was" if count == 1 else f"{count} of these runs were"
        say(f"'{path}' {what} {whose} trained with it.", stderr=True)


def report_command(
    runs: Sequence[str],
    out: str | None,
    baseline: str | None,
    output: str = "report.html",
    level: float | None = None,
    time: str = "steps",
) -> str:
    """The command that writes the report of these folders, as a shell reads it; arguments as of `gatelab report`."""
    options = [*(["--out", out] if out else []), *(["--baseline", baseline] if baseline else [])]
    options += [*([f"--level={level}"] if level is not None else []), *(["--time", time] if time != "steps" else [])]
    return shlex.join(["gatelab", "report", *runs, *options, "-o", output])
