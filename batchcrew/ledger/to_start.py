"""What a run would kick off once a job file that is staged and compared is merged, by crew."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import aiosqlite

from batchcrew.ledger.comparing import FRESH_PENDING, SHOWN_JOBS, UNCHANGED
from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.staging import is_compared

_NEW = "SELECT s.crew, s.job_id, s.inputs, s.position, 'pending' AS state, 0 AS used FROM temp.staged AS s"
# the crew by its name in the file: the ledger may have a former one
_EACH = f"""
SELECT s.crew, s.job_id, s.inputs, s.position, 'pending' AS state, 0 AS used FROM temp.staged AS s
WHERE s.position IN (SELECT position {FRESH_PENDING})
UNION ALL
SELECT s.crew, s.job_id, s.inputs, s.position, c.becomes, c.becomes = 'open'
FROM temp.changed AS c JOIN temp.staged AS s ON s.position = c.position
WHERE c.becomes IN ('pending', 'open', 'stale')
UNION ALL
SELECT s.crew, s.job_id, s.inputs, s.position, j.state, j.charged
FROM jobs AS j JOIN temp.staged AS s ON s.job_id = j.job_id
WHERE j.batch_id = (SELECT id FROM batches WHERE batch = :batch)
    AND j.state IN ('pending', 'open', 'stale', 'failed') AND {UNCHANGED}
UNION ALL
SELECT s.crew, s.job_id, s.inputs, s.position, taken.state, 1
FROM (SELECT m.position, a.state FROM temp.moves AS m JOIN attempts AS a ON a.id = m.attempt
    WHERE m.position NOT IN (SELECT position FROM temp.changed) AND a.state IN ('intended', 'kicked_off')) AS taken
JOIN temp.staged AS s ON s.position = taken.position
"""
_OUTDATED = f"""
SELECT s.crew, count(*) FROM temp.changed AS c JOIN temp.staged AS s ON s.position = c.position
WHERE c.becomes = 'open' AND c.position NOT IN (SELECT position FROM temp.moves) GROUP BY 1
UNION ALL
SELECT s.crew, count(*) FROM jobs AS j JOIN temp.staged AS s ON s.job_id = j.job_id
JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
WHERE j.batch_id = (SELECT id FROM batches WHERE batch = :batch) AND j.state = 'open' AND {UNCHANGED}
    AND a.sent_inputs IS NOT NULL AND NOT same_inputs(a.sent_inputs, j.inputs) GROUP BY 1
"""


@dataclass(slots=True)
class ToStart:
    """Jobs of one crew that a run would start."""

    pending: int = 0
    """Those that are pending once the file is merged, and those that the run puts back."""
    missing: int = 0
    """Of these, jobs that miss an input which the crew requires."""
    lacking: Counter[str] = field(default_factory=Counter)
    """Required input -> number of jobs that miss it."""
    first_missing: tuple[str, ...] = ()
    """The ids of jobs that miss any (the first few)."""
    stale: int = 0
    """Jobs that are stale, and stay so."""
    open: int = 0
    """Jobs whose execution is in progress."""
    outdated: int = 0
    """Of these, jobs whose inputs have changed since it was kicked off."""
    used: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Pending and open jobs by their state and the attempts that they have used."""


async def to_start(
    connection: aiosqlite.Connection,
    batch: str,
    required: Mapping[str, Sequence[str]],
    *,
    put_back: Collection[str] = (),
) -> dict[str, ToStart]:
    """Return, by crew, what a run would start once what is compared is merged; in the transaction of `compare`.

    Args:
        required: the inputs that each crew requires.
        put_back: states of jobs that the run puts back to pending first.
    """
    compared = await is_compared(connection)
    each = _EACH if compared else _NEW
    parameters: dict[str, str | int] = {"batch": batch} if compared else {}
    states = ", ".join(f"'{state}'" for state in ("pending", *put_back))
    crews = [crew for crew, names in required.items() if names]
    parameters |= {f"crew{n}": crew for n, crew in enumerate(crews)}
    parameters |= {f"names{n}": encode_json(list(required[crew])) for n, crew in enumerate(crews)}
    cases = "".join(
        f" WHEN state IN ({states}) AND crew = :crew{n} THEN missing_inputs(inputs, :names{n})"
        for n in range(len(crews))
    )
    missing = f"CASE{cases} END" if cases else "NULL"
    found: dict[str, ToStart] = {}
    for crew, state, used, names, number in await connection.execute_fetchall(
        f"SELECT crew, state, used, {missing}, count(*) FROM ({each}) GROUP BY 1, 2, 3, 4", parameters
    ):
        its = found.setdefault(crew, ToStart())
        if state == "pending" or state in put_back:
            its.pending += number
            its.used["pending", used if state == "pending" else 0] += number
        elif state == "stale":
            its.stale += number
        elif state != "failed":
            its.open += number
            its.used["open", used] += number
        if names is not None:
            its.missing += number
            its.lacking.update(dict.fromkeys(decode_json(names), number))
    for crew, number in await connection.execute_fetchall(_OUTDATED, {"batch": batch}) if compared else ():
        found[crew].outdated += number
    for crew, its in found.items():
        if its.missing:
            rows = await connection.execute_fetchall(
                f"SELECT job_id FROM ({each}) WHERE crew = :crew AND {missing} IS NOT NULL"
                " ORDER BY position LIMIT :most",
                {**parameters, "crew": crew, "most": SHOWN_JOBS},
            )
            its.first_missing = tuple(row[0] for row in rows)
    return found
