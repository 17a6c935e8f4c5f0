"""Where executions are kept: SQLite in memory or in a file, so that memory does not grow with their number.

The one place outside `ledger/` with SQL: this is the other side's memory, not ours. A file outlives the server;
executions go on by the clock as if the crew had kept running.
"""

import heapq
import json
import sqlite3
from pathlib import Path
from typing import Any

from batchcrew.errors import UsageError
from batchcrew.server.execution import Record

KEPT_ENDED = 100_000
"""Executions that are kept; the oldest ended ones are forgotten beyond it."""
PRUNE_EVERY = 1_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kickoff_id TEXT NOT NULL UNIQUE, key TEXT UNIQUE, job TEXT,
    inputs TEXT NOT NULL, meta TEXT NOT NULL, started REAL NOT NULL, duration REAL NOT NULL, fails INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS executions_of_job ON executions (job);
"""


class Executions:
    """All executions of one server."""

    def __init__(self, path: Path | None, *, now: float, kept: int = KEPT_ENDED) -> None:
        self._kept = kept
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
            self._connection = sqlite3.connect(path or ":memory:", isolation_level=None)
            for pragma in ("journal_mode = WAL", "synchronous = OFF", "busy_timeout = 10000"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"the embedded crew's state {path} cannot be used: {error}; name another file") from error
        # those that still run: so that `running` needs no table scan
        self._ends: list[float] = [
            row[0]
            for row in self._connection.execute(
                "SELECT started + duration FROM executions WHERE started + duration > ?", (now,)
            )
        ]
        heapq.heapify(self._ends)
        self.peak_running = len(self._ends)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, record: Record, *, key: str | None, job: str | None) -> None:
        """Keep a new execution."""
        cursor = self._connection.execute(
            "INSERT INTO executions (kickoff_id, key, job, inputs, meta, started, duration, fails)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.kickoff_id,
                key,
                job,
                json.dumps(record.inputs),
                json.dumps(record.meta),
                record.started,
                record.duration,
                int(record.fails),
            ),
        )
        heapq.heappush(self._ends, record.ends)
        self.peak_running = max(self.peak_running, self.running(record.started))
        if (cursor.lastrowid or 0) % PRUNE_EVERY == 0:
            self._prune(record.started)

    def get(self, kickoff_id: str) -> Record | None:
        """The execution of that id."""
        return self._one("kickoff_id", kickoff_id)

    def by_key(self, key: str) -> Record | None:
        """The execution that was started under that Idempotency-Key."""
        return self._one("key", key)

    def running(self, now: float) -> int:
        """Executions whose end is still to come."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def kickoffs(self) -> int:
        """Executions ever started."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'executions'").fetchone()
        return int(row[0]) if row else 0

    def most_of_one_job(self) -> int:
        """The most executions that one job of batchcrew was given (it says its job in `meta.batchcrew`)."""
        row = self._connection.execute(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM executions WHERE job IS NOT NULL GROUP BY job)"
        ).fetchone()
        return int(row[0] or 0)

    def _one(self, column: str, value: str) -> Record | None:
        row: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT kickoff_id, inputs, meta, started, duration, fails FROM executions WHERE {column} = ?",  # noqa: S608 - one of two constants
            (value,),
        ).fetchone()
        if row is None:
            return None
        return Record(
            kickoff_id=row[0],
            inputs=json.loads(row[1]),
            meta=json.loads(row[2]),
            started=row[3],
            duration=row[4],
            fails=bool(row[5]),
        )

    def _prune(self, now: float) -> None:
        self._connection.execute(
            "DELETE FROM executions WHERE started + duration <= ? AND seq <= (SELECT max(seq) FROM executions) - ?",
            (now, self._kept),
        )
