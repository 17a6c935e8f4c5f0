"""Write a ledger with a large batch that looks like a real one, without running anything.

    .venv/bin/python benchmarks/big_ledger.py results/big.db [--jobs 1000000] [--failures 0.03] [--seed 1]

The batch has two crews with prices, three runs (one stopped by a signal, one with a pause and a crew that answers 429,
one that ends the batch), four kinds of failures, retries, tokens, tasks, and outputs of some hundred characters, in
Markdown or JSON. The same seed writes the same batch.
"""

import argparse
import asyncio
import heapq
import json
import random
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from batchcrew.base.clock import SystemClock, to_text
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.ledger import Ledger

BATCH = "leads"
COLUMNS = ("company", "email", "country", "employees", "note")
CREWS = {"research": ("0.50 USD", 40.0), "writing": ("0.20 USD", 18.0)}
"""Price of a kickoff and median seconds of an execution, by crew."""
START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
_COUNTRIES = ("JP", "DE", "US", "BR", "FR", "KE", "IN", "PL")
_NAMES = ("Nakamura", "Vogel", "Okafor", "Lindqvist", "Moreau", "Silva", "Iyer", "Kowalski", "Haddad", "Brooks")
_KINDS = ("Robotics", "Foods", "Logistics", "Optics", "Energy", "Textiles", "Pharma", "Systems")
_WORDS = [
    "expands",
    "warehouse",
    "automation",
    "hiring",
    "growth",
    "supplier",
    "regional",
    "pilot",
    "budget",
    "renewal",
    "compliance",
    "platform",
    "customer",
    "quarter",
    "margin",
    "partner",
    "export",
    "certified",
    "integration",
    "roadmap",
    "forecast",
    "retail",
    "medical",
    "energy",
    "storage",
    "fleet",
]
_THROTTLED = "refused for now: HTTP 429 Too Many Requests"
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure."""

    state: str
    reason: str
    share: float
    """Of the failed jobs."""
    attempts: int
    """Attempts before the job has failed."""


FAILURES = (
    Failure("failed", "RateLimitError: request {id} exceeded 90000 tokens per minute; retry in {n}s", 0.45, 3),
    Failure("timed_out", "timed out after {n}s; the execution may still be running (and billed)", 0.25, 2),
    Failure("rejected", "HTTP 422: input 'employees' must be a number, got '{id}'", 0.2, 1),
    Failure("failed", "answer rejected: not valid JSON: line {n} column 3", 0.1, 1),
)


class _Rows:
    """The rows of a table that wait to be inserted."""

    def __init__(self, connection: sqlite3.Connection, table: str, columns: str) -> None:
        self._connection = connection
        places = ", ".join("?" * len(columns.split(",")))
        self._sql = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608 - names of this file
        self._rows: list[tuple[Any, ...]] = []

    def add(self, *values: Any) -> None:
        self._rows.append(values)
        if len(self._rows) >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        self._connection.executemany(self._sql, self._rows)
        self._rows.clear()


class _Batch:
    """A batch that is simulated job by job, in slots that are free one after another."""

    def __init__(self, connection: sqlite3.Connection, *, jobs: int, failures: float, seed: int, slots: int) -> None:
        self._connection = connection
        self._jobs = jobs
        self._failures = failures
        self._rng = random.Random(seed)
        self._slots = slots
        self._job_rows = _Rows(
            connection,
            "jobs",
            "id, batch_id, job_id, crew, position, state, reason, reason_fingerprint, attempts, charged, inputs, meta,"
            " row, source, updated_at",
        )
        self._attempt_rows = _Rows(
            connection,
            "attempts",
            "id, job, number, run_id, state, kickoff_id, intended_at, kicked_off_at, ended_at, reason,"
            " reason_fingerprint, output, result_json, token_usage, execution_time, answer, answer_rejected",
        )
        self._task_rows = _Rows(
            connection, "task_results", "attempt_id, position, task_id, agent, output, execution_time"
        )
        self._kickoffs = [0, 0, 0]
        self._intents = 0

    def write(self) -> None:
        """Simulate all jobs and insert them, their attempts and the runs."""
        (batch_id,) = self._connection.execute("SELECT id FROM batches WHERE batch = ?", (BATCH,)).fetchone()
        self._batch_id = batch_id
        mean = sum(seconds for _, seconds in CREWS.values()) / len(CREWS) * 1.25
        planned = self._jobs * mean / self._slots
        free = [0.0] * self._slots
        self._plan(planned)
        for index in range(self._jobs):
            begin = self._working(heapq.heappop(free))
            heapq.heappush(free, self._job(index, begin))
        last = max(free)
        for rows in (self._job_rows, self._attempt_rows, self._task_rows):
            rows.flush()
        self._end_runs(last)

    def _plan(self, planned: float) -> None:
        """Insert the runs: two thirds are done by two runs that stop, the third ends the batch."""
        gap, pause = 0.05 * planned + 60, 0.03 * planned + 30
        self._spans = [
            (0.0, 0.35 * planned),
            (0.35 * planned + gap, 0.7 * planned + gap + pause),
            (0.7 * planned + 2 * gap + pause, float("inf")),
        ]
        middle = 0.5 * planned + gap
        self._pause = (middle, middle + pause)
        self._throttled = (0.6 * planned + gap + pause, 0.63 * planned + gap + pause)
        self._runs = [f"20261123T{8 + number:02d}0000-{number:06x}" for number in range(3)]
        for number, run_id in enumerate(self._runs):
            self._connection.execute(
                "INSERT INTO runs (id, batch_id, kind, started_at, pid, host, version) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run_id, self._batch_id, "run", _at(self._spans[number][0]), 4000 + number, "reports-1", "0.9.0"),
            )
            self._connection.executemany(
                "INSERT INTO run_crews (run_id, crew, url, price) VALUES (?, ?, ?, ?)",
                [(run_id, crew, f"https://{crew}.example.com", price) for crew, (price, _) in CREWS.items()],
            )
        commands = (("pause", 0, "crew is being updated"), ("unpause", 1, None))
        self._connection.executemany(
            "INSERT INTO controls (batch_id, command, at, given_by, reason, run_id) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (self._batch_id, command, _at(self._pause[which]), "ann@reports-1", reason, self._runs[1])
                for command, which, reason in commands
            ],
        )

    def _working(self, moment: float) -> float:
        """Return the first moment from this one at which a job may start."""
        for (_, end), (start, _) in zip(self._spans, self._spans[1:], strict=False):
            if end <= moment < start:
                moment = start + self._rng.random() * 5
        begin, end = self._pause
        return end + self._rng.random() * 2 if begin <= moment < end else moment

    def _run_of(self, moment: float) -> int:
        return max(number for number, (start, _) in enumerate(self._spans) if start <= moment)

    def _job(self, index: int, begin: float) -> float:
        """Insert a job and its attempts; return when its slot is free again."""
        rng = self._rng
        crew = "writing" if index % 3 == 2 else "research"
        failure: Failure | None = None
        if rng.random() < self._failures:
            failure = rng.choices(FAILURES, [kind.share for kind in FAILURES])[0]
        state = (
            "succeeded" if failure is None else "held" if failure.state == "timed_out" and index % 5 == 0 else "failed"
        )
        number = failure.attempts if failure else 2 if rng.random() < 0.02 else 1
        refused = self._throttled[0] <= begin < self._throttled[1] and rng.random() < 0.6
        moment, count, reason = begin, 0, None
        if refused:
            count += 1
            self._attempt(index, count, "rejected", moment, moment + 0.08, crew, _THROTTLED)
            moment += 4 + 8 * rng.random()
        for left in range(number, 0, -1):
            count += 1
            if left > 1 or failure is not None:
                kind = failure or FAILURES[0]
                reason = kind.reason.format(id=f"req_{rng.getrandbits(40):010x}", n=rng.randrange(2, 600))
                seconds = (
                    0.09 if kind.state == "rejected" else 120.0 if kind.state == "timed_out" else 4 + 20 * rng.random()
                )
                moment = self._attempt(index, count, kind.state, moment, moment + seconds, crew, reason)
                moment += 3 * rng.random()
            else:
                seconds = min(900.0, CREWS[crew][1] * rng.lognormvariate(0, 0.6))
                moment, reason = self._attempt(index, count, "succeeded", moment, moment + seconds, crew, None), None
            moment = self._working(moment)
        row = self._row(index)
        encoded = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
        self._job_rows.add(
            index + 1, self._batch_id, f"lead-{index + 1:07d}", crew, index, state, reason, reason_fingerprint(reason),
            count, count - refused, encoded, "{}", encoded, f"leads.csv:{index + 2}", _at(moment),
        )  # fmt: skip
        return moment

    def _row(self, index: int) -> dict[str, str]:
        rng = self._rng
        name, kind = rng.choice(_NAMES), rng.choice(_KINDS)
        return {
            "company": f"{name} {kind}",
            "email": f"info@{name.lower()}-{index}.example",
            "country": rng.choice(_COUNTRIES),
            "employees": str(rng.randrange(5, 20_000)),
            "note": " ".join(rng.choices(_WORDS, k=6)),
        }

    def _attempt(
        self, index: int, number: int, state: str, begin: float, end: float, crew: str, reason: str | None
    ) -> float:
        """Insert one attempt; return when batchcrew has seen its end."""
        rng = self._rng
        run = self._run_of(begin)
        self._intents += 1
        self._kickoffs[run] += state != "rejected"
        attempt_id = f"{self._runs[run]}-{self._intents:07d}"
        kicked_off = begin + 0.05 + 0.1 * rng.random()
        seen = end if state == "rejected" else kicked_off + (end - begin) + 2 * rng.random() ** 2
        output = result = usage = answer = seconds = None
        if state in {"succeeded", "failed"}:
            prompt, completion = rng.randrange(600, 6000), rng.randrange(100, 1500)
            usage = json.dumps(
                {"total_tokens": prompt + completion, "prompt_tokens": prompt, "completion_tokens": completion}
            )
            seconds = round(end - begin, 3)
        if state == "succeeded":
            output, result = self._output(index)
            answer = json.dumps({"status": "completed", "result": output, "token_usage": json.loads(usage or "{}")})
            for position, task in enumerate(("gather", "summarize")):
                share = (end - begin) * (0.6 if position == 0 else 0.4)
                self._task_rows.add(attempt_id, position, task, f"{crew} agent", output[:120], round(share, 3))
        self._attempt_rows.add(
            attempt_id, index + 1, number, self._runs[run], state,
            None if state == "rejected" else f"{rng.getrandbits(64):016x}", _at(begin),
            None if state == "rejected" else _at(kicked_off), _at(seen), reason, reason_fingerprint(reason),
            output, result, usage, seconds, answer,
            reason if reason is not None and reason.startswith("answer rejected") else None,
        )  # fmt: skip
        return seen

    def _output(self, index: int) -> tuple[str, str | None]:
        rng = self._rng
        text = " ".join(rng.choices(_WORDS, k=rng.randrange(15, 60)))
        score = rng.randrange(100)
        if index % 3 == 2:
            value = json.dumps({"lead_score": score, "summary": text, "contacted": score > 50})
            return value, value
        return f"## Score {score}\n\n- **{_NAMES[index % 10]}** {text}\n- next step: {rng.choice(_WORDS)}\n", None

    def _end_runs(self, last: float) -> None:
        stops = (("signal", "interrupted (SIGINT)"), ("max_runtime", "max_runtime is over"), (None, None))
        for number, run_id in enumerate(self._runs):
            start, end = self._spans[number]
            end = max(start + 1, min(end, last))
            self._connection.execute(
                "UPDATE runs SET ended_at = ?, kickoffs = ?, stopped = ?, stop_detail = ?, exit_code = ?, cost = ?"
                " WHERE id = ?",
                (
                    _at(end), self._kickoffs[number], *stops[number], 3 if stops[number][0] else 1,
                    f"{self._kickoffs[number] * 0.4:.2f} USD", run_id,
                ),
            )  # fmt: skip


def _at(seconds: float) -> str:
    return to_text(START + timedelta(seconds=seconds))


async def _create(path: Path) -> None:
    async with Ledger(path, clock=SystemClock()):
        pass


def _batch_row(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO batches (batch, jobfile, columns, created_at) VALUES (?, 'leads.yaml', ?, ?)",
        (BATCH, json.dumps(COLUMNS), _at(0)),
    )


def make_ledger(path: Path, *, jobs: int, failures: float = 0.03, seed: int = 1, slots: int | None = None) -> None:
    """Write the ledger `path`, which must not exist.

    Args:
        failures: the share of jobs that fail, from 0 to 1.
        slots: executions in progress; default: 20, or 400 for a large batch.
    """
    asyncio.run(_create(path))
    slots = slots or (400 if jobs > 50_000 else 20)
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        with connection:
            _batch_row(connection)
            _Batch(connection, jobs=jobs, failures=failures, seed=seed, slots=slots).write()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def main() -> None:
    """Write the ledger that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--failures", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    make_ledger(options.path, jobs=options.jobs, failures=options.failures, seed=options.seed)
    print(f"{options.path}: batch {BATCH}, {options.jobs} jobs, {options.path.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
