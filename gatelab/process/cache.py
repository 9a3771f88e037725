"""The user's cache folder, for files that can be made again at any time; it is read only if no other user can have written to it.

`GATELAB_CACHE` names another folder.
"""

import os
import shlex
import stat
from pathlib import Path


def cache_folder(part: str) -> Path:
    """The folder of one part of the cache, which need not exist.

    Args:
        part: its name, as in "kernels".
    """
    given = os.environ.get("GATELAB_CACHE") or str(user_cache())
    folder = os.path.expanduser(given)
    # Without a home the "~" stays, and a folder of that name must not be created.
    return Path(folder if folder.startswith("~") else os.path.abspath(folder)) / part


def user_cache() -> Path:
    """The system's folder for caches of gatelab."""
    import platformdirs

    return platformdirs.user_cache_path("gatelab")


def prepare(folder: Path) -> str | None:
    """Creates a cache folder if it is missing; returns why it cannot be used, or None."""
    if folder.is_absolute():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            return f"it cannot be created ({error.strerror})"
    return unsafe(folder)


def unsafe(folder: Path) -> str | None:
    """Why a cache folder cannot be trusted, or None."""
    if not folder.is_absolute():
        return "the user has no home folder; set GATELAB_CACHE to a folder"
    try:
        status = os.stat(folder)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    reason = _not_private(status)
    return f"{reason}; chmod go-w {shlex.quote(str(folder))} or set GATELAB_CACHE to your own folder" if reason else None


def read_private(path: Path) -> tuple[bytes, str]:
    """The content of a file that only the user can write and owns; or why it is not read."""
    try:
        # This refuses links, and pipes that would wait.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return b"", "it is not a regular file"
            reason = _not_private(status)
            return (b"", reason) if reason else (file.read(), "")
    except OSError as error:
        return b"", f"it cannot be read ({error.strerror})"


def _not_private(status: os.stat_result) -> str:
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    return "users other than its owner may write it" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""
