"""Count, by crew, the jobs that a run would start once the staged and compared job file is merged."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import aiosqlite

from batchcrew.ledger.comparing import FRESH_PENDING, SHOWN_JOBS, UNCHANGED
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.staging import InputNames, is_compared

_THE_BATCH = "j.batch_id = (SELECT id FROM batches WHERE batch = :batch) AND j.present IN (0, 1)"
_SHOWN_STATES = "j.state IN ('pending', 'open', 'waiting', 'stale', 'failed')"
_NEW = "SELECT s.crew, s.job_id, s.inputs, s.position, 'pending' AS state, 0 AS used FROM temp.staged AS s"
# jobs that the file changes, with the name that their crew has in the file: the ledger may have a former name
_CHANGED = f"""
SELECT s.crew, s.job_id, s.inputs, s.position, 'pending' AS state, 0 AS used FROM temp.staged AS s
WHERE s.position IN (SELECT position {FRESH_PENDING})
UNION ALL
SELECT s.crew, s.job_id, s.inputs, s.position, c.becomes, c.becomes IN ('open', 'waiting')
FROM temp.changed AS c JOIN temp.staged AS s ON s.position = c.position
WHERE c.becomes IN ('pending', 'open', 'waiting', 'stale')
UNION ALL
SELECT s.crew, s.job_id, s.inputs, s.position, j.state, j.charged
FROM temp.renamed AS r JOIN jobs AS j ON j.id = r.job JOIN temp.staged AS s ON s.position = r.position
WHERE {_SHOWN_STATES}
UNION ALL
SELECT s.crew, s.job_id, s.inputs, s.position, taken.state, 1
FROM (SELECT m.position, a.state FROM temp.moves AS m JOIN attempts AS a ON a.id = m.attempt
    WHERE m.position NOT IN (SELECT position FROM temp.changed) AND a.state IN ('intended', 'kicked_off')) AS taken
JOIN temp.staged AS s ON s.position = taken.position
"""
_UNCHANGED = f"FROM jobs AS j WHERE {_THE_BATCH} AND {UNCHANGED} AND j.id NOT IN (SELECT job FROM temp.renamed)"
_CHANGED_NUMBERS = f"SELECT crew, state, used, count(*) FROM ({_CHANGED}) GROUP BY 1, 2, 3"
_NEW_NUMBERS = "SELECT crew, 'pending', 0, count(*) FROM temp.staged GROUP BY crew"
# there may be a million unchanged jobs: this order is that of their index, so SQLite counts without sorting
_UNCHANGED_NUMBERS = f"""
SELECT j.crew, j.state, 0, count(*) {_UNCHANGED} AND {_SHOWN_STATES}
GROUP BY j.batch_id, j.present, j.state, j.crew
"""
_UNCHANGED_USED = f"""
SELECT j.crew, j.state, j.charged, count(*) {_UNCHANGED} AND {_SHOWN_STATES} AND j.charged > 0
GROUP BY j.crew, j.state, j.charged
"""
_UNCHANGED_JOBS = f"SELECT j.crew, j.job_id, j.inputs, j.position, j.state, j.charged {_UNCHANGED}"
_OUTDATED = f"""
SELECT s.crew, count(*) FROM temp.changed AS c JOIN temp.staged AS s ON s.position = c.position
WHERE c.becomes IN ('open', 'waiting') AND c.position NOT IN (SELECT position FROM temp.moves) GROUP BY 1
UNION ALL
SELECT s.crew, count(*) FROM jobs AS j CROSS JOIN temp.staged AS s ON s.job_id = j.job_id
JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
WHERE {_THE_BATCH} AND j.state IN ('open', 'waiting') AND {UNCHANGED}
    AND a.sent_inputs IS NOT NULL AND NOT same_inputs(a.sent_inputs, j.inputs) GROUP BY 1
