"""Where executions of real crews are kept: SQLite in memory or in a file, with what is still to be called back.

Beside `state.py` (the demo crew's) the only place of the server with SQL. One server has a file at a time: it holds
a lock beside it. Each statement is its own short transaction; a commit survives the death of the process, not
always that of the machine (`synchronous = NORMAL`).
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from batchcrew.base.errors import UsageError
from batchcrew.base.sqlite_files import create_private, database_uri
from batchcrew.server.report import ENDED, Phase, Report, StepReport, TaskReport

LOG = logging.getLogger("batchcrew.server")
APPLICATION_ID = 0x62636B65
"""In the file's head: a file of anything else is left alone."""
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kickoff_id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,           -- its Idempotency-Key
    job TEXT,                  -- [batch, job], as batchcrew says it in meta
    job_turn INTEGER,          -- 1 for the first kickoff of this job
    phase TEXT NOT NULL,       -- waiting -> running <-> paused -> succeeded | failed
    inputs TEXT,               -- JSON; forgotten when it has ended
    wishes TEXT,               -- JSON: meta and who is called back; forgotten when it has ended
    accepted_at REAL NOT NULL, -- seconds since the epoch, as all moments here
    ended_at REAL,
    report TEXT NOT NULL       -- JSON
) STRICT;
CREATE INDEX executions_active ON executions (seq) WHERE ended_at IS NULL;
CREATE INDEX executions_ended ON executions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX executions_of_job ON executions (job, job_turn) WHERE job IS NOT NULL;
CREATE TABLE deliveries (      -- webhooks that are still to be sent
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kickoff_id TEXT NOT NULL,
    url TEXT NOT NULL,
    authorization TEXT,
    body BLOB NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX deliveries_of_execution ON deliveries (kickoff_id, url, seq)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An execution that is still to be started."""

    kickoff_id: str
    inputs: Mapping[str, Any]
    wishes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook that is to be sent."""

    seq: int
    kickoff_id: str
    url: str
    authorization: str | None
    body: bytes
    tries: int


class ExecutionStore:
    """All executions of one server.

    Raises:
        UsageError: the file cannot be used, is something else, or another server has it.
    """

    def __init__(self, path: Path | None, *, now: float) -> None:
        self._close = ExitStack()
        self._unkept: dict[str, tuple[Report, float]] = {}
        """What could not be written, and its moment."""
        try:
            if path is not None:
                self._close.callback(_lock(path).release)
            self._connection = _open(path)
            self._close.callback(self._connection.close)
        except BaseException:
            self._close.close()
            raise
        row = self._connection.execute("SELECT max(job_turn) FROM executions").fetchone()
        self.most_of_one_job: int = row[0] or 0
        """The most executions that one job of batchcrew was given."""

    def close(self) -> None:
        """Close the file and let another server have it."""
        self._close.close()

    def add(self, report: Report, *, key: str | None, job: str | None, order: Order, now: float) -> None:
        """Keep a new execution."""
        row = self._connection.execute(
            "INSERT INTO executions (kickoff_id, key, job, job_turn, phase, inputs, wishes, accepted_at, report)"
            " VALUES (?1, ?2, ?3, CASE WHEN ?3 IS NULL THEN NULL"
            " ELSE (SELECT coalesce(max(job_turn), 0) + 1 FROM executions WHERE job = ?3) END,"
            " ?4, ?5, ?6, ?7, ?8) RETURNING job_turn",
            (
                report.kickoff_id,
                key,
                job,
                report.phase,
                json.dumps(order.inputs),
                json.dumps(order.wishes),
                now,
                _report_text(report),
            ),
        ).fetchone()
        self.most_of_one_job = max(self.most_of_one_job, row[0] or 0)

    def by_key(self, key: str) -> str | None:
        """The execution that was started under that Idempotency-Key."""
        row = self._connection.execute("SELECT kickoff_id FROM executions WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def order(self, kickoff_id: str) -> Order:
        """What an execution that has not ended was given."""
        row = self._connection.execute(
            "SELECT inputs, wishes FROM executions WHERE kickoff_id = ?", (kickoff_id,)
        ).fetchone()
        return Order(kickoff_id=kickoff_id, inputs=json.loads(row[0]), wishes=json.loads(row[1]))

    def report(self, kickoff_id: str) -> Report | None:
        """What was kept last of an execution; None: there is none of that id, whatever it is."""
        if not kickoff_id.isascii():  # ours all are, and half a character is nothing that SQLite takes
            return None
        if kickoff_id in self._unkept:
            return self._unkept[kickoff_id][0]
        row = self._connection.execute("SELECT report FROM executions WHERE kickoff_id = ?", (kickoff_id,)).fetchone()
        return None if row is None else _report(kickoff_id, row[0])

    def keep(self, report: Report, *, now: float) -> None:
        """Keep where an execution stands; of one that has ended, inputs and wishes are forgotten.

        A disk that is full takes no paid result away: it waits in memory until it can be written.
        """
        try:
            self._keep(report, now)
        except sqlite3.OperationalError as error:
            if report.kickoff_id not in self._unkept:
                LOG.warning("%s could not be written, and is in memory only: %s", report.kickoff_id, error)
            self._unkept[report.kickoff_id] = (report, now)
        else:
            self._unkept.pop(report.kickoff_id, None)

    def keep_what_waits(self) -> None:
        """Write what could not be written before."""
        for report, now in list(self._unkept.values()):
            self.keep(report, now=now)

    def _keep(self, report: Report, now: float) -> None:
        if report.phase in ENDED:
            self._connection.execute(
                "UPDATE executions SET phase = ?, report = ?, ended_at = ?, inputs = NULL, wishes = NULL"
                " WHERE kickoff_id = ?",
                (report.phase, _report_text(report), now, report.kickoff_id),
            )
        else:
            self._connection.execute(
                "UPDATE executions SET phase = ?, report = ? WHERE kickoff_id = ?",
                (report.phase, _report_text(report), report.kickoff_id),
            )

    def active(self) -> list[tuple[str, Phase]]:
        """What an earlier server has left without an end, oldest first."""
        rows = self._connection.execute(
            "SELECT kickoff_id, phase FROM executions WHERE ended_at IS NULL ORDER BY seq"
        ).fetchall()
        return [(row[0], row[1]) for row in rows]

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

    def forget(self, *, ended_before: float, kept: int) -> None:
        """Forget executions that ended before that moment, and the oldest beyond the newest `kept` ones."""
        self._connection.execute("DELETE FROM executions WHERE ended_at < ?", (ended_before,))
        self._connection.execute(
            "DELETE FROM executions WHERE ended_at IS NOT NULL AND ended_at <"
            " (SELECT min(ended_at) FROM (SELECT ended_at FROM executions WHERE ended_at IS NOT NULL"
            " ORDER BY ended_at DESC, seq DESC LIMIT ?))",
            (kept,),
        )
        self._connection.execute("DELETE FROM deliveries WHERE kickoff_id NOT IN (SELECT kickoff_id FROM executions)")

    def add_deliveries(self, rows: Iterable[tuple[str, str, str | None, bytes]]) -> None:
        """Keep what is to be sent: kickoff id, URL, Authorization header, body."""
        self._connection.executemany(
            "INSERT INTO deliveries (kickoff_id, url, authorization, body) VALUES (?, ?, ?, ?)", rows
        )

    def next_delivery(self, kickoff_id: str, url: str) -> Delivery | None:
        """The oldest of an execution to that URL."""
        row = self._connection.execute(
            "SELECT seq, kickoff_id, url, authorization, body, tries FROM deliveries"
            " WHERE kickoff_id = ? AND url = ? ORDER BY seq LIMIT 1",
            (kickoff_id, url),
        ).fetchone()
        names = ("seq", "kickoff_id", "url", "authorization", "body", "tries")
        return None if row is None else Delivery(**dict(zip(names, row, strict=True)))

    def tried(self, delivery: Delivery) -> None:
        """It was tried once more, and has to be again."""
        self._connection.execute("UPDATE deliveries SET tries = tries + 1 WHERE seq = ?", (delivery.seq,))

    def done(self, delivery: Delivery) -> None:
        """It was taken, or is given up."""
        self._connection.execute("DELETE FROM deliveries WHERE seq = ?", (delivery.seq,))

    def deliveries(self) -> list[tuple[str, str]]:
        """Execution and URL of what is still to be sent."""
        rows = self._connection.execute("SELECT kickoff_id, url FROM deliveries GROUP BY 1, 2 ORDER BY min(seq)")
        return [(row[0], row[1]) for row in rows]

    def waiting_deliveries(self, kickoff_id: str) -> int:
        """How many of an execution are still to be sent."""
        row = self._connection.execute("SELECT count(*) FROM deliveries WHERE kickoff_id = ?", (kickoff_id,)).fetchone()
        return int(row[0])


def _lock(path: Path) -> FileLock:
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"the state {path} is in use by another server; name another file (--state, or `state` of `serve`)"
        ) from None
    except OSError as error:
        raise UsageError(f"the state {path} cannot be used: {error}; name another file with --state") from error
    return lock


def _open(path: Path | None) -> sqlite3.Connection:
    connection = None
    try:
        if path is not None:
            create_private(path)
        connection = sqlite3.connect(database_uri(path) if path else ":memory:", uri=True, isolation_level=None)
        _migrate(connection, path)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
            connection.execute(f"PRAGMA {pragma}")
    except (OSError, sqlite3.Error, UsageError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"the state {path} cannot be used: {error}; name another file with --state") from error
    return connection


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    application, version, tables = (
        connection.execute(f"SELECT * FROM {source}").fetchone()[0]  # noqa: S608 - three constants
        for source in ("pragma_application_id", "pragma_user_version", "(SELECT count(*) FROM sqlite_schema)")
    )
    if not tables and not application:
        connection.execute("BEGIN")
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    elif application != APPLICATION_ID:
        raise UsageError(f"{path} is a database of something else, not the state of served crews; name another --state")
    elif version != SCHEMA_VERSION:
        raise UsageError(f"the state {path} is of another version of batchcrew; remove it to begin anew")


def _report_text(report: Report) -> str:
    said = asdict(report)
    for known in ("kickoff_id", "real"):
        del said[known]
    return json.dumps(said)


def _report(kickoff_id: str, text: str) -> Report:
    said = json.loads(text)
    said["tasks"] = tuple(TaskReport(**task) for task in said["tasks"])
    said["last_step"] = None if said["last_step"] is None else StepReport(**said["last_step"])
    return Report(kickoff_id=kickoff_id, **said)
