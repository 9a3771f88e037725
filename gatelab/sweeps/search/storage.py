"""Opens the storage of the studies of a search (SQLite, PostgreSQL or a journal file), or refuses it in one sentence.

A password in the URL is removed from the command before anything else reads it, so that no log, plan or configuration has it.
"""

import functools
import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gatelab.errors import UserError
from gatelab.runs.files import check_writable

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

OPTION = "hydra.sweeper.storage"
KINDS = "sqlite:///FILE, postgresql://USER@HOST/DATABASE or journal:///FILE"
# Up to the last @ before the host: a password may contain any other character.
_PASSWORD = re.compile(r"(?P<before>://[^/@:\s]*):(?P<password>[^@\s]*(?:@[^/@\s]*)*?)@(?=[^@/\s]*(?:/|$|['\"\s]))")
_SECRET = re.compile(r"(?P<key>[?&][^=&\s]*pass[^=&\s]*=)[^&\s'\"]*", re.IGNORECASE)  # in a query, as in ?sslpassword=
_SECONDS_TO_WAIT = 60.0  # to wait for another process that writes to the same SQLite file


def without_passwords(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without the password of a storage URL, and the passwords by the URL without it.

    Raises:
        UserError: the query of a URL contains a password.
    """
    passwords: dict[str, str] = {}
    kept = [_hidden(item, passwords) if item.lstrip("+").startswith(f"{OPTION}=") else item for item in arguments]
    return kept, passwords


def without_password(url: str) -> str:
    """A URL without its password."""
    return _SECRET.sub(r"\g<key>***", _PASSWORD.sub(r"\g<before>:***@", url))


def _hidden(argument: str, passwords: dict[str, str]) -> str:
    option, _, url = argument.partition("=")
    _refuse_secrets(url)
    match = _PASSWORD.search(url)
    if match is None:
        return argument
    bare = _PASSWORD.sub(r"\g<before>@", url)
    passwords[bare.strip("'\"")] = match["password"]
    return f"{option}={bare}"


def _refuse_secrets(url: str) -> None:
    if _SECRET.search(url):
        raise UserError(f"{OPTION}: write a password as USER:PASSWORD@HOST, or set PGPASSWORD; elsewhere it would be logged.")


def open_storage(url: str, passwords: Mapping[str, str], dry: bool = False) -> "BaseStorage":
    """Opens or creates a storage.

    Args:
        url: see KINDS. As everywhere, three slashes are followed by a path from here and four by an absolute one. What PostgreSQL
            needs besides may come from its usual sources: PGPASSWORD, ~/.pgpass, PGSERVICE.
        passwords: passwords by the URL without it.
        dry: a missing file is not created; a storage in memory replaces it.

    Raises:
        UserError: it cannot be used; the sentence holds the reason and no password.
    """
    from optuna.storages import InMemoryStorage, JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    _refuse_secrets(url)
    refusal = functools.partial(_refusal, url, passwords.get(url, ""))
    try:
        if dry and (file := _missing_file(url)) is not None:
            check_writable(file.parent)
            return InMemoryStorage()
        if url.startswith("journal:///"):
            path = _with_folder(url.removeprefix("journal:///"))
            _check_journal(Path(path))
            # This lock also works on network file systems: it uses O_EXCL.
            return JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))
        address = make_url(url)
        if url in passwords:
            address = address.set(password=passwords[url])
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        connect: dict[str, object]
        match address.get_backend_name():
            case "sqlite" if address.database:
                _with_folder(address.database)
                connect = {"timeout": _SECONDS_TO_WAIT}
            case "sqlite":
                raise refusal("it names no file, and a study in memory could not be resumed")
            case "postgresql":
                connect = {"connect_timeout": 10}
            case other:
                raise refusal(f"'{other}' is not a storage that gatelab knows")
    except (OSError, ArgumentError) as error:
        raise refusal(str(error)) from error
    except UserError:
        raise
    except (ValueError, LookupError, TypeError) as error:  # raised by Optuna, which does not validate a journal
        raise refusal(f"it is not a journal of Optuna's ({type(error).__name__})") from error
    return _open(address.render_as_string(hide_password=False), connect, refusal)


def _check_journal(file: Path) -> None:
    """Checks the first line: Optuna takes an unreadable line for one that is being written, and appends to the file.

    Raises:
        ValueError: it is not a record of a journal.
    """
    if file.exists() and file.stat().st_size:
        with file.open("rb") as lines:
            if not isinstance(json.loads(lines.readline()), dict):
                raise ValueError("not a record")


def _missing_file(url: str) -> Path | None:
    """The file of a storage that does not exist yet; None if it exists or is not a file."""
    kind, _, path = url.partition(":///")
    file = Path(path) if kind in ("sqlite", "journal") and path else None
    return None if file is None or file.exists() else file


def _with_folder(file: str) -> str:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    return file


def _open(address: str, connect: dict[str, object], refusal: Callable[[str], UserError]) -> "BaseStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    for attempt in range(10):
        try:
            return RDBStorage(address, engine_kwargs={"connect_args": connect, "pool_pre_ping": True})
        except ImportError as error:
            raise refusal("its driver is missing: pip install 'gatelab[optuna]'") from error
        except (SQLAlchemyError, RuntimeError, OSError) as error:
            text = str(getattr(error, "orig", None) or error)
            made = re.search("already exists|duplicate key|UNIQUE constraint|locked", text)
            if made is None or attempt == 9:
                raise refusal(text) from error
            time.sleep(random.uniform(0.1, 0.5))  # another process is creating the tables
    raise AssertionError


def _refusal(url: str, password: str, reason: str) -> UserError:
    line = without_password(" ".join(reason.split()))
    line = line.replace(password, "***") if password else line
    return UserError(f"{OPTION}={without_password(url)} cannot be used: {line.rstrip('.')}. A storage is {KINDS}.")
