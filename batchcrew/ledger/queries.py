"""What is read from the ledger. Every function takes a connection that writes nothing."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import aiosqlite

from batchcrew.ledger.fetch import one, value
from batchcrew.ledger.json_text import decode_json
from batchcrew.ledger.watching import watch_of
from batchcrew.model.attempt import Attempt, AttemptState
from batchcrew.model.execution import TaskResult
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts, JobLine
from batchcrew.model.views import AttemptDetail, InFlight, JobDetail, ResultRow, RunLine

# kicked off again after an attempt whose crew may have run or may be running still: it may have run twice
# (CROSS JOIN: the few that are unsure or in flight are looked up first, never all jobs of a batch)
_DUPLICATES = """
FROM (
    SELECT DISTINCT d.job FROM attempts AS d WHERE d.state IN ('in_doubt', 'lost', 'timed_out')
    AND d.sent_inputs IS NULL AND EXISTS (
        SELECT 1 FROM attempts AS again WHERE again.job = d.job AND again.number > d.number
        AND (again.kicked_off_at IS NOT NULL OR again.state = 'in_doubt'))
) AS unsure CROSS JOIN jobs AS j ON j.id = unsure.job WHERE j.batch_id = ?
"""
ANSWERS_FROM = """
FROM jobs AS j JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE j.batch_id = :batch AND j.present = 1 AND j.state = 'succeeded' AND j.crew = :crew AND c.url = :url
"""
STARTED_AT = """
FROM jobs AS j JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE j.batch_id = ? AND c.url = ?
"""
_SECONDS = "(julianday(a.ended_at) - julianday(a.kicked_off_at)) * 86400.0"


async def batch(connection: aiosqlite.Connection, batch: str) -> tuple[Any, ...] | None:
    """(id, batch, digest, columns, jobfile, its absolute path, sent columns) of a batch; lists are JSON."""
    return await one(
        connection,
        "SELECT id, batch, digest, columns, jobfile, jobfile_path, sent_columns FROM batches WHERE batch = ?",
        (batch,),
    )


async def recorded_jobfile(connection: aiosqlite.Connection, batch: str) -> dict[str, Any] | None:
    """The batch's row by column; a ledger of an older schema has fewer."""
    async with connection.execute("SELECT * FROM batches WHERE batch = ?", (batch,)) as cursor:
        names = [column[0] for column in cursor.description]
        row = await cursor.fetchone()
    return None if row is None else dict(zip(names, row, strict=True))


async def batch_name(connection: aiosqlite.Connection, batch_id: int) -> str:
    """The name of the batch with that row number."""
    return str(await value(connection, "SELECT batch FROM batches WHERE id = ?", (batch_id,)))


async def batches(connection: aiosqlite.Connection, batch_id: int | None = None) -> list[tuple[Any, ...]]:
    """(id, batch, jobfile, created_at, last run) of one batch or of all, the one that ran last first."""
    rows = await connection.execute_fetchall(
        """
        SELECT b.id, b.batch, b.jobfile, b.created_at,
               (SELECT max(started_at) FROM runs AS r WHERE r.batch_id = b.id) AS last_run
        FROM batches AS b WHERE ?1 IS NULL OR b.id = ?1 ORDER BY coalesce(last_run, b.created_at) DESC, b.id DESC
        """,
        (batch_id,),
    )
    return [tuple(row) for row in rows]


async def latest_stop(connection: aiosqlite.Connection, batch_id: int) -> str | None:
    """Why the batch stopped last, if no run has kicked anything off since."""
    stopped: str | None = await value(
        connection,
        "SELECT stopped FROM runs WHERE batch_id = ? AND (stopped IS NOT NULL OR kickoffs > 0)"
        " ORDER BY rowid DESC LIMIT 1",
        (batch_id,),
    )
    return stopped


async def reported_warnings(connection: aiosqlite.Connection, batch: str) -> str | None:
    """The warnings that the batch's latest run said, as JSON."""
    text: str | None = await value(connection, "SELECT told FROM batches WHERE batch = ?", (batch,))
    return text


