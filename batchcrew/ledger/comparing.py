"""Compare the staged jobs with the ledger: find new, changed and removed jobs, and which answer belongs to which job.

A job is changed when its inputs are, or its crew (names and addresses both differ). An answer is an attempt that has
succeeded, is in progress or is in doubt; it belongs to the inputs that it was started with. So a changed or new job
whose inputs an answer was made from takes that answer over, each answer once:

1. an answer from the job's own history (the edit was reverted), then
2. an answer of a job that was removed from the file or that has other inputs now (renumbered rows, a renamed id
   column).

The result is in temporary tables, which `merging.py` applies:

| table | holds |
|---|---|
| `changed` | jobs that may take over an answer or give theirs away, and the state that each gets (see `_CHANGED`) |
| `renamed` | jobs of which only the name of their crew has changed |
| `removed` | jobs that are no longer in the file |
| `fresh` | positions in the file of jobs that the ledger does not have |
| `moves` | attempt, the job that it has belonged to, and the position in the file of the job that takes it over |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import aiosqlite

from batchcrew.base.errors import MAX_PROBLEMS
from batchcrew.ledger import staging
from batchcrew.ledger.fetch import one
from batchcrew.ledger.functions import install_crew_groups
from batchcrew.ledger.staging import Duplicate, InputNames, count
from batchcrew.model.job import Job
from batchcrew.model.run import Plan

SHOWN_JOBS = 5

# the job differs from the file. Other jobs in `changed` were stale, or in progress with former inputs, before; or they
# are pending and back in the file: their answer may have come under another id in the meantime
_DIFFERS = """
(j.inputs <> s.inputs AND NOT same_inputs(j.inputs, s.inputs))
    OR (j.crew <> s.crew AND crew_group(j.crew) <> crew_group(s.crew))
"""
# CROSS JOIN makes SQLite keep this order, and find each job of the file by its id
_CHANGED = f"""
CREATE TEMP TABLE changed AS
SELECT j.id AS job, s.position, j.state, j.present, j.state AS becomes, {_DIFFERS} AS differs
FROM temp.staged AS s CROSS JOIN jobs AS j ON j.batch_id = ? AND j.job_id = s.job_id
WHERE {_DIFFERS} OR j.state = 'stale' OR (j.present = 0 AND j.state = 'pending')
    OR (j.state IN ('open', 'waiting') AND j.id IN (
        SELECT job FROM attempts WHERE state IN ('intended', 'kicked_off') AND sent_inputs IS NOT NULL))
"""
# jobs of which only the name of their crew has changed
_RENAMED = """
CREATE TEMP TABLE renamed AS
SELECT j.id AS job, s.position FROM temp.staged AS s CROSS JOIN jobs AS j ON j.batch_id = ? AND j.job_id = s.job_id
WHERE ? AND j.crew <> s.crew AND j.id NOT IN (SELECT job FROM temp.changed)
"""
_REMOVED = """
CREATE TEMP TABLE removed AS
SELECT j.id AS job, j.state, j.present FROM jobs AS j
WHERE j.batch_id = ? AND j.job_id NOT IN (SELECT job_id FROM temp.staged)
"""
_FRESH = """
CREATE TEMP TABLE fresh AS
SELECT s.position, s.crew, s.duplicates IS NOT NULL AS without_id FROM temp.staged AS s
WHERE ? AND NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.batch_id = ? AND j.job_id = s.job_id)
"""
# an answer that was kept for other inputs than it was started with has a second row, with the inputs it was kept for
_ANSWERS = """
CREATE TEMP TABLE answers AS
WITH latest AS (
    SELECT a.id AS attempt, a.sent_inputs, a.sent_crew, a.kept_inputs, j.id AS job, j.state, j.inputs, j.crew, a.number,
        a.state <> 'succeeded' AS unfinished
    FROM (SELECT job FROM temp.changed UNION ALL SELECT job FROM temp.removed) AS c
    JOIN jobs AS j ON j.id = c.job JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
    WHERE (j.state IN ('succeeded', 'stale') AND a.state = 'succeeded')
        OR (j.state IN ('open', 'waiting') AND a.state IN ('intended', 'kicked_off'))
        OR (j.state = 'held' AND a.state IN ('in_doubt', 'lost'))
)
SELECT attempt, job, number, 1 AS latest, unfinished, inputs_hash(coalesce(sent_inputs, inputs)) AS hash,
    crew_group(coalesce(sent_crew, crew)) AS crew
