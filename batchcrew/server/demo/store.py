"""The store of the demo crew's executions: SQLite in memory or in a file, so that memory does not grow with them.

A file outlives the server: its executions continue by the clock as if the crew had kept running. Each statement is its
own short transaction, so that two servers (of two runs with the same ledger) can share a file.
"""

import heapq
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchcrew.server.demo import review as reviews
from batchcrew.server.demo.execution import Record
from batchcrew.server.demo.review import Review
from batchcrew.server.state_file import (
    StateKind,
    count_kickoffs,
    count_kickoffs_of,
    most_kickoffs_of_one_job,
    open_state,
)

KEPT_IN_FILE = 100_000
KEPT_IN_MEMORY = 20_000
"""Executions that are stored; beyond it the oldest ended ones are deleted."""
PRUNE_EVERY = 200
_SCHEMA = """
CREATE TABLE executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kickoff_id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,           -- its Idempotency-Key
    work BLOB NOT NULL,        -- digest of the inputs
    work_turn INTEGER NOT NULL,  -- 1 for the first execution of these inputs
    job TEXT,                  -- [batch, job], from meta.batchcrew
    job_turn INTEGER,          -- 1 for the first kickoff of this job
    trip TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    duration REAL NOT NULL,
    fails INTEGER NOT NULL,
    callbacks TEXT             -- webhooks that are not sent yet
) STRICT;
CREATE INDEX executions_of_work ON executions (work, work_turn);
CREATE INDEX executions_of_job ON executions (job, job_turn) WHERE job IS NOT NULL;
CREATE INDEX executions_calling_back ON executions (seq) WHERE callbacks IS NOT NULL
"""
KIND = StateKind(
    name="the embedded crew's state",
    application_id=0x62636372,
    version=1,
    schema=_SCHEMA,
    synchronous="OFF",
)
_NEVER = "9999-01-01T00:00:00.000000Z"
"""The end of an execution that waits for human input."""
_RECORD = "kickoff_id, trip, started_at, duration, fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """The webhooks of one execution."""

    urls: Mapping[str, str]
    meta: Mapping[str, Any] | None
    events: tuple[str, ...] = ()
    """Names of the events that are sent to `urls["webhooks"]`."""
    authorization: str | None = None
    """`Authorization` of the webhook about human input."""
    sent: int = 0
    """How many of the calls were sent or given up, in their order."""


class DemoStore:
    """All executions of one server.

    Raises:
        UsageError: the file cannot be used, or is not such a file.
    """

    def __init__(self, path: Path | None, *, now: float, kept: int | None = None) -> None:
        self._kept = kept or (KEPT_IN_FILE if path else KEPT_IN_MEMORY)
        self._connection = open_state(KIND, path)
        # the ends of running executions: counting them needs no scan of the table
        self._connection.execute(reviews.TABLE)
        rows = self._connection.execute(
            "SELECT ends_at FROM executions WHERE ends_at BETWEEN ? AND ?", (_text(now), _NEVER[:4])
        )
        self._ends: list[float] = [_seconds(row[0]) for row in rows]
        heapq.heapify(self._ends)
        self.peak_running = len(self._ends)
        self.most_of_one_job = most_kickoffs_of_one_job(self._connection)
        """The highest number of executions that one job of batchcrew has."""

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def turn(self, work: bytes) -> int:
        """Return the number of the next execution of these inputs, from 1."""
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
        """Store a new execution. False: another server with this file has just started one with this key."""
        rows = self._connection.execute(
            "INSERT INTO executions (kickoff_id, key, work, work_turn, job, job_turn, trip, started_at, ends_at,"
            " duration, fails, callbacks) VALUES (:kickoff_id, :key, :work, :turn, :job,"
            " CASE WHEN :job IS NULL THEN NULL"
            " ELSE (SELECT coalesce(max(job_turn), 0) + 1 FROM executions WHERE job = :job) END,"
            " :trip, :started, :ends, :duration, :fails, :callbacks)"
            " ON CONFLICT (key) DO NOTHING RETURNING seq, job_turn",
            {
                "kickoff_id": record.kickoff_id,
                "key": key,
                "work": work,
                "turn": turn,
                "job": job,
                "trip": json.dumps(record.trip),
                "started": _text(record.started),
                "ends": _text(record.ends),
                "duration": record.duration,
                "fails": int(record.fails),
                "callbacks": _callbacks_text(callbacks),
            },
        ).fetchall()
        if not rows:
            return False
        seq, job_turn = rows[0]
        if record.review is not None:
            reviews.save(self._connection, record.kickoff_id, record.review)
        self.most_of_one_job = max(self.most_of_one_job, job_turn or 0)
        heapq.heappush(self._ends, record.ends if record.review is None else record.review.pause_at)
        self.peak_running = max(self.peak_running, self.running(record.started))
        if seq % PRUNE_EVERY == 0:
            self._prune(seq, record.started)
        return True

    def get(self, kickoff_id: str) -> Record | None:
        """Return the execution with this id; None if it is unknown."""
        return self._one(f"SELECT {_RECORD} FROM executions WHERE kickoff_id = ?", kickoff_id)  # noqa: S608 - a constant

    def answered(self, record: Record, review: Review) -> Record:
        """Store an answer to the human task of an execution, and return the execution."""
        record = replace(record, review=review)
        reviews.save(self._connection, record.kickoff_id, review)
        self._connection.execute(
            "UPDATE executions SET ends_at = ? WHERE kickoff_id = ?", (_text(record.ends), record.kickoff_id)
        )
        heapq.heappush(self._ends, review.pause_at if review.approved_at is None else record.ends)
        return record

    def human(self, now: float) -> tuple[int, int]:
        """Return how many executions wait for human input, and how many answers there were."""
        row = self._connection.execute(
            "SELECT count(*) FILTER (WHERE approved_at IS NULL AND pause_at <= ?), coalesce(sum(answers), 0)"
            " FROM human_tasks",
            (now,),
        ).fetchone()
        return int(row[0]), int(row[1])

    def by_key(self, key: str) -> tuple[str, bytes] | None:
        """Return the kickoff_id, and the digest of its inputs, for this Idempotency-Key; None if it is new."""
        row = self._connection.execute("SELECT kickoff_id, work FROM executions WHERE key = ?", (key,)).fetchone()
        return None if row is None else (str(row[0]), bytes(row[1]))

    def running(self, now: float) -> int:
        """Return how many executions have not ended."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def next_end(self, number: int = 1) -> float | None:
        """Return when this many of the executions that `running` counted will have ended; None if there are fewer."""
        ends = heapq.nsmallest(number, self._ends)
        return ends[-1] if len(ends) == number else None

    def kickoffs(self) -> int:
        """Return how many executions were ever started, including deleted ones."""
        return count_kickoffs(self._connection)

    def kickoffs_of(self, job: str) -> int:
        """Return how many stored executions are of the job with that id, in any batch. It reads all of them."""
        return count_kickoffs_of(self._connection, job)

    def callbacks(self, kickoff_id: str) -> Callbacks | None:
        """Return the execution's webhooks that are not sent yet; None if there are none."""
        row = self._connection.execute(
            "SELECT callbacks FROM executions WHERE kickoff_id = ?", (kickoff_id,)
        ).fetchone()
        if row is None or row[0] is None:
            return None
        stored = json.loads(row[0])
        return Callbacks(**stored | {"events": tuple(stored.get("events", ()))})

    def set_callbacks(self, kickoff_id: str, callbacks: Callbacks | None) -> None:
        """Set the webhooks that are not sent yet; None deletes them, and `meta`."""
        self._connection.execute(
            "UPDATE executions SET callbacks = ? WHERE kickoff_id = ?", (_callbacks_text(callbacks), kickoff_id)
        )

    def calling_back(self) -> list[str]:
        """Return the kickoff ids with webhooks that are not sent yet."""
        rows = self._connection.execute("SELECT kickoff_id FROM executions WHERE callbacks IS NOT NULL ORDER BY seq")
        return [row[0] for row in rows]

    def _one(self, statement: str, value: str) -> Record | None:
        row: tuple[Any, ...] | None = self._connection.execute(statement, (value,)).fetchone()
        if row is None:
            return None
        return Record(
            kickoff_id=row[0],
            trip=json.loads(row[1]),
            started=_seconds(row[2]),
            duration=row[3],
            fails=bool(row[4]),
            review=reviews.read(self._connection, row[0]),
        )

    def _prune(self, newest: int, now: float) -> None:
        self._connection.execute(
            "DELETE FROM executions WHERE seq <= ? AND ends_at <= ? AND callbacks IS NULL",
            (newest - self._kept, _text(now)),
        )


def _callbacks_text(callbacks: Callbacks | None) -> str | None:
    if callbacks is None:
        return None
    given: dict[str, Any] = {"events": callbacks.events, "authorization": callbacks.authorization}
    known = {name: value for name, value in given.items() if value}  # earlier versions do not know these
    return json.dumps({"urls": dict(callbacks.urls), "meta": callbacks.meta, "sent": callbacks.sent, **known})


def _text(seconds: float) -> str:
    if seconds == math.inf:
        return _NEVER
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
