"""Failure groups: failed and held jobs by the fingerprint of their reason."""

from collections.abc import Mapping

import aiosqlite

from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import one, rows
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.money import SUMS, Tally
from batchcrew.ledger.retries import RetrySelection, latest_prices, selected
from batchcrew.model.failures import FailureGroup, FailureGroups, GroupDetail

NOT_KICKED_OFF = "not_kicked_off"
MOST_WORDS = 4000
"""Characters of a reason that are read to show its beginning."""
# every column is in the index, and its order is that of the groups: memory and time do not grow with the inputs
_FAILING = """
FROM jobs AS j INDEXED BY jobs_failing
WHERE j.batch_id = :batch AND j.present = 1 AND j.state IN ('failed', 'held')
"""
_GROUPS = f"""
SELECT j.reason_fingerprint, count(*) AS number, sum(j.state = 'held'), min(j.id) AS example, min(j.updated_at),
       max(j.updated_at), min(j.attempts), max(j.attempts), sum(j.attempts > 1)
{_FAILING} GROUP BY j.reason_fingerprint ORDER BY number DESC, example LIMIT :most
"""
_NUMBERS = f"""
SELECT count(*), coalesce(sum(jobs), 0) FROM (SELECT count(*) AS jobs {_FAILING} GROUP BY j.reason_fingerprint)
"""
_ATTEMPTS = f"""
SELECT CASE WHEN a.answer_rejected IS NULL THEN a.state ELSE 'answer_rejected' END, a.number = j.attempts,
       a.state, c.price, c.prompt_price, c.completion_price, {SUMS}
FROM jobs AS j INDEXED BY jobs_failing CROSS JOIN attempts AS a ON a.job = j.id
LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew)
WHERE j.batch_id = :batch AND j.present = 1 AND j.state IN ('failed', 'held') AND j.reason_fingerprint IS :fingerprint
GROUP BY 1, 2, 3, 4, 5, 6
"""


async def failure_groups(
    connection: aiosqlite.Connection, batch_id: int, most: int, *, words: int = MOST_WORDS
) -> FailureGroups:
    """Return the largest failure groups of a batch.

    Args:
        most: groups to return.
        words: characters of the example's reason to read.
    """
    numbers = await one(connection, _NUMBERS, {"batch": batch_id})
    if numbers is None or not numbers[0]:
        return FailureGroups()
    groups = []
    for row in await rows(connection, _GROUPS, {"batch": batch_id, "most": most}):
        example = await one(connection, "SELECT job_id, substr(reason, 1, ?) FROM jobs WHERE id = ?", (words, row[3]))
        assert example is not None  # noqa: S101 - it was read in this transaction
        groups.append(
            FailureGroup(
                fingerprint=row[0],
                jobs=row[1],
                held=row[2],
                example_job=example[0],
                reason=example[1],
                first_at=row[4],
                last_at=row[5],
                least_attempts=row[6],
                most_attempts=row[7],
                retried=row[8],
            )
        )
    return FailureGroups(groups=tuple(groups), number=numbers[0], jobs=numbers[1])


async def group_detail(connection: aiosqlite.Connection, batch_id: int, group: FailureGroup) -> GroupDetail:
    """Return the states, kickoffs and cost of the attempts of a group's jobs."""
    kinds: dict[str, int] = {}
    tally = Tally()
    for kind, latest, state, *prices_and_sums in await rows(
        connection, _ATTEMPTS, {"batch": batch_id, "fingerprint": group.fingerprint}
    ):
        kickoff, prompt, completion, number, *_ = prices_and_sums
        if latest:
            kinds[kind] = kinds.get(kind, 0) + number
        tally.add((kickoff, prompt, completion), state, prices_and_sums[3:])
    money = tally.money()
    if (without := group.jobs - sum(kinds.values())) > 0:
        kinds[NOT_KICKED_OFF] = without
    return GroupDetail(kinds=kinds, kickoffs=money.kickoffs, cost=money.text)


class FailureReads(Reads):
    """Read failure groups."""

    async def failure_groups(self, key: BatchKey, most: int) -> FailureGroups:
        """Return the largest failure groups, each with the beginning of its example's reason."""
        return await self._query(lambda connection: failure_groups(connection, key.id, most))

    async def group_detail(self, key: BatchKey, group: FailureGroup) -> GroupDetail:
        """Return the states, kickoffs and cost of the attempts of a group's jobs."""
        return await self._query(lambda connection: group_detail(connection, key.id, group))

    async def whole_reason(self, key: BatchKey, job_id: str) -> str | None:
        """Return the complete reason of a job."""
        reason: str | None = await self._value(
            "SELECT reason FROM jobs WHERE batch_id = ? AND job_id = ?", (key.id, job_id)
        )
        return reason

    async def fingerprints(self, key: BatchKey, prefix: str, most: int = 10) -> tuple[str, ...]:
        """Return the first fingerprints of failed and held jobs that begin with a prefix."""
        found = await self._rows(
            f"SELECT DISTINCT j.reason_fingerprint {_FAILING} AND j.reason_fingerprint >= :prefix"
            " AND j.reason_fingerprint < :prefix || 'g' ORDER BY 1 LIMIT :most",
            {"batch": key.id, "prefix": prefix, "most": most},
        )
        return tuple(row[0] for row in found)

    async def selected(self, key: BatchKey, selection: RetrySelection) -> tuple[Mapping[str, int], Mapping[str, str]]:
        """Return how many jobs `retry` would reset, and the latest known price of a kickoff, both by crew.

        Raises:
            NotInLedger: the batch does not have one of the jobs that the selection names.
        """

        async def query(connection: aiosqlite.Connection) -> tuple[Mapping[str, int], Mapping[str, str]]:
            return await selected(connection, key, selection), await latest_prices(connection, key)

        return await self._query(query)