FROM latest
UNION ALL
SELECT attempt, job, number, 1, unfinished, inputs_hash(inputs), crew_group(crew)
FROM latest WHERE state = 'succeeded' AND sent_inputs IS NOT NULL
UNION ALL
SELECT attempt, job, number, 1, unfinished, inputs_hash(kept_inputs), crew_group(coalesce(sent_crew, crew))
FROM latest WHERE kept_inputs IS NOT NULL
UNION ALL
SELECT a.id, j.id, a.number, 0, a.state <> 'succeeded',
    inputs_hash(CASE WHEN way.kept THEN a.kept_inputs ELSE a.sent_inputs END),
    crew_group(coalesce(a.sent_crew, j.crew))
FROM attempts AS a JOIN jobs AS j ON j.id = a.job
JOIN (SELECT 0 AS kept UNION ALL SELECT 1) AS way ON NOT way.kept OR a.kept_inputs IS NOT NULL
WHERE a.sent_inputs IS NOT NULL AND j.batch_id = ? AND (
    (a.state IN ('succeeded', 'intended', 'kicked_off') AND a.number < j.attempts)
    OR (a.state = 'succeeded' AND j.state NOT IN ('succeeded', 'stale'))) -- reset, and not kicked off yet
"""
_WANTED = """
CREATE TEMP TABLE wanted AS
SELECT s.position, c.job, inputs_hash(s.inputs) AS hash, crew_group(s.crew) AS crew
FROM temp.staged AS s JOIN temp.changed AS c ON c.position = s.position
UNION ALL
SELECT s.position, NULL, inputs_hash(s.inputs), crew_group(s.crew)
FROM temp.fresh AS f JOIN temp.staged AS s ON s.position = f.position
"""
_MOVES = """
CREATE TEMP TABLE moves (
    attempt TEXT NOT NULL UNIQUE, job INTEGER NOT NULL, position INTEGER PRIMARY KEY, latest INTEGER NOT NULL
)
"""
_OWN = """
INSERT INTO temp.moves
SELECT attempt, job, position, latest FROM (
    SELECT a.attempt, a.job, w.position, a.latest,
        row_number() OVER (PARTITION BY w.position ORDER BY a.latest DESC, a.number DESC) AS rank
    FROM temp.wanted AS w JOIN temp.answers AS a ON a.job = w.job AND a.hash = w.hash AND a.crew = w.crew
) WHERE rank = 1
"""
_OTHERS = """
WITH free AS (
    SELECT attempt, job, latest, hash, crew,
        row_number() OVER (PARTITION BY hash, crew ORDER BY latest DESC, job, number DESC) AS rank
    FROM temp.answers WHERE unfinished = :unfinished AND attempt NOT IN (SELECT attempt FROM temp.moves)
), wanting AS (
    SELECT position, hash, crew, row_number() OVER (PARTITION BY hash, crew ORDER BY position) AS rank
    FROM temp.wanted AS w WHERE position NOT IN (SELECT position FROM temp.moves)
    AND (NOT :unfinished OR NOT EXISTS ( -- a job has one execution in progress
        SELECT 1 FROM temp.answers AS own WHERE own.job = w.job AND own.unfinished
        AND own.attempt NOT IN (SELECT attempt FROM temp.moves)))
)
INSERT OR IGNORE INTO temp.moves
SELECT f.attempt, f.job, w.position, f.latest FROM wanting AS w
JOIN free AS f ON f.hash = w.hash AND f.crew = w.crew AND f.rank = w.rank
ORDER BY w.position
"""
# a changed job that gave its answer away counts as a new job if the last job of the chain of answers had none before:
# then no more jobs are paid for than rows were added
_GAVE_TO_NEW = """
WITH RECURSIVE chain (giver, position) AS (
    SELECT m.job, m.position FROM temp.moves AS m WHERE m.latest
    AND m.job IN (SELECT job FROM temp.changed) AND NOT EXISTS (
        SELECT 1 FROM temp.changed AS c JOIN temp.moves AS taken ON taken.position = c.position WHERE c.job = m.job)
    UNION ALL
    SELECT chain.giver, m.position FROM chain
    JOIN temp.changed AS c ON c.position = chain.position JOIN temp.moves AS m ON m.job = c.job AND m.latest
)
SELECT giver FROM chain LEFT JOIN temp.changed AS c ON c.position = chain.position
WHERE c.job IS NULL OR c.state NOT IN ('succeeded', 'stale', 'open', 'waiting', 'held')
"""
STATE_OF_MOVED = """
CASE a.state WHEN 'succeeded' THEN 'succeeded' WHEN 'kicked_off' THEN 'open' WHEN 'intended' THEN 'open' ELSE 'held' END
"""
_BECOMES = f"""
UPDATE temp.changed AS c SET becomes = coalesce(
    (SELECT {STATE_OF_MOVED} FROM temp.moves AS m JOIN attempts AS a ON a.id = m.attempt
     WHERE m.position = c.position),
    CASE
        WHEN c.job IN ({_GAVE_TO_NEW}) THEN 'pending'
        WHEN c.state IN ('succeeded', 'stale') OR c.job IN (SELECT job FROM temp.moves WHERE latest) THEN 'stale'
        WHEN c.state IN ('open', 'waiting', 'cancelled') THEN c.state
        ELSE 'pending'
    END)
