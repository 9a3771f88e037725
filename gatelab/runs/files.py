"""Files of a run directory: written whole or not at all, and read without trust in their writer."""

import contextlib
import errno
import json
import logging
import math
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from gatelab.errors import UserError
from gatelab.options.bounds import shown

FORMAT = 1  # of the JSON files of runs and sweeps
_LONGEST_NAME = 200  # bytes; file systems take 255, and names get prefixes and suffixes
_BEGINNING = 64 * 1024  # bytes that a run writes before its first step: Hydra's files, configuration, provenance

_log = logging.getLogger(__name__)


class NewerFormatError(UserError):
    """A newer version of gatelab wrote this file: it can be neither read nor replaced."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to, renamed at the end: a reader sees the old file or the new one, never a part."""
    with _temporary(path) as name:
        yield name
        os.replace(name, path)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new name beside a file, removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = new_file(path.parent, f".{path.name}.", path.suffix)
    os.close(handle)
    try:
        yield name
    finally:
        name.unlink(missing_ok=True)


def new_file(folder: Path, prefix: str, suffix: str = "") -> tuple[int, Path]:
    """Creates a file, open for reading and writing, with the permissions that the umask leaves.

    `tempfile` creates files that only their owner can read, and renaming keeps that.

    Returns:
        The descriptor, and the file.
    """
    while True:
        path = folder / f"{prefix}{secrets.token_hex(4)}{suffix}"
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666), path


def permissions(folder: Path) -> int:
    """The permissions of a new file in a folder: the umask itself cannot be read without setting it."""
    handle, path = new_file(folder, ".permissions.")
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(_text(value))


def write_new_json(path: Path, value: Any) -> bool:
    """Writes a JSON file unless it exists; one of several processes does. Returns whether it was this one."""
    with _temporary(path) as temporary:
        temporary.write_text(_text(value))
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if path.exists():
                return False
            os.replace(temporary, path)
    return True


def overwrite_json(path: Path, value: Any) -> None:
    """Overwrites a short JSON file in place, in the block that it has: all that is possible on a full disk."""
    with open(path, "r+b") as file:
        file.write(_text(value).encode())
        file.truncate()


def check_writable(folder: Path) -> Path:
    """Refuses a folder in which no run could begin. The folder and its parents need not exist, and are not created.

    Permissions are not enough to tell: the super-user has them on a read-only disk as well.

    Returns:
        The folder, or its nearest parent that exists: it lies on the same disk.

    Raises:
        UserError: with the reason.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(_BEGINNING))
        return there
    except OSError as error:
        remedy = "Free some space, or give" if disk_is_full(error) else "Give"
        raise UserError(
            f"'{folder}' cannot be written to: {error.strerror}. {remedy} another folder for the runs, as in out=/path/to/runs."
        ) from error


def is_folder_name(name: str) -> bool:
    """Whether `check_folder_name` accepts it."""
    length = len(name.encode(errors="surrogatepass"))
    plain = name.isprintable() and name == name.strip() and not {*"/\\"} & {*name}
    return 1 <= length <= _LONGEST_NAME and plain and name[0] not in ".-"


def check_folder_name(what: str, name: str) -> None:
    """Refuses a text that cannot be the name of a folder.

    Args:
        what: what is named, for the message.

    Raises:
        UserError: it is empty or too long, would lead elsewhere, be hidden, be taken for an option, or holds control characters.
    """
    if not is_folder_name(name):
        shown = repr(name[:80]) + ("..." if len(name) > 80 else "")
        raise UserError(
            f"{what} is {shown}, but it names a folder. Give 1 to {_LONGEST_NAME} bytes that begin with neither '.' nor "
            "'-' and hold no '/', no '\\' and no control characters, as in sweep=gates-2."
        )


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full, or the user's quota used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def full_disk(error: OSError, run: Path | None = None) -> str:
    """The message for a full disk.

    Args:
        error: the message shows its file name, if it has one.
        run: the directory of the run that ends with this message; None if no run records it.
    """
    name = error.filename or run
    what = "a file" if name is None else f"'{name}'"
    remedy = "; the last checkpoint is whole" if run is not None else " and repeat the command; it skips what is finished"
    return f"The disk is full: {what} could not be written. Free some space{remedy}."


def _text(value: Any) -> str:
    return json.dumps(_json_ready(value), indent=1, allow_nan=False) + "\n"


def _json_ready(value: Any) -> Any:
    """JSON has no nan and no infinity: they are written as strings that `float` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_ready(item) for item in value]
    return value


