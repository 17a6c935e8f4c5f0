"""Files of SQLite databases: created, and named, without ever being opened other than through SQLite.

POSIX drops every lock that a process holds on a file as soon as the process closes any descriptor of that file. A
database (or its `-wal` or `-shm`) that is opened and closed past SQLite therefore loses SQLite's locks: the next
program that closes the database believes it is the last one, and unlinks the WAL under a running batch.
"""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_UMASK = threading.Lock()


def create_private(path: Path) -> None:
    """Create the database `path`, with its folder, readable by its owner only; leave an existing file alone.

    Blocks: call it in a thread. The umask is the process's: a file that another thread creates in the same
    millisecond is also readable by its owner only.

    Raises:
        OSError: the folder cannot be made.
        sqlite3.Error: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    with _UMASK:
        before = os.umask(0o077)
        try:
            with closing(sqlite3.connect(database_uri(path, mode="rwc"), uri=True)):
                pass
        finally:
            os.umask(before)


def database_uri(path: Path, **parameters: str) -> str:
    """Return the URI of a database file for `sqlite3.connect(..., uri=True)`: `database_uri(path, mode="ro")`."""
    # "./", so that SQLite takes neither `:memory:` nor `file:x` for anything but a name
    name = "//" + quote(os.fsencode(path)) if path.is_absolute() else "./" + quote(os.fsencode(path))
    query = "&".join(f"{key}={value}" for key, value in parameters.items())
    return f"file:{name}?{query}" if query else f"file:{name}"


def companion(path: Path, suffix: str) -> Path:
    """Return the path of a database's `-wal`, `-shm` or `-journal`.

    SQLite follows a link to the database and names these files after its target.
    """
    resolved = Path(os.path.realpath(path))
    return resolved.with_name(resolved.name + suffix)


def is_database_file(path: Path, database: Path) -> bool:
    """Whether `path` leads to the database itself, or to a file that SQLite keeps for it."""
    files = {companion(database, suffix) for suffix in ("", "-wal", "-shm", "-journal")}
    return Path(os.path.realpath(path)) in files
