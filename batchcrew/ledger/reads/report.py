"""Read the facts of a batch for its report, as of one moment."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import aiosqlite

from batchcrew.base.clock import from_text, to_text
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.fetch import rows, value
from batchcrew.ledger.reads.base import Reads
from batchcrew.ledger.reads.controls import all_commands
from batchcrew.ledger.reads.failures import failure_groups, group_detail
from batchcrew.ledger.reads.jobs import job_counts, without_output_counts
from batchcrew.ledger.reads.money import batch_spending
from batchcrew.ledger.reads.report_counts import AttemptsCounted, task_durations
from batchcrew.ledger.reads.totals import batch_totals, token_counts
from batchcrew.ledger.retries import latest_prices
from batchcrew.model.report_facts import Axis, ReportFacts, RunSpan, SlotChange
from batchcrew.model.views import BatchTotals

MOST_BINS = 240
STEPS_PER_BIN = 4
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_BIN_SECONDS = (
    *(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    *(each * _MINUTE for each in (1, 2, 5, 10, 20, 30)),
    *(each * _HOUR for each in (1, 2, 3, 6, 12)),
    *(each * _DAY for each in (1, 2, 7, 14, 28)),
)
"""Lengths of intervals that are easy to read on an axis."""
_MOST_SPANS = 20_000
_SPANS = """
SELECT id, kind, started_at, ended_at, stopped FROM runs WHERE batch_id = :batch AND kind IN ('run', 'tick')
ORDER BY started_at, rowid LIMIT :most
"""
_LATEST_OF_RUN = """
SELECT max(max(a.intended_at, coalesce(a.kicked_off_at, ''), coalesce(a.ended_at, ''))) FROM attempts AS a
WHERE a.id >= :run || '-' AND a.id < :run || '.'
"""
_SLOTS = """
SELECT s.run_id, s.at, s.slots, s.adaptive, NULL, '' FROM run_slots AS s JOIN runs AS r ON r.id = s.run_id
WHERE r.batch_id = :batch
UNION ALL
SELECT c.run_id, c.at, c.slots, 1, c.crew, c.reason FROM concurrency_changes AS c JOIN runs AS r ON r.id = c.run_id
WHERE r.batch_id = :batch ORDER BY 2 LIMIT :most
"""
_CREWS = """
SELECT crew, state, count(*) FROM jobs WHERE batch_id = :batch AND present = 1 GROUP BY crew, state
"""
# the crews of attempts may be others than those of the jobs in the file
_ONE_CREW = """
SELECT min(crew), max(crew) FROM (
    SELECT crew FROM jobs WHERE batch_id = :batch
    UNION SELECT c.crew FROM run_crews AS c JOIN runs AS r ON r.id = c.run_id WHERE r.batch_id = :batch)
