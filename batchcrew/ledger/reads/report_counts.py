"""Count the attempts and tasks of a batch for its report, in one pass over each: memory does not grow with them."""

import math
from array import array
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiosqlite

from batchcrew.ledger.fetch import Parameters, value
from batchcrew.ledger.fetch import rows as all_rows
from batchcrew.model.attempt import AttemptState
from batchcrew.model.report_facts import AttemptCount, AttemptMoments, Axis, DurationCount

_CHUNK = 10_000
_MOST_NAMES = 500
"""Crews, or tasks, whose durations are counted apart; a crew may name every task differently."""
MOST_TASK_RESULTS = 200_000
"""Executions of tasks that are counted: their rows are next to their outputs, which takes long to read."""
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
# from the index alone, apart from refused attempts: pages with answers are not read
_ENDED = """
FROM runs AS r CROSS JOIN attempts AS a INDEXED BY attempts_times
ON a.run_id = r.id AND a.state NOT IN ('intended', 'kicked_off')
"""
_OPEN = """
FROM attempts AS a INDEXED BY attempts_open JOIN runs AS r ON r.id = a.run_id AND a.state IN ('intended', 'kicked_off')
"""
_ATTEMPTS = """
SELECT CASE WHEN a.state = 'rejected' AND a.reason LIKE 'refused for now:%' THEN 'throttled' ELSE a.state END,
       a.job, a.sent_crew, a.run_id,
       (julianday(a.intended_at) - :zero) * 86400.0,
       (julianday(coalesce(a.kicked_off_at, a.ended_at, :now)) - :zero) * 86400.0,
       (julianday(coalesce(a.ended_at, :now)) - :zero) * 86400.0,
       CASE WHEN a.ended_at IS NOT NULL AND a.kicked_off_at IS NOT NULL
            AND NOT (:waits AND EXISTS (SELECT 1 FROM waits AS w WHERE w.attempt_id = a.id)) THEN a.execution_time END,
       a.kicked_off_at IS NOT NULL
{attempts} WHERE r.batch_id = :batch
"""
_CREWS = "SELECT id, crew FROM jobs WHERE batch_id = :batch"
_PRICES = """
SELECT c.run_id, c.crew, c.price FROM run_crews AS c JOIN runs AS r ON r.id = c.run_id
WHERE r.batch_id = :batch AND c.price IS NOT NULL
"""
_WAITS = """
SELECT a.state, (julianday(w.since) - :zero) * 86400.0,
       (julianday(coalesce(w.ended_at, a.ended_at, :now)) - :zero) * 86400.0,
       (julianday(coalesce(a.ended_at, :now)) - :zero) * 86400.0
FROM waits AS w JOIN attempts AS a ON a.id = w.attempt_id JOIN runs AS r ON r.id = a.run_id
WHERE r.batch_id = :batch
"""
# the latest ones first
_TASKS = """
SELECT t.task_id, t.execution_time FROM (SELECT id FROM runs WHERE batch_id = :batch ORDER BY rowid DESC) AS r
CROSS JOIN task_results AS t ON t.attempt_id >= r.id || '-' AND t.attempt_id < r.id || '.'
WHERE t.execution_time >= 0 LIMIT :most
"""


def kind_of(state: str) -> str:
    """Return the kind of attempts in this state: one of `KINDS`."""
    return _KINDS.get(state, "unsuccessful")


class _Durations:
    """Counts durations of executions, by name and by time."""

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


class _CrewsOfJobs:
    """The crew of each job of a batch, in two bytes for each.

    Args:
        one: the batch's one crew; None: it has several.
        first: the lowest row number of its jobs.
        size: how many row numbers there are from the first to the last.
    """

    def __init__(self, one: str | None, first: int = 0, size: int = 0) -> None:
        self._one = one
        self._first = first
        self._numbers = array("H", bytes(2 * size))
        self._names = [""]
        self._by_name: dict[str, int] = {}

    def add(self, job: int, crew: str) -> None:
        """Record the crew of a job."""
        number = self._by_name.get(crew)
        if number is None:
            number = self._by_name[crew] = min(len(self._names), 65535)
            self._names.append(crew)
        self._numbers[job - self._first] = number

    def crew_of(self, job: int) -> str:
        """Return the crew of a job."""
        return self._one if self._one is not None else self._names[self._numbers[job - self._first]]