async def others_of_jobfile(connection: aiosqlite.Connection, batch_id: int, limit: int) -> list[tuple[int, str]]:
    """(id, batch) of the latest other batches of a batch's job file."""
    rows = await connection.execute_fetchall(
        "SELECT o.id, o.batch FROM batches AS b JOIN batches AS o ON o.id <> b.id AND (o.jobfile_path = b.jobfile_path"
        " OR o.jobfile_from_ledger = b.jobfile_from_ledger OR (o.jobfile_path IS NULL AND o.jobfile = b.jobfile))"
        " WHERE b.id = ? ORDER BY o.id DESC LIMIT ?",
        (batch_id, limit),
    )
    return [(row[0], row[1]) for row in rows]


async def unanswered(connection: aiosqlite.Connection, batch_id: int) -> int:
    """Kickoffs that have left, perhaps, and whose answer is not here."""
    # both states are named so that the small index of open attempts serves
    return int(
        await value(
            connection,
            "SELECT count(*) FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job"
            " WHERE a.state IN ('intended', 'kicked_off') AND a.state = 'intended' AND j.batch_id = ?",
            (batch_id,),
        )
    )


async def canary_passed(connection: aiosqlite.Connection, batch_id: int) -> bool:
    """Whether enough of the batch's first jobs have succeeded before."""
    return bool(await value(connection, "SELECT canary_passed FROM batches WHERE id = ?", (batch_id,)))


async def failure_streaks(connection: aiosqlite.Connection, batch_id: int) -> str | None:
    """Failures in a row by crew, as JSON."""
    text: str | None = await value(connection, "SELECT failure_streak FROM batches WHERE id = ?", (batch_id,))
    return text