"""


@dataclass(frozen=True, slots=True)
class Staged:
    """The jobs of a job file, compared with the ledger and not yet merged."""

    plan: Plan
    duplicates: tuple[Duplicate, ...]
    skipped: int = 0
    """Rows that were skipped because an earlier row is identical (`duplicates: skip`)."""
    new_without_id: int = 0
    """New jobs whose file gives them no id and that take over no answer."""
    states: Mapping[str, int] = field(default_factory=dict)
    """The number of the file's jobs by the state that they have once they are merged."""
    input_names: InputNames = field(default_factory=InputNames)


async def compare(
    connection: aiosqlite.Connection,
    batch: str,
    jobs: Iterable[Job],
    *,
    crew_groups: Mapping[str, str],
    reuse: bool,
) -> Staged:
    """Stream `jobs` into the temporary table and compare them with the batch, inside the caller's transaction.

    Args:
        crew_groups: a common name for names of one crew.
        reuse: whether a job may take over the answer of another one.
    """
    found, skipped = await staging.stage(connection, jobs)
    columns = tuple(found.names)
    twice = await staging.duplicates(connection, MAX_PROBLEMS)
    total = await count(connection, "SELECT count(*) FROM temp.staged")
    known = await one(connection, "SELECT id FROM batches WHERE batch = ?", (batch,))
    batch_id = known[0] if known else -1
    # a new batch needs no comparison: that halves the time to ingest a million rows
    if not await count(connection, "SELECT EXISTS (SELECT 1 FROM jobs WHERE batch_id = ?)", (batch_id,)) or twice:
        plan = Plan(total=total, new=total, columns=columns)
        return Staged(plan, tuple(twice), skipped, states={"pending": total}, input_names=found.inputs)
    await install_crew_groups(connection, crew_groups)
    await connection.execute_fetchall(_CHANGED, (batch_id,))
    await connection.execute_fetchall(_RENAMED, (batch_id, bool(crew_groups)))
    await connection.execute_fetchall(_REMOVED, (batch_id,))
    known_jobs = await count(connection, "SELECT count(*) FROM jobs WHERE batch_id = ?", (batch_id,))
    any_new = total > known_jobs - await count(connection, "SELECT count(*) FROM temp.removed")
    await connection.execute_fetchall(_FRESH, (any_new, batch_id))
    await connection.execute_fetchall(_MOVES)
    await _match(connection, batch_id, reuse=reuse)
    plan = await _plan(connection, total, columns)
    without_id = await count(connection, f"SELECT count(*) {FRESH_PENDING} AND without_id")
    states = await _states(connection, batch_id)
    return Staged(plan, tuple(twice), skipped, without_id, states, found.inputs)


async def _match(connection: aiosqlite.Connection, batch_id: int, *, reuse: bool) -> None:
    """Find for each changed or new job an answer that was made from its inputs."""
    await connection.execute_fetchall(_ANSWERS, (batch_id,))
    if await count(connection, "SELECT EXISTS (SELECT 1 FROM temp.answers)"):
        await connection.execute_fetchall(_WANTED)
        await connection.execute_fetchall("CREATE INDEX temp.answers_hash ON answers (hash, crew)")
        await connection.execute_fetchall("CREATE INDEX temp.answers_job ON answers (job)")
        await connection.execute_fetchall("CREATE INDEX temp.changed_position ON changed (position)")
        await connection.execute_fetchall("CREATE INDEX temp.changed_job ON changed (job)")
        await connection.execute_fetchall(_OWN)
        await connection.execute_fetchall("CREATE INDEX temp.moves_job ON moves (job)")
        moved = -1
        # repeat while it finds more: an answer that was kept is known by two inputs, and a job whose execution in
        # progress has moved to another job may take another one over
        while reuse and moved < (moved := await count(connection, "SELECT count(*) FROM temp.moves")):
            for unfinished in (0, 1):
                await connection.execute_fetchall(_OTHERS, {"unfinished": unfinished})
    await connection.execute_fetchall(_BECOMES)