"""


@dataclass(slots=True)
class ToStart:
    """Jobs of one crew that a run would start."""

    pending: int = 0
    """Jobs that are pending once the file is merged, and those that the run resets."""
    missing: int = 0
    """Number of these jobs that miss an input which the crew requires."""
    missing_by_input: Counter[str] = field(default_factory=Counter)
    """Required input -> number of jobs that miss it."""
    first_missing: tuple[str, ...] = ()
    """The ids of jobs that miss any (the first few)."""
    stale: int = 0
    """Jobs that are stale, and that the run does not reset."""
    open: int = 0
    """Jobs whose execution is in progress."""
    outdated: int = 0
    """Number of these jobs whose inputs have changed since it was kicked off."""
    used: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Pending and open jobs by their state and the attempts that they have used."""

    def add(self, state: str, used: int, number: int, put_back: Collection[str]) -> None:
        """Count `number` jobs in this state that have used `used` attempts each."""
        if state == "pending" or state in put_back:
            self.pending += number
            self.used["pending", used if state == "pending" else 0] += number
        elif state == "stale":
            self.stale += number
        elif state != "failed":
            self.open += number
            self.used["open", used] += number


async def to_start(
    connection: aiosqlite.Connection,
    batch: str,
    required: Mapping[str, Sequence[str]],
    names_of: InputNames,
    *,
    put_back: Collection[str] = (),
) -> dict[str, ToStart]:
    """Return, by crew, the jobs that a run would start once the file is merged.

    Call it in the transaction of `compare`.

    Args:
        required: the inputs that each crew requires.
        names_of: the input names of each crew's jobs.
        put_back: states of jobs that the run resets to pending first.
    """
    compared = await is_compared(connection)
    found: dict[str, ToStart] = {}
    for query in (_CHANGED_NUMBERS, _UNCHANGED_NUMBERS, _UNCHANGED_USED) if compared else (_NEW_NUMBERS,):
        for crew, state, used, number in await connection.execute_fetchall(
            query, {"batch": batch} if ":batch" in query else {}
        ):
            its = found.setdefault(crew, ToStart())
            its.add(state, used, number, put_back)
            if query is _UNCHANGED_USED:  # _UNCHANGED_NUMBERS has counted them with no attempts used
                its.add(state, 0, -number, put_back)
    for crew, number in await connection.execute_fetchall(_OUTDATED, {"batch": batch}) if compared else ():
        found[crew].outdated += number
    sources = (_CHANGED, _UNCHANGED_JOBS) if compared else (_NEW,)
    for crew, names in required.items():
        # reading a million jobs is expensive, and the rows of most files have the same names
        if names and crew in found and found[crew].pending and names_of.may_miss(crew, names):
            await _missing(connection, batch, crew, names, sources, ("pending", *put_back), found[crew])
    return found


async def _missing(
    connection: aiosqlite.Connection,
    batch: str,
    crew: str,
    names: Sequence[str],
    sources: Sequence[str],
    states: Sequence[str],
    its: ToStart,
) -> None:
    """Count the jobs of `sources` in these states that miss an input of `names`."""
    parameters: dict[str, str | int] = {"batch": batch, "crew": crew, "names": encode_json(list(names))}
    shown = ", ".join(f"'{state}'" for state in states)
    where = f"crew = :crew AND state IN ({shown}) AND missing_inputs(inputs, :names) IS NOT NULL"
    for source in sources:
        for missing, number in await connection.execute_fetchall(
            f"SELECT missing_inputs(inputs, :names), count(*) FROM ({source}) WHERE {where} GROUP BY 1", parameters
        ):
            its.missing += number
            its.missing_by_input.update(dict.fromkeys(decode_json(missing), number))
    if its.missing:
        rows = await connection.execute_fetchall(
            "SELECT job_id FROM temp.staged WHERE job_id IN ("
            f"SELECT job_id FROM ({' UNION ALL '.join(sources)}) WHERE {where}) ORDER BY position LIMIT :most",
            {**parameters, "most": SHOWN_JOBS},
        )
        its.first_missing = tuple(row[0] for row in rows)
