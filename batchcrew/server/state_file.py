"""The SQLite files in which the server stores executions: how they are opened and checked, and what they count."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from batchcrew.base.errors import UsageError
from batchcrew.base.sqlite_files import create_private, database_uri

BUSY_MILLISECONDS = 10_000
"""How long a statement waits for another program that uses the file."""
MEMORY = ":memory:"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateKind:
    """A kind of state file."""

    name: str
    """Its name in messages."""
    application_id: int
    """Id in the file's header; a file with another id is not used."""
    version: int
    """Version of the schema."""
    schema: str
    """Statements that create the tables. A table `executions` has `seq` (AUTOINCREMENT), `job` and `job_turn`."""
    synchronous: str
    """The SQLite pragma: `OFF`, or `NORMAL`, in which a commit survives the death of the process."""


def open_state(kind: StateKind, path: Path | None) -> sqlite3.Connection:
    """Open a state file, and create it if it does not exist; each statement is its own transaction.

    Args:
        path: None for a state in memory.

    Raises:
        UsageError: the file cannot be used, is another kind of database, or is of another version.
    """
    connection = None
    try:
        if path is not None:
            create_private(path)
        connection = sqlite3.connect(database_uri(path) if path else MEMORY, uri=True, isolation_level=None)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        if _is_empty(connection):
            connection.execute("BEGIN IMMEDIATE")  # if two servers create the file at once, one waits
            if _is_empty(connection):
                _create(connection, kind)
            connection.execute("COMMIT")
        _check(connection, kind, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {kind.synchronous}")
    except (OSError, sqlite3.Error, UsageError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{kind.name} {path} cannot be used: {error}; name another file (--state)") from error
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return not tables and not application


def _create(connection: sqlite3.Connection, kind: StateKind) -> None:
    for statement in kind.schema.split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {kind.application_id}")
    connection.execute(f"PRAGMA user_version = {kind.version}")


def _check(connection: sqlite3.Connection, kind: StateKind, path: Path | None) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != kind.application_id:
        raise UsageError(f"{path} is another kind of database (expected {kind.name}); name another file (--state)")
    if version != kind.version:
        raise UsageError(f"{kind.name} {path} is of another version of batchcrew; remove it to start again")


def count_kickoffs(connection: sqlite3.Connection) -> int:
    """Return how many executions were ever started, including deleted ones."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'executions'").fetchone()
    return int(row[0]) if row else 0


def count_kickoffs_of(connection: sqlite3.Connection, job: str) -> int:
    """Return how many stored executions are of the job with that id, in any batch. It reads all of them."""
    row = connection.execute(
        "SELECT count(*) FROM executions WHERE job IS NOT NULL AND json_extract(job, '$[1]') = ?", (job,)
    ).fetchone()
    return int(row[0])


def most_kickoffs_of_one_job(connection: sqlite3.Connection) -> int:
    """Return the highest number of executions that one job of batchcrew has."""
    row = connection.execute("SELECT max(job_turn) FROM executions").fetchone()
    return int(row[0] or 0)