async def _crews_of_jobs(connection: aiosqlite.Connection, batch_id: int, one: str | None) -> _CrewsOfJobs:
    if one is not None:
        return _CrewsOfJobs(one)
    (ends,) = await all_rows(connection, "SELECT min(id), max(id) FROM jobs WHERE batch_id = ?", (batch_id,))
    crews = _CrewsOfJobs(None, ends[0], ends[1] - ends[0] + 1)
    async for rows in _chunks(connection, _CREWS, {"batch": batch_id}):
        for job, crew in rows:
            crews.add(job, crew)
    return crews


class AttemptsCounted:
    """The counts of one pass over the attempts of a batch.

    Args:
        axis: that of the batch.
        now: the end, for now, of attempts in progress.
    """

    def __init__(self, axis: Axis, now: str) -> None:
        self.moments = {kind: AttemptMoments(axis.steps) for kind in KINDS}
        self._lists = {
            kind: tuple((each.numbers, each.seconds) for each in (its.started, its.kicked_off, its.ended, its.seen))
            for kind, its in self.moments.items()
        }
        self._axis = axis
        self._now = now
        self._durations = _Durations()
        self._states: dict[tuple[str, str, str | None], int] = {}

    @property
    def durations(self) -> tuple[DurationCount, ...]:
        """Durations of the successful executions of each crew."""
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
        waits = bool(await value(connection, "SELECT EXISTS (SELECT 1 FROM waits)"))
        parameters = {**self._moment_parameters(batch_id), "waits": waits}
        crews = await _crews_of_jobs(connection, batch_id, crew)
        prices = {(run, name): price for run, name, price in await all_rows(connection, _PRICES, {"batch": batch_id})}
        for attempts in (_ENDED, _OPEN):
            async for rows in _chunks(connection, _ATTEMPTS.format(attempts=attempts), parameters):
                self._add(rows, crews, prices)
        async for rows in _chunks(connection, _WAITS, self._moment_parameters(batch_id)):
            self._add_waits(rows)

    def _moment_parameters(self, batch_id: int) -> dict[str, Any]:
        return {"batch": batch_id, "zero": _julian(self._axis), "now": self._now}

    def _add(self, rows: list[Any], crews: "_CrewsOfJobs", prices: Mapping[tuple[str, str], str]) -> None:
        # it runs for each attempt of the batch, so it makes as few calls as possible
        states, length, step = self._states, self._axis.seconds, self._axis.step
        last, lists = self._axis.steps - 1, self._lists
        for state, job, sent_crew, run_id, start, begin, seen, reported, accepted in rows:
            crew = sent_crew or crews.crew_of(job)
            key = (crew, state, prices.get((run_id, crew)))
            states[key] = states.get(key, 0) + 1
            end, took = seen, seen - begin
            if not 0.0 <= start <= begin <= end <= length:  # a clock was set, or the attempt is from before the axis
                start = min(max(start, 0.0), length)
                begin = min(max(begin, start), length)
                end = min(max(seen, begin), length)
            true_end = end if reported is None or reported < 0 or begin + reported > end else begin + reported
            kind = _KINDS.get(state, "unsuccessful")
            if not accepted and kind in _ACCEPTED:
                kind = UNANSWERED
            started, kicked_off, ended, observed = lists[kind]
            for (numbers, seconds), moment in (
                (started, start),
                (kicked_off, begin),
                (ended, true_end),
                (observed, end),
            ):
                place = int(moment / step)
                if place > last:
                    place = last
                numbers[place] += 1
                seconds[place] += moment
            if state == "succeeded" and accepted:
                self._durations.add(crew, max(0.0, took if reported is None else reported))

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
    """Return how long the latest executions of tasks took, as far as the crews report it.

    Args:
        crew: the batch's one crew; None: it has several, and the counts do not name theirs.
    """
    durations = _Durations()
    async for rows in _chunks(connection, _TASKS, {"batch": batch_id, "most": MOST_TASK_RESULTS}):
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