"""
_ADDRESSES = """
SELECT c.crew, c.url FROM runs AS r JOIN run_crews AS c ON c.run_id = r.id WHERE r.batch_id = :batch
ORDER BY r.rowid DESC LIMIT :most
"""


class ReportReads(Reads):
    """Read the facts of reports."""

    async def report_facts(self, key: BatchKey, *, groups: int) -> ReportFacts:
        """Return the facts of a batch.

        Args:
            groups: most failure groups to return.
        """
        running = await self._is_held(key.batch)
        now = self._clock.now()
        return await self._query(
            lambda connection: _facts(connection, key, now=now, running=running, most_groups=groups)
        )


async def _facts(
    connection: aiosqlite.Connection, key: BatchKey, *, now: datetime, running: bool, most_groups: int
) -> ReportFacts:
    batch = {"batch": key.id}
    totals = await batch_totals(connection, now, key.id, running=frozenset({key.id}) if running else frozenset())
    groups = await failure_groups(connection, key.id, most_groups)
    facts: dict[str, Any] = {
        "now": now,
        "running": running,
        "counts": await job_counts(connection, key.id),
        "without_output": (await without_output_counts(connection, key.id)).get(key.id, 0),
        "totals": totals.get(key.id, BatchTotals()),
        "tokens": await token_counts(connection, key.id),
        "prices": await latest_prices(connection, key),
        "addresses": dict(reversed(await rows(connection, _ADDRESSES, {**batch, "most": _MOST_SPANS}))),
        "controls": await all_commands(connection, key.id),
        "groups": groups,
        "details": tuple([await group_detail(connection, key.id, group) for group in groups.groups]),
        "spending": await batch_spending(connection, key.id),
    }
    crews: dict[str, dict[str, int]] = {}
    for crew, state, number in await rows(connection, _CREWS, batch):
        crews.setdefault(crew, {})[state] = number
    return ReportFacts(crews=crews, **facts, **await _times(connection, key.id, now=now, running=running))


async def _times(connection: aiosqlite.Connection, batch_id: int, *, now: datetime, running: bool) -> dict[str, Any]:
    """Return the fields of `ReportFacts` that are about time; empty if no run has begun."""
    found = await rows(connection, _SPANS, {"batch": batch_id, "most": _MOST_SPANS})
    if not found:
        return {}
    start = from_text(found[0][2])
    spans = await _run_spans(connection, found, now=now if running else None)
    axis = axis_of(start, max(span.end for span in spans))
    crews = await rows(connection, _ONE_CREW, {"batch": batch_id})
    one_crew = crews[0][0] if crews[0][0] == crews[0][1] else None
    counted = AttemptsCounted(axis, to_text(now if running else start + timedelta(seconds=axis.seconds)))
    await counted.count(connection, batch_id, one_crew)
    numbers = {row[0]: number for number, row in enumerate(found)}
    return {
        "axis": axis,
        "spans": tuple(spans),
        "slots": await _slot_changes(connection, batch_id, start, numbers),
        "moments": counted.moments,
        "attempts": counted.attempts,
        "durations": (*counted.durations, *await task_durations(connection, batch_id, one_crew)),
        "number_of_runs": int(await value(connection, "SELECT count(*) FROM runs WHERE batch_id = ?", (batch_id,))),
    }


async def _run_spans(
    connection: aiosqlite.Connection, found: list[tuple[Any, ...]], *, now: datetime | None
) -> list[RunSpan]:
    """Return when each run was working.

    Args:
        found: rows of `_SPANS`.
        now: the end, for now, of the latest run; None: it is not working any more.
    """
    start, spans = from_text(found[0][2]), []
    for number, (run_id, kind, started_at, ended_at, stopped) in enumerate(found):
        following = found[number + 1][2] if number + 1 < len(found) else None
        if ended_at is not None:
            end = from_text(ended_at)
        elif now is not None and following is None:
            end = now
        else:
            end = await _end_of_killed(connection, run_id, started_at)
            end = end if following is None else min(end, from_text(following))
        begin = max(0.0, (from_text(started_at) - start).total_seconds())
        spans.append(
            RunSpan(
                kind=kind,
                start=begin,
                end=max(begin, (end - start).total_seconds()),
                stopped=stopped,
                ended=ended_at is not None,
            )
        )
    return spans


async def _slot_changes(
    connection: aiosqlite.Connection, batch_id: int, start: datetime, numbers: Mapping[str, int]
) -> tuple[SlotChange, ...]:
    """Return the changes of slots.

    Args:
        start: that of the batch.
        numbers: of the runs, by their id.
    """
    return tuple(
        SlotChange(
            at=max(0.0, (from_text(at) - start).total_seconds()),
            slots=number,
            crew=crew,
            adaptive=bool(adaptive),
            run=numbers[run_id],
            reason=reason,
        )
        for run_id, at, number, adaptive, crew, reason in await rows(
            connection, _SLOTS, {"batch": batch_id, "most": _MOST_SPANS}
        )
        if run_id in numbers
    )


async def _end_of_killed(connection: aiosqlite.Connection, run_id: str, started_at: str) -> datetime:
    """Return the latest moment that a killed run has recorded."""
    latest = await value(connection, _LATEST_OF_RUN, {"run": run_id})
    return from_text(max(started_at, latest or ""))


def axis_of(start: datetime, seconds: float) -> Axis:
    """Return the axis of a batch that began at `start` and took this many seconds."""
    chosen = next((each for each in _BIN_SECONDS if seconds / each <= MOST_BINS), seconds / MOST_BINS)
    return Axis(start=start, seconds=seconds, bin_seconds=chosen, steps_per_bin=STEPS_PER_BIN)