async def kickoffs_left(connection: aiosqlite.Connection, batch_id: int, attempts: int) -> tuple[int, int]:
    """Kickoffs that the pending and the open jobs take: at least, and with `attempts` for each job at most."""
    row = await one(
        connection,
        "SELECT coalesce(sum(state = 'pending'), 0), coalesce(sum(CASE state"
        " WHEN 'pending' THEN max(1, ?1 - charged) ELSE max(0, ?1 - charged) END), 0)"
        " FROM jobs WHERE batch_id = ?2 AND present = 1 AND state IN ('pending', 'open')",
        (attempts, batch_id),
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


async def kickoffs(connection: aiosqlite.Connection, batch_id: int) -> int:
    """Kickoffs that the batch has spent: every attempt that was not refused."""
    return int(
        await value(
            connection,
            "SELECT count(*) FROM jobs AS j JOIN attempts AS a ON a.job = j.id"
            " WHERE j.batch_id = ? AND a.state <> 'rejected'",
            (batch_id,),
        )
    )


async def throttle_states(connection: aiosqlite.Connection, batch_id: int) -> list[tuple[str, str, str]]:
    """(crew, state as JSON, saved_at) of what holds kickoffs back."""
    rows = await connection.execute_fetchall("SELECT crew, state, saved_at FROM paces WHERE batch_id = ?", (batch_id,))
    return [(row[0], row[1], row[2]) for row in rows]


async def runs(connection: aiosqlite.Connection, batch_id: int | None, limit: int) -> list[RunLine]:
    """The latest runs of one batch or of all, the newest first; the kickoffs of a run that was killed are counted."""
    rows = await connection.execute_fetchall(
        """
        SELECT r.id, b.batch, r.kind, r.started_at, r.ended_at, r.cost, r.exit_code, r.stopped, r.stop_detail,
               CASE WHEN r.ended_at IS NOT NULL THEN r.kickoffs ELSE (
                   SELECT count(*) FROM attempts AS a -- their ids begin with their run's
                   WHERE a.id >= r.id || '-' AND a.id < r.id || '.' AND a.state NOT IN ('intended', 'rejected')) END
        FROM runs AS r JOIN batches AS b ON b.id = r.batch_id
        WHERE ?1 IS NULL OR r.batch_id = ?1 ORDER BY r.started_at DESC, r.rowid DESC LIMIT ?2
        """,
        (batch_id, limit),
    )
    return [
        RunLine(
            run_id=row[0],
            batch=row[1],
            kind=row[2],
            started_at=row[3],
            ended_at=row[4],
            cost=row[5],
            exit_code=row[6],
            stopped=row[7],
            stop_detail=row[8],
            kickoffs=row[9],
        )
        for row in rows
    ]


async def counts(connection: aiosqlite.Connection, batch_id: int) -> Counts:
    """Jobs by state, from the index alone."""
    by_state: dict[str, int] = {}
    gone = 0
    for present, state, number in await connection.execute_fetchall(
        "SELECT present, state, count(*) FROM jobs WHERE batch_id = ? GROUP BY present, state", (batch_id,)
    ):
        if present:
            by_state[state] = number
        else:
            gone += number
    row = await one(connection, f"SELECT count(*) {_DUPLICATES}", (batch_id,))
    return Counts(**by_state, gone=gone, possible_duplicates=int(row[0]) if row else 0)


async def duplicates(connection: aiosqlite.Connection, batch_id: int, limit: int) -> tuple[str, ...]:
    """The first job ids among the possible duplicates."""
    rows = await connection.execute_fetchall(
        f"SELECT j.job_id {_DUPLICATES} ORDER BY j.position LIMIT ?",
        (batch_id, limit),
    )
    return tuple(row[0] for row in rows)


async def open_attempts(
    connection: aiosqlite.Connection, batch_id: int, batch: str
) -> list[tuple[AttemptState, Attempt]]:
    """What an earlier run left open: as many as it had slots."""
    rows = await connection.execute_fetchall(
        """
        SELECT a.state, a.id, j.id, j.job_id, coalesce(a.sent_crew, j.crew), a.number, j.charged,
               coalesce(a.sent_inputs, j.inputs), j.meta, a.intended_at, a.kickoff_id, a.kicked_off_at, a.watch,
               a.attached, c.url, a.sent_inputs IS NOT NULL, j.state <> 'open'
        FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
        LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
        WHERE a.state IN ('intended', 'kicked_off') AND j.batch_id = ? ORDER BY j.position
        """,
        (batch_id,),
    )
    return [
        (
            AttemptState(row[0]),
            Attempt(
                attempt_id=row[1],
                batch=batch,
                job_key=row[2],
                job_id=row[3],
                crew=row[4],
                number=row[5],
                charged=row[6],
                inputs=decode_json(row[7]),
                meta=decode_json(row[8]),
                intended_at=row[9],
                kickoff_id=row[10],
                kicked_off_at=row[11],
                watch=watch_of(row[12]),
                attached=bool(row[13]),
                address=row[14],
                outdated=bool(row[15]),
                superseded=bool(row[16]),
            ),
        )
        for row in rows
    ]


async def addresses(connection: aiosqlite.Connection, batch_id: int) -> frozenset[tuple[str, str]]:
    """(crew, address) of the executions in progress, where it is known at which address they were started."""
    rows = await connection.execute_fetchall(
        "SELECT DISTINCT c.crew, c.url FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job"
        " JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)"
        " WHERE a.state IN ('intended', 'kicked_off') AND j.batch_id = ?",
        (batch_id,),
    )
    return frozenset((crew, url) for crew, url in rows)


async def crew_addresses(connection: aiosqlite.Connection, batch: str) -> dict[str, list[str]]:
    """The addresses that each crew had in the batch's runs, the latest last."""
    rows = await connection.execute_fetchall(
        "SELECT c.crew, c.url FROM batches AS b JOIN runs AS r ON r.batch_id = b.id JOIN run_crews AS c"
        " ON c.run_id = r.id WHERE b.batch = ? GROUP BY c.crew, c.url ORDER BY max(r.rowid)",
        (batch,),
    )
    addresses: dict[str, list[str]] = {}
    for crew, url in rows:
        addresses.setdefault(crew, []).append(url)
    return addresses


async def recorded_crews(connection: aiosqlite.Connection, batch: str) -> str | None:
    """The addresses that the batch's job files gave for each crew, as JSON."""
    text: str | None = await value(connection, "SELECT crews FROM batches WHERE batch = ?", (batch,))
    return text


async def answers_from(connection: aiosqlite.Connection, batch_id: int, crew: str, url: str) -> int:
    """Jobs that have succeeded with an answer from that address."""
    return int(
        await value(
            connection,
            f"SELECT count(*) {ANSWERS_FROM}",
            {"batch": batch_id, "crew": crew, "url": url},
        )
    )


async def has_job(connection: aiosqlite.Connection, batch_id: int, job_id: str) -> bool:
    """Whether the batch has a job of that id."""
    query = "SELECT 1 FROM jobs WHERE batch_id = ? AND job_id = ?"
    return await one(connection, query, (batch_id, job_id)) is not None


async def next_start(connection: aiosqlite.Connection, batch_id: int, crew: str) -> str | None:
    """When the next pending job of the crew may start: UTC text, empty for at once; None when there is none."""
    row = await one(
        connection,
        "SELECT min(not_before) FROM jobs WHERE batch_id = ? AND present = 1 AND state = 'pending' AND crew = ?",
        (batch_id, crew),
    )
    return row[0] if row else None


async def pending_crews(connection: aiosqlite.Connection, batch_id: int) -> dict[str, int]:
    """Pending jobs by crew."""
    rows = await connection.execute_fetchall(
        "SELECT crew, count(*) FROM jobs WHERE batch_id = ? AND present = 1 AND state = 'pending' GROUP BY crew",
        (batch_id,),
    )
    return {row[0]: row[1] for row in rows}


async def failing(connection: aiosqlite.Connection, batch_id: int, limit: int) -> tuple[JobLine, ...]:
    """The first failed and held jobs, in the file's order."""
    found: list[JobLine] = []
    for state in ("failed", "held"):
        rows = await connection.execute_fetchall(
            f"""
            SELECT j.job_id, j.crew, j.state, j.reason, {_SECONDS}, j.charged, a.kickoff_id
            FROM jobs AS j LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
            WHERE j.batch_id = ? AND j.present = 1 AND j.state = ? ORDER BY +j.position LIMIT ?
            """,
            (batch_id, state, limit - len(found)),
        )
        found += [
            JobLine(
                job_id=row[0],
                crew=row[1],
                state=JobState(row[2]),
                reason=row[3],
                seconds=row[4],
                attempts=row[5],
                kickoff_id=row[6],
            )
            for row in rows
        ]
    return tuple(found)


async def in_flight(connection: aiosqlite.Connection, batch_id: int) -> tuple[InFlight, ...]:
    """Open attempts, with what their executions were last seen at."""
    rows = await connection.execute_fetchall(
        """
        SELECT j.job_id, j.crew, a.kickoff_id, coalesce(a.kicked_off_at, a.intended_at), a.progress
        FROM attempts AS a CROSS JOIN jobs AS j ON j.id = a.job
        WHERE a.state IN ('intended', 'kicked_off') AND j.batch_id = ? ORDER BY a.intended_at, j.position
        """,
        (batch_id,),
    )
    return tuple(
        InFlight(job_id=row[0], crew=row[1], kickoff_id=row[2], since=row[3], **(decode_json(row[4]) if row[4] else {}))
        for row in rows
    )


PageKey: TypeAlias = tuple[int, int]
Page: TypeAlias = tuple[list[tuple[int, ResultRow]], PageKey | None]
FIRST_PAGE: PageKey = (-1, -1)
PAGE_ROWS = 200


async def duplicate_keys(connection: aiosqlite.Connection, batch_id: int) -> frozenset[int]:
    """The ledger's row numbers of the possible duplicates."""
    rows = await connection.execute_fetchall(f"SELECT j.id {_DUPLICATES}", (batch_id,))
    return frozenset(row[0] for row in rows)


async def results_page(connection: aiosqlite.Connection, batch_id: int, *, present: bool, after: PageKey) -> Page:
    """The next jobs in the file's order, each with its row number and its latest attempt, and the key of the next page.

    Args:
        present: those in the file, or those that left it.
        after: the key that the page before gave; `FIRST_PAGE` to begin.
    """
    rows = list(
        await connection.execute_fetchall(
            f"""
            SELECT j.position, j.id, j.job_id, j.crew, j.row, j.state, a.output, a.result_json,
                   coalesce(j.reason, a.reason), j.charged, a.kickoff_id, a.kicked_off_at, a.ended_at,
                   coalesce(a.execution_time, round({_SECONDS}, 3)),
                   CASE WHEN a.state = 'succeeded' THEN coalesce(a.sent_inputs, j.inputs) END
            FROM jobs AS j LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
            WHERE j.batch_id = ? AND j.present = ? AND (j.position, j.id) > (?, ?)
            ORDER BY j.position, j.id LIMIT ?
            """,
            (batch_id, int(present), *after, PAGE_ROWS),
        )
    )
    return [(row[1], _result(row)) for row in rows], (rows[-1][0], rows[-1][1]) if len(rows) == PAGE_ROWS else None


def _result(row: Any) -> ResultRow:
    state = JobState(row[5])
    if state is JobState.STALE:  # its own columns are as in the file now, its answer is to other inputs
        return ResultRow(
            job_id=row[2],
            crew=row[3],
            row=decode_json(row[4]),
            state=state,
            attempts=row[9],
            kickoff_id=row[10],
            started_at=row[11],
            ended_at=row[12],
            execution_time=row[13],
            stale_output=row[6] if row[6] is not None or row[7] is None else row[7],
            stale_inputs=decode_json(row[14]) if row[14] else None,
        )
    return ResultRow(
        job_id=row[2],
        crew=row[3],
        row=decode_json(row[4]),
        state=state,
        output=row[6],
        result_json=decode_json(row[7]) if row[7] else None,
        error=None if state is JobState.SUCCEEDED else row[8],
        attempts=row[9],
        kickoff_id=row[10],
        started_at=row[11],
        ended_at=row[12],
        execution_time=row[13],
    )


async def job_detail(connection: aiosqlite.Connection, batch_id: int, batch: str, job_id: str) -> JobDetail | None:
    """One job with all its attempts."""
    job = await one(
        connection,
        "SELECT id, job_id, crew, state, inputs, meta, row, source, present FROM jobs"
        " WHERE batch_id = ? AND job_id = ?",
        (batch_id, job_id),
    )
    if job is None:
        return None
    attempts = await connection.execute_fetchall(
        "SELECT number, id, state, kickoff_id, intended_at, kicked_off_at, ended_at, reason, execution_time, output,"
        " result_json, token_usage, answer, progress, sent_inputs FROM attempts WHERE job = ? ORDER BY number",
        (job[0],),
    )
    details = [_attempt(row, await _tasks(connection, row[1])) for row in attempts]
    return JobDetail(
        batch=batch,
        job_id=job[1],
        crew=job[2],
        state=JobState(job[3]),
        inputs=decode_json(job[4]),
        meta=decode_json(job[5]),
        row=decode_json(job[6]),
        source=job[7],
        in_file=bool(job[8]),
        attempts=tuple(details),
    )


async def _tasks(connection: aiosqlite.Connection, attempt_id: str) -> Iterable[Any]:
    return await connection.execute_fetchall(
        "SELECT task_id, output, agent, execution_time FROM task_results WHERE attempt_id = ? ORDER BY position",
        (attempt_id,),
    )


def _attempt(row: Any, tasks: Iterable[Any]) -> AttemptDetail:
    seen = decode_json(row[13]) if row[13] and row[2] == AttemptState.KICKED_OFF else {}
    return AttemptDetail(
        number=row[0],
        attempt_id=row[1],
        state=AttemptState(row[2]),
        kickoff_id=row[3],
        intended_at=row[4],
        kicked_off_at=row[5],
        ended_at=row[6],
        reason=row[7],
        execution_time=row[8],
        output=row[9],
        result_json=decode_json(row[10]) if row[10] else None,
        token_usage=decode_json(row[11]) if row[11] else None,
        answer=row[12],
        status_word=seen.get("status_word"),
        unclear_answer=seen.get("unclear_answer"),
        sent_inputs=decode_json(row[14]) if row[14] else None,
        tasks=tuple(
            TaskResult(task_id=task[0], output=task[1], agent=task[2], execution_time=task[3]) for task in tasks
        ),
    )
