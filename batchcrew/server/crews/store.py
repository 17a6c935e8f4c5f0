"""The store of real crews' executions, and of the webhooks that are not sent yet: SQLite in memory or in a file.

Only one server at a time uses a file: it holds a lock next to it. Each statement is its own short transaction. A
commit survives the death of the process, and not always that of the machine (`synchronous = NORMAL`).
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from batchcrew.base.errors import UsageError
from batchcrew.server.report import ENDED, Phase, Report, StepReport, TaskReport
from batchcrew.server.state_file import (
    StateKind,
    count_kickoffs,
    count_kickoffs_of,
    most_kickoffs_of_one_job,
    open_state,
)

LOG = logging.getLogger("batchcrew.server")
_SCHEMA = """
CREATE TABLE executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kickoff_id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,           -- its Idempotency-Key
    job TEXT,                  -- [batch, job], from meta.batchcrew
    job_turn INTEGER,          -- 1 for the first kickoff of this job
    phase TEXT NOT NULL,       -- waiting -> running <-> paused -> succeeded | failed
    inputs TEXT,               -- JSON; deleted when it has ended
    wishes TEXT,               -- JSON: meta and callbacks; deleted when it has ended
    accepted_at REAL NOT NULL, -- seconds since the epoch, as all moments here
    ended_at REAL,
    report TEXT NOT NULL       -- JSON
) STRICT;
CREATE INDEX executions_active ON executions (seq) WHERE ended_at IS NULL;
CREATE INDEX executions_ended ON executions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX executions_of_job ON executions (job, job_turn) WHERE job IS NOT NULL;
CREATE TABLE deliveries (      -- webhooks that are not sent yet
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kickoff_id TEXT NOT NULL,
    url TEXT NOT NULL,
    authorization TEXT,
    body BLOB NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX deliveries_of_execution ON deliveries (kickoff_id, url, seq)
"""
_INPUTS_SENT = """
CREATE TABLE IF NOT EXISTS inputs_sent (
    kickoff_id TEXT PRIMARY KEY,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS forget_inputs_sent AFTER DELETE ON executions BEGIN
    DELETE FROM inputs_sent WHERE kickoff_id = OLD.kickoff_id;
END
"""
"""Digests of inputs, with which a repeated Idempotency-Key is compared. It is not in the schema, so that earlier files
can be used."""
KIND = StateKind(
    name="the state of served crews",
    application_id=0x62636B65,
    version=1,
    schema=_SCHEMA,
    synchronous="NORMAL",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An execution that has not started yet."""

    kickoff_id: str
    inputs: Mapping[str, Any]
    callbacks: Mapping[str, Any]
    """The callbacks as `Callbacks.to_json` returns them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook to send."""

    seq: int
    kickoff_id: str
    url: str
    authorization: str | None
    body: bytes
    tries: int


class ExecutionStore:
    """All executions of one server.

    Raises:
        UsageError: the file cannot be used, is not such a file, or another server uses it.
    """

    def __init__(self, path: Path | None, *, now: float) -> None:
        self._close = ExitStack()
        self._unwritten: dict[str, tuple[Report, float]] = {}
        """Reports that could not be written, with their moments."""
        try:
            if path is not None:
                self._close.callback(_lock(path).release)
            self._connection = open_state(KIND, path)
            self._close.callback(self._connection.close)
            self._connection.executescript(_INPUTS_SENT)
        except BaseException:
            self._close.close()
            raise
        self.most_of_one_job = most_kickoffs_of_one_job(self._connection)
        """The highest number of executions that one job of batchcrew has."""

    def close(self) -> None:
        """Close the file, and release its lock."""
        self._close.close()

    def add(self, report: Report, *, key: str | None, job: str | None, order: Order, now: float) -> None:
        """Store a new execution."""
        row = self._connection.execute(
            "INSERT INTO executions (kickoff_id, key, job, job_turn, phase, inputs, wishes, accepted_at, report)"
            " VALUES (:kickoff_id, :key, :job, CASE WHEN :job IS NULL THEN NULL"
            " ELSE (SELECT coalesce(max(job_turn), 0) + 1 FROM executions WHERE job = :job) END,"
            " :phase, :inputs, :wishes, :now, :report) RETURNING job_turn",
            {
                "kickoff_id": report.kickoff_id,
                "key": key,
                "job": job,
                "phase": report.phase,
                "inputs": json.dumps(order.inputs),
                "wishes": json.dumps(order.callbacks),
                "now": now,
                "report": _report_text(report),
            },
        ).fetchone()
        self.most_of_one_job = max(self.most_of_one_job, row[0] or 0)
        if key is not None:
            self._connection.execute(
                "INSERT INTO inputs_sent VALUES (?, ?)", (report.kickoff_id, _digest(order.inputs))
            )

    def has_other_inputs(self, kickoff_id: str, inputs: Mapping[str, Any]) -> bool:
        """Return whether an execution was started with other inputs; False if that is not known."""
        row = self._connection.execute("SELECT digest FROM inputs_sent WHERE kickoff_id = ?", (kickoff_id,)).fetchone()
        return row is not None and bytes(row[0]) != _digest(inputs)

    def by_key(self, key: str) -> str | None:
        """Return the execution that was started with this Idempotency-Key."""
        row = self._connection.execute("SELECT kickoff_id FROM executions WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def order(self, kickoff_id: str) -> Order:
        """Return the kickoff of an execution that has not ended."""
        row = self._connection.execute(
            "SELECT inputs, wishes FROM executions WHERE kickoff_id = ?", (kickoff_id,)
        ).fetchone()
        return Order(kickoff_id=kickoff_id, inputs=json.loads(row[0]), callbacks=json.loads(row[1]))

    def report(self, kickoff_id: str) -> Report | None:
        """Return the latest stored report of an execution; None if its id is unknown."""
        if not kickoff_id.isascii():  # our ids are ASCII, and SQLite refuses half a surrogate pair
            return None
        if kickoff_id in self._unwritten:
            return self._unwritten[kickoff_id][0]
        row = self._connection.execute("SELECT report FROM executions WHERE kickoff_id = ?", (kickoff_id,)).fetchone()
        return None if row is None else _report(kickoff_id, row[0])

    def save(self, report: Report, *, now: float) -> None:
        """Store an execution's report. When it has ended, its inputs and callbacks are deleted.

        A full disk loses no paid result: the report stays in memory until it can be written.
        """
        try:
            self._write(report, now)
        except sqlite3.OperationalError as error:
            if report.kickoff_id not in self._unwritten:
                LOG.warning("%s could not be written and is only in memory: %s", report.kickoff_id, error)
            self._unwritten[report.kickoff_id] = (report, now)
        else:
            self._unwritten.pop(report.kickoff_id, None)

    def save_unwritten(self) -> None:
        """Write the reports that could not be written before."""
        for report, now in list(self._unwritten.values()):
            self.save(report, now=now)

    def _write(self, report: Report, now: float) -> None:
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

    def job(self, kickoff_id: str) -> str | None:
        """Return the job of an execution, a JSON list of its batch and itself; None if it has none."""
        row = self._connection.execute("SELECT job FROM executions WHERE kickoff_id = ?", (kickoff_id,)).fetchone()
        return None if row is None else row[0]

    def active(self) -> list[tuple[str, Phase]]:
        """Return the executions that have not ended, oldest first."""
        rows = self._connection.execute(
            "SELECT kickoff_id, phase FROM executions WHERE ended_at IS NULL ORDER BY seq"
        ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def kickoffs(self) -> int:
        """Return how many executions were ever started, including deleted ones."""
        return count_kickoffs(self._connection)

    def has(self, kickoff_id: str) -> bool:
        """Return whether the execution is stored."""
        query = "SELECT 1 FROM executions WHERE kickoff_id = ?"
        return self._connection.execute(query, (kickoff_id,)).fetchone() is not None

    def kickoffs_of(self, job: str) -> int:
        """Return how many stored executions are of the job with that id, in any batch. It reads all of them."""
        return count_kickoffs_of(self._connection, job)

    def delete(self, *, ended_before: float, kept: int) -> None:
        """Delete executions that ended before that moment, and all but the newest `kept` ended ones."""
        self._connection.execute("DELETE FROM executions WHERE ended_at < ?", (ended_before,))
        self._connection.execute(
            "DELETE FROM executions WHERE ended_at IS NOT NULL AND ended_at <"
            " (SELECT min(ended_at) FROM (SELECT ended_at FROM executions WHERE ended_at IS NOT NULL"
            " ORDER BY ended_at DESC, seq DESC LIMIT ?))",
            (kept,),
        )
        self._connection.execute("DELETE FROM deliveries WHERE kickoff_id NOT IN (SELECT kickoff_id FROM executions)")

    def add_deliveries(self, rows: Iterable[tuple[str, str, str | None, bytes]]) -> None:
        """Store webhooks to send: kickoff id, URL, Authorization header, body."""
        self._connection.executemany(
            "INSERT INTO deliveries (kickoff_id, url, authorization, body) VALUES (?, ?, ?, ?)", rows
        )

    def next_delivery(self, kickoff_id: str, url: str) -> Delivery | None:
        """Return the oldest webhook of an execution to this URL; None if there is none."""
        row = self._connection.execute(
            "SELECT seq, kickoff_id, url, authorization, body, tries FROM deliveries"
            " WHERE kickoff_id = ? AND url = ? ORDER BY seq LIMIT 1",
            (kickoff_id, url),
        ).fetchone()
        names = ("seq", "kickoff_id", "url", "authorization", "body", "tries")
        return None if row is None else Delivery(**dict(zip(names, row, strict=True)))

    def tried(self, delivery: Delivery) -> None:
        """Count a failed try."""
        self._connection.execute("UPDATE deliveries SET tries = tries + 1 WHERE seq = ?", (delivery.seq,))

    def done(self, delivery: Delivery) -> None:
        """Delete a webhook that was sent or given up."""
        self._connection.execute("DELETE FROM deliveries WHERE seq = ?", (delivery.seq,))

    def deliveries(self) -> list[tuple[str, str]]:
        """Return execution and URL of the webhooks that are not sent yet."""
        rows = self._connection.execute("SELECT kickoff_id, url FROM deliveries GROUP BY 1, 2 ORDER BY min(seq)")
        return [(row[0], row[1]) for row in rows]

    def waiting_deliveries(self, kickoff_id: str) -> int:
        """Return how many webhooks of an execution are not sent yet."""
        row = self._connection.execute("SELECT count(*) FROM deliveries WHERE kickoff_id = ?", (kickoff_id,)).fetchone()
        return int(row[0])


def _digest(inputs: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).digest()[:16]


def _lock(path: Path) -> FileLock:
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{KIND.name} {path} is in use by another server; name another file (--state, or `state` of `serve`)"
        ) from None
    except OSError as error:
        raise UsageError(f"{KIND.name} {path} cannot be used: {error}; name another file (--state)") from error
    return lock


def _report_text(report: Report) -> str:
    # Not asdict, which copies values: its recursion ends at nested results that JSON still can write.
    values = _shallow(report)
    for known in ("kickoff_id", "real"):
        del values[known]
    values["tasks"] = [_shallow(task) for task in report.tasks]
    values["last_step"] = None if report.last_step is None else _shallow(report.last_step)
    return json.dumps(values)


def _shallow(value: Report | TaskReport | StepReport) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in fields(value)}


def _report(kickoff_id: str, text: str) -> Report:
    values = json.loads(text)
    values["tasks"] = tuple(TaskReport(**task) for task in values["tasks"])
    values["artifacts"] = tuple(values.get("artifacts", ()))
    values["last_step"] = None if values["last_step"] is None else StepReport(**values["last_step"])
    return Report(kickoff_id=kickoff_id, **values)