def float_or_none(value: object) -> float | None:
    """A number of a file that another program may have changed; None if it is not a number."""
    return float(value) if isinstance(value, (int, float)) else None


def int_or_none(value: object) -> int | None:
    """Like `float_or_none`, for a whole number."""
    return value if isinstance(value, int) else None


class Lines:
    """A file of records, one a line, that is appended to.

    A broken line that a kill or another program left is removed first. Lines are not buffered: each is handed to the system at once
    and whole, so that it survives a kill.

    Args:
        path: created when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            _repair(path)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - open until close()

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a record.

        Raises:
            OSError: for example, the disk is full.
        """
        try:
            text = json.dumps(record, allow_nan=False)
        except (TypeError, ValueError):  # rare: to check every number first takes longer than to write it
            text = json.dumps(_json_ready(record), allow_nan=False)
        line = (text + "\n").encode()
        if self._file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _repair(path: Path) -> None:
    *lines, rest = path.read_bytes().split(b"\n")
    whole = [line for line in lines if _is_record(line)]
    if len(whole) < len(lines):
        damaged = [str(number) for number, line in enumerate(lines, 1) if not _is_record(line)]
        _log.warning("%s: damaged lines are left out: %s.", path, ", ".join(damaged))
    if rest or len(whole) < len(lines):
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in whole))


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line)["step"], int)
    except (ValueError, KeyError, TypeError):
        return False


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        value = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path.name} is missing") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path.name} does not hold an object")
    return value


def with_format(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a JSON file of a run or a sweep holds: the number of its format comes first."""
    return {"format": FORMAT, **value}


def read_formatted(path: Path) -> dict[str, Any]:
    """What `with_format` was given, from a JSON file of a run or a sweep.

    Raises:
        NewerFormatError: a newer version of gatelab wrote it.
        UserError: it is missing or damaged.
    """
    value = read_json(path)
    number = value.pop("format", FORMAT)
    if number != FORMAT:
        raise NewerFormatError(
            f"{path.name} has format {shown(number)}, but this version of gatelab reads format {FORMAT} "
            "(use the version that wrote it)"
        )
    return value


def records(path: Path, families: Iterable[str] = (), only_last: bool = False) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; a missing file has none, and half a line at the end (a kill) is skipped.

    A report over many runs spends its time here: lines without a key of the families are left out unread.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    first = max(len(lines) - 2, 0) if only_last else 0  # after the last line break comes nothing, or half a line
    wanted = re.compile(b'"(?:%s)/' % "|".join(map(re.escape, families)).encode()) if families else None
    for number, line in enumerate(lines[first:], first + 1):
        if not line or (wanted is not None and line.endswith(b"}") and not wanted.search(line)):
            continue
        try:
            record = orjson.loads(line)
            if not isinstance(record["step"], int):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                return
            raise UserError(f"{path.name}, line {number}, is damaged") from error
        yield record


def last_record(path: Path) -> dict[str, Any]:
    """The last record of a file, without its step; empty if there is none."""
    last = next(records(path, only_last=True), {})
    return {key: value for key, value in last.items() if key != "step"}


def columns(found: Iterable[dict[str, Any]]) -> dict[str, tuple[list[int], list[Any]]]:
    """Every key as (steps, values), in the order of the steps; of two records of one step the later counts."""
    series: dict[str, dict[int, Any]] = {}
    for record in found:
        step = record.pop("step")
        for key, value in record.items():
            series.setdefault(key, {})[step] = value
    return {key: sorted_columns(values) for key, values in series.items()}


def sorted_columns(values: dict[int, Any]) -> tuple[list[int], list[Any]]:
    """Steps and values, in the order of the steps."""
    steps = sorted(values)
    return steps, [values[step] for step in steps]
