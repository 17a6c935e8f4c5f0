"""Where executions are kept: SQLite in memory or in a file, so that memory does not grow with their number.

The one place outside `ledger/` with SQL: this is the other side's memory, not ours. A file outlives the server;
executions go on by the clock as if the crew had kept running. Every statement is its own short transaction, so
two servers (two runs beside one ledger) can share a file.
"""

import heapq
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchcrew.base.errors import UsageError
from batchcrew.base.sqlite_files import create_private, database_uri
from batchcrew.server.demo.execution import Record

KEPT_IN_FILE = 100_000
KEPT_IN_MEMORY = 20_000
"""Executions that are kept; beyond it the oldest ended ones are forgotten."""
PRUNE_EVERY = 200
APPLICATION_ID = 0x62636372
"""In the file's head: a file of anything else is left alone."""
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kickoff_id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,           -- its Idempotency-Key
    work BLOB NOT NULL,        -- digest of the inputs
    work_turn INTEGER NOT NULL,  -- 1 for the first execution of these inputs
    job TEXT,                  -- [batch, job], as batchcrew says it in meta
    job_turn INTEGER,          -- 1 for the first kickoff of this job
    trip TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    duration REAL NOT NULL,
    fails INTEGER NOT NULL,
    callbacks TEXT             -- webhooks that are still to be sent
) STRICT;
CREATE INDEX executions_of_work ON executions (work, work_turn);
CREATE INDEX executions_of_job ON executions (job, job_turn) WHERE job IS NOT NULL;
CREATE INDEX executions_calling_back ON executions (seq) WHERE callbacks IS NOT NULL;
"""
_RECORD = "kickoff_id, trip, started_at, duration, fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """The webhooks of one execution."""

    urls: Mapping[str, str]
    meta: Mapping[str, Any] | None
    sent: int = 0
    """Those of `urls` that are done with, in their order."""


class Executions:
    """All executions of one server."""

    def __init__(self, path: Path | None, *, now: float, kept: int | None = None) -> None:
        self._kept = kept or (KEPT_IN_FILE if path else KEPT_IN_MEMORY)
        self._connection = _open(path)
        # the ends of those that run, so that counting them is no table scan
        rows = self._connection.execute("SELECT ends_at FROM executions WHERE ends_at > ?", (_text(now),))
        self._ends: list[float] = [_seconds(row[0]) for row in rows]
        heapq.heapify(self._ends)
        self.peak_running = len(self._ends)
        row = self._connection.execute("SELECT max(job_turn) FROM executions").fetchone()
        self.most_of_one_job: int = row[0] or 0
        """The most executions that one job of batchcrew was given."""

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def turn(self, work: bytes) -> int:
        """Which execution of these inputs the next one is, from 1."""
        row = self._connection.execute("SELECT max(work_turn) FROM executions WHERE work = ?", (work,)).fetchone()
        return int(row[0] or 0) + 1

    def add(
        self,
        record: Record,
        *,
        work: bytes,
        turn: int = 1,
        key: str | None = None,
        job: str | None = None,
        callbacks: Callbacks | None = None,
    ) -> bool:
        """Keep a new execution. False: another server on this file has just started one under this key."""
        rows = self._connection.execute(
            "INSERT INTO executions (kickoff_id, key, work, work_turn, job, job_turn, trip, started_at, ends_at,"
            " duration, fails, callbacks) VALUES (?1, ?2, ?3, ?4, ?5,"
            " CASE WHEN ?5 IS NULL THEN NULL"
            " ELSE (SELECT coalesce(max(job_turn), 0) + 1 FROM executions WHERE job = ?5) END,"
            " ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (key) DO NOTHING RETURNING seq, job_turn",
            (
                record.kickoff_id,
                key,
                work,
                turn,
                job,
                json.dumps(record.trip),
                _text(record.started),
                _text(record.ends),
                record.duration,
                int(record.fails),
                _callbacks_text(callbacks),
            ),
        ).fetchall()
        if not rows:
            return False
        seq, job_turn = rows[0]
        self.most_of_one_job = max(self.most_of_one_job, job_turn or 0)
        heapq.heappush(self._ends, record.ends)
        self.peak_running = max(self.peak_running, self.running(record.started))
        if seq % PRUNE_EVERY == 0:
            self._prune(seq, record.started)
        return True

    def get(self, kickoff_id: str) -> Record | None:
        """The execution of that id."""
        return self._one(f"SELECT {_RECORD} FROM executions WHERE kickoff_id = ?", kickoff_id)  # noqa: S608 - a constant

    def by_key(self, key: str) -> Record | None:
        """The execution that was started under that Idempotency-Key."""
        return self._one(f"SELECT {_RECORD} FROM executions WHERE key = ?", key)  # noqa: S608 - a constant

    def running(self, now: float) -> int:
        """Executions whose end is still to come."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def next_end(self) -> float | None:
        """When the next of those that `running` counted ends."""
        return self._ends[0] if self._ends else None

    def kickoffs(self) -> int:
        """Executions ever started, forgotten ones included."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'executions'").fetchone()
        return int(row[0]) if row else 0

    def kickoffs_of(self, job: str) -> int:
        """Executions of the job of that id, in whatever batch (reads all that are kept)."""
        row = self._connection.execute(
            "SELECT count(*) FROM executions WHERE job IS NOT NULL AND json_extract(job, '$[1]') = ?", (job,)
        ).fetchone()
        return int(row[0])

    def callbacks(self, kickoff_id: str) -> Callbacks | None:
        """The webhooks that are still to be sent for an execution."""
        row = self._connection.execute(
            "SELECT callbacks FROM executions WHERE kickoff_id = ?", (kickoff_id,)
        ).fetchone()
        if row is None or row[0] is None:
            return None
        return Callbacks(**json.loads(row[0]))

    def set_callbacks(self, kickoff_id: str, callbacks: Callbacks | None) -> None:
        """What is still to be sent; None: nothing, and `meta` is forgotten."""
        self._connection.execute(
            "UPDATE executions SET callbacks = ? WHERE kickoff_id = ?", (_callbacks_text(callbacks), kickoff_id)
        )

    def calling_back(self) -> list[str]:
        """The kickoff ids that still have webhooks to send."""
        rows = self._connection.execute("SELECT kickoff_id FROM executions WHERE callbacks IS NOT NULL ORDER BY seq")
        return [row[0] for row in rows]

    def _one(self, statement: str, value: str) -> Record | None:
        row: tuple[Any, ...] | None = self._connection.execute(statement, (value,)).fetchone()
        if row is None:
            return None
        return Record(
            kickoff_id=row[0], trip=json.loads(row[1]), started=_seconds(row[2]), duration=row[3], fails=bool(row[4])
        )

    def _prune(self, newest: int, now: float) -> None:
        self._connection.execute(
            "DELETE FROM executions WHERE seq <= ? AND ends_at <= ? AND callbacks IS NULL",
            (newest - self._kept, _text(now)),
        )


def _open(path: Path | None) -> sqlite3.Connection:
    """Raises UsageError: the file cannot be used, or is something else."""
    connection = None
    try:
        if path is not None:
            create_private(path)
        connection = sqlite3.connect(database_uri(path) if path else ":memory:", uri=True, isolation_level=None)
        for pragma in ("busy_timeout = 10000", "synchronous = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN IMMEDIATE")  # of two servers that make the file at once, one waits
        _migrate(connection, path)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    except (OSError, sqlite3.Error, UsageError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"the embedded crew's state {path} cannot be used: {error}; name another file") from error
    return connection


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    application, version, tables = (
        connection.execute(f"SELECT * FROM {source}").fetchone()[0]  # noqa: S608 - three constants
        for source in ("pragma_application_id", "pragma_user_version", "(SELECT count(*) FROM sqlite_schema)")
    )
    if not tables and not application:
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif application != APPLICATION_ID:
        raise UsageError(f"{path} is a database of something else, not the embedded crew's state; name another file")
    elif version != SCHEMA_VERSION:
        raise UsageError(
            f"the embedded crew's state {path} is of another version of batchcrew; remove it to begin anew"
        )


def _callbacks_text(callbacks: Callbacks | None) -> str | None:
    if callbacks is None:
        return None
    return json.dumps({"urls": dict(callbacks.urls), "meta": callbacks.meta, "sent": callbacks.sent})


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
