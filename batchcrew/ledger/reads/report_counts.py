"""Count the attempts and tasks of a batch for its report, in one pass over each: memory does not grow with them."""

import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiosqlite

from batchcrew.ledger.fetch import Parameters
from batchcrew.model.attempt import AttemptState
from batchcrew.model.report_facts import AttemptCount, AttemptMoments, Axis, DurationCount

_CHUNK = 5000
_MOST_NAMES = 500
"""Crews, or tasks, whose durations are counted apart; a crew may name every task differently."""
_FINENESS = 128
"""Times that differ by less than 1/128 are counted together."""
_KINDS = {
    AttemptState.SUCCEEDED.value: "succeeded",
    AttemptState.REJECTED.value: "refused",
    "throttled": "throttled",
    AttemptState.INTENDED.value: "open",
    AttemptState.KICKED_OFF.value: "open",
}
_THROTTLED = "throttled"
UNANSWERED = "unanswered"
KINDS = ("succeeded", "unsuccessful", "refused", _THROTTLED, UNANSWERED, "open")
_ACCEPTED = frozenset({"succeeded", "unsuccessful", "open"})
# the id of an attempt begins with the id of its run, so that other batches are not read
_OF_RUNS = """
FROM runs AS r CROSS JOIN attempts AS a ON a.id >= r.id || '-' AND a.id < r.id || '.'
"""
_ATTEMPTS = f"""
SELECT CASE WHEN a.state = 'rejected' AND a.reason LIKE 'refused for now:%' THEN 'throttled' ELSE a.state END,
       {{crew}} AS name, c.price,
       (julianday(a.intended_at) - :zero) * 86400.0,
       (julianday(coalesce(a.kicked_off_at, a.ended_at, :now)) - :zero) * 86400.0,
       (julianday(coalesce(a.ended_at, :now)) - :zero) * 86400.0,
       CASE WHEN a.ended_at IS NOT NULL AND a.kicked_off_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM waits AS w WHERE w.attempt_id = a.id) THEN a.execution_time END,
       a.kicked_off_at IS NOT NULL
{_OF_RUNS} {{jobs}} LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = name
WHERE r.batch_id = :batch
"""
_WAITS = """
SELECT a.state, (julianday(w.since) - :zero) * 86400.0,
       (julianday(coalesce(w.ended_at, a.ended_at, :now)) - :zero) * 86400.0,
       (julianday(coalesce(a.ended_at, :now)) - :zero) * 86400.0
FROM waits AS w JOIN attempts AS a ON a.id = w.attempt_id JOIN runs AS r ON r.id = a.run_id
WHERE r.batch_id = :batch
"""
_TASKS = """
SELECT t.task_id, t.execution_time FROM runs AS r CROSS JOIN task_results AS t
ON t.attempt_id >= r.id || '-' AND t.attempt_id < r.id || '.'
WHERE r.batch_id = :batch AND t.execution_time >= 0
"""


def kind_of(state: str) -> str:
    """Return the kind of attempts in this state: one of `KINDS`."""
    return _KINDS.get(state, "unsuccessful")