async def _plan(connection: aiosqlite.Connection, total: int, columns: tuple[str, ...]) -> Plan:
    fresh = await count(connection, "SELECT count(*) FROM temp.fresh")
    row = await one(
        connection,
        """
        SELECT count(*), coalesce(sum(m.position IS NOT NULL AND m.job = c.job), 0),
            coalesce(sum(m.position IS NOT NULL AND m.job <> c.job), 0), coalesce(sum(c.becomes = 'stale'), 0),
            coalesce(sum(c.becomes IN ('open', 'waiting') AND m.position IS NULL), 0),
            coalesce(sum(c.becomes = 'pending'), 0)
        FROM temp.changed AS c LEFT JOIN temp.moves AS m ON m.position = c.position
        WHERE c.differs OR m.position IS NOT NULL OR c.state <> c.becomes
        """,
    )
    assert row is not None  # noqa: S101 - aggregates have one row
    changed, restored, taken_over, stale, running, again = (int(number) for number in row)
    reused = await count(connection, "SELECT count(*) FROM temp.moves") - restored
    removed = await count(connection, "SELECT count(*) FROM temp.removed WHERE job NOT IN (SELECT job FROM temp.moves)")
    removed_succeeded = await count(
        connection,
        "SELECT count(*) FROM temp.removed WHERE present AND state IN ('succeeded', 'stale')"
        " AND job NOT IN (SELECT job FROM temp.moves)",
    )
    return Plan(
        total=total,
        new=fresh - (reused - taken_over),
        changed=changed - restored - taken_over,
        stale=stale,
        running=running,
        again=again,
        restored=restored,
        reused=reused,
        unchanged=total - fresh - changed,
        removed=removed,
        removed_succeeded=removed_succeeded,
        stale_jobs=await _newly_stale(connection),
        columns=columns,
    )


async def _newly_stale(connection: aiosqlite.Connection) -> tuple[str, ...]:
    rows = await connection.execute_fetchall(
        "SELECT s.job_id FROM temp.changed AS c JOIN temp.staged AS s ON s.position = c.position"
        " WHERE c.becomes = 'stale' AND c.differs ORDER BY s.position LIMIT ?",
        (SHOWN_JOBS,),
    )
    return tuple(row[0] for row in rows)


UNCHANGED = "j.id NOT IN (SELECT job FROM temp.changed) AND j.id NOT IN (SELECT job FROM temp.removed)"
_FRESH_TAKEN = f"""
SELECT {STATE_OF_MOVED} AS state, count(*) FROM temp.moves AS m JOIN attempts AS a ON a.id = m.attempt
WHERE m.position NOT IN (SELECT position FROM temp.changed) GROUP BY 1
"""


async def _states(connection: aiosqlite.Connection, batch_id: int) -> dict[str, int]:
    """Return the number of the file's jobs by the state that they have once they are merged."""
    states: dict[str, int] = {}

    async def add(query: str, sign: int = 1, parameters: tuple[int, ...] = ()) -> None:
        for state, number in await connection.execute_fetchall(query, parameters):
            states[state] = states.get(state, 0) + sign * number

    # unchanged jobs: all jobs, which the index counts, without the few that differ
    await add("SELECT state, count(*) FROM jobs WHERE batch_id = ? AND present = 1 GROUP BY state", 1, (batch_id,))
    await add("SELECT state, count(*) FROM temp.changed WHERE present GROUP BY state", -1)
    await add("SELECT state, count(*) FROM temp.removed WHERE present GROUP BY state", -1)
    await add(
        f"SELECT j.state, count(*) FROM jobs AS j WHERE j.batch_id = ? AND j.present = 0 AND {UNCHANGED} GROUP BY 1",
        1,
        (batch_id,),
    )
    await add("SELECT becomes, count(*) FROM temp.changed GROUP BY 1")
    await add(_FRESH_TAKEN)
    states["pending"] = states.get("pending", 0) + await count(connection, f"SELECT count(*) {FRESH_PENDING}")
    return {state: number for state, number in states.items() if number}


FRESH_PENDING = "FROM temp.fresh AS f WHERE f.position NOT IN (SELECT position FROM temp.moves)"