class _Durations:
    """How long executions took, by name and by time."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[int, list[Any]]] = {}

    def add(self, name: str, seconds: float) -> None:
        by_time = self._counts.get(name)
        if by_time is None:
            if len(self._counts) >= _MOST_NAMES:
                return
            by_time = self._counts[name] = {}
        place = int(math.log(seconds) * _FINENESS) if seconds > 0.001 else -1000
        count = by_time.get(place)
        if count is None:
            by_time[place] = [1, seconds, seconds, seconds]
            return
        count[0] += 1
        count[1] += seconds
        if seconds < count[2]:
            count[2] = seconds
        elif seconds > count[3]:
            count[3] = seconds

    def counts(self, *, tasks_of: str | None = None) -> tuple[DurationCount, ...]:
        """Return the counts.

        Args:
            tasks_of: the names are tasks of this crew; None: they are crews.
        """
        return tuple(
            DurationCount(
                crew=name if tasks_of is None else tasks_of,
                task=None if tasks_of is None else name,
                number=number,
                seconds=total,
                least=least,
                most=most,
            )
            for name, by_time in self._counts.items()
            for number, total, least, most in by_time.values()
        )


class AttemptsCounted:
    """What one pass over the attempts of a batch counts.

    Args:
        axis: that of the batch.
        now: the end, for now, of attempts in progress.
    """

    def __init__(self, axis: Axis, now: str) -> None:
        self.moments = {kind: AttemptMoments(axis.steps) for kind in KINDS}
        self._axis = axis
        self._now = now
        self._durations = _Durations()
        self._states: dict[tuple[str, str, str | None], int] = {}

    @property
    def durations(self) -> tuple[DurationCount, ...]:
        """How long the successful executions of each crew took."""
        return self._durations.counts()

    @property
    def attempts(self) -> tuple[AttemptCount, ...]:
        return tuple(
            AttemptCount(crew=crew, state=state, price=price, number=number)
            for (crew, state, price), number in self._states.items()
        )

    async def count(self, connection: aiosqlite.Connection, batch_id: int, crew: str | None) -> None:
        """Count all attempts of the batch.

        Args:
            crew: the batch's one crew; None: it has several.
        """
        query = _ATTEMPTS.format(
            crew="coalesce(a.sent_crew, :crew)" if crew is not None else "coalesce(a.sent_crew, j.crew)",
            jobs="" if crew is not None else "JOIN jobs AS j ON j.id = a.job",
        )
        parameters = {**self._moment_parameters(batch_id), "crew": crew}
        async for rows in _chunks(connection, query, parameters):
            self._add(rows)
        async for rows in _chunks(connection, _WAITS, self._moment_parameters(batch_id)):
            self._add_waits(rows)

    def _moment_parameters(self, batch_id: int) -> dict[str, Any]:
        return {"batch": batch_id, "zero": _julian(self._axis), "now": self._now}

    def _add(self, rows: list[Any]) -> None:
        states, length, step = self._states, self._axis.seconds, self._axis.step
        last = self._axis.steps - 1
        for state, crew, price, started, kicked_off, seen, reported, accepted in rows:
            key = (crew, state, price)
            states[key] = states.get(key, 0) + 1
            # a clock that was set may have put them in another order
            start = min(max(started, 0.0), length)
            begin = min(max(kicked_off, start), length)
            end = min(max(seen, begin), length)
            true_end = end if reported is None or reported < 0 else min(end, begin + reported)
            kind = _KINDS.get(state, "unsuccessful")
            if not accepted and kind in _ACCEPTED:
                kind = UNANSWERED
            moments = self.moments[kind]
            for each, moment in (
                (moments.started, start),
                (moments.kicked_off, begin),
                (moments.ended, true_end),
                (moments.seen, end),
            ):
                place = min(int(moment / step), last)
                each.numbers[place] += 1
                each.seconds[place] += moment
            if state == "succeeded" and accepted:
                self._durations.add(crew, max(0.0, seen - kicked_off) if reported is None else max(0.0, reported))

    def _add_waits(self, rows: list[Any]) -> None:
        length, step, last = self._axis.seconds, self._axis.step, self._axis.steps - 1
        for state, since, until, seen in rows:
            moments = self.moments[kind_of(state)]
            begin = min(max(since, 0.0), length)
            end = min(max(min(until, seen), begin), length)
            for each, moment in ((moments.wait_began, begin), (moments.wait_ended, end)):
                place = min(int(moment / step), last)
                each.numbers[place] += 1
                each.seconds[place] += moment


async def task_durations(
    connection: aiosqlite.Connection, batch_id: int, crew: str | None
) -> tuple[DurationCount, ...]:
    """Return how long the tasks took, as far as the crews report it.

    Args:
        crew: the batch's one crew; None: it has several, and the counts do not name theirs.
    """
    durations = _Durations()
    async for rows in _chunks(connection, _TASKS, {"batch": batch_id}):
        for task, seconds in rows:
            durations.add(task, seconds)
    return durations.counts(tasks_of=crew or "")


async def _chunks(
    connection: aiosqlite.Connection, query: str, parameters: Parameters | Mapping[str, Any]
) -> AsyncIterator[list[Any]]:
    async with connection.execute(query, parameters) as cursor:
        while rows := list(await cursor.fetchmany(_CHUNK)):
            yield rows


_UNIX_EPOCH_AS_JULIAN = 2440587.5


def _julian(axis: Axis) -> float:
    """Return the start of the axis as SQLite's `julianday` returns it."""
    return _UNIX_EPOCH_AS_JULIAN + axis.start.timestamp() / 86400.0
