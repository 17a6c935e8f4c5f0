"""Stop a run whose crew fails on everything: failures in a row, kept from run to run, and the probe after a stop.

A row is a crew's executions that failed, were lost or timed out, one after another as they ended, with no success
between them; every attempt counts, so retries do. It is written in the transaction of the outcome, so that a process
that is killed loses none of it.

While a crew's row has n failures, at most `in_a_row - n` of its executions may be in progress: they could all fail
alike. So a hopeless crew costs `in_a_row` kickoffs, or `concurrency` where that is more. A success ends the row, and
with it this limit; a healthy crew with an occasional failure is not slowed down. Once the row is as long as `in_a_row`,
the run stops. The next one starts a single job, the probe, and nothing else before that has ended.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Protocol

from batchcrew.base.clock import Clock, from_text, to_text
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.config.limits import FailureLimit
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.model.attempt import Attempt, AttemptState, Outcome

FREE_TICK_PROBES = 3
"""Failed probes after which ticks wait longer and longer before the next one, because ticks come each minute and no
operator watches them."""
FIRST_TICK_WAIT_SECONDS = 300.0
LONGEST_TICK_WAIT_SECONDS = 3600.0
_REASON_CHARACTERS = 300
_BAD_ENDS = frozenset({AttemptState.FAILED, AttemptState.LOST, AttemptState.TIMED_OUT})


@dataclass(slots=True)
class Streak:
    """One crew's failures in a row."""

    failed: int = 0
    """Number of failures in a row for any reason."""
    alike: int = 0
    """The latest of them, as far back as their reasons are the same."""
    probes: int = 0
    """Probes among them: executions that started after a run had stopped for this row."""
    fingerprint: str | None = None
    reason: str = ""
    at: str = ""
    """UTC text, when the latest ended."""

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "Streak":
        """Read the state that a run has saved; unknown keys are ignored."""
        return cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})


class CrewLoad(Protocol):
    """The work of a crew: its jobs in progress and those that may start."""

    @property
    def name(self) -> str: ...

    @property
    def in_use(self) -> int:
        """Slots in use."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether none of its jobs can start."""
        ...


class FailureStreaks:
    """Counts each crew's failures in a row, and decides what may start and when to stop.

    Args:
        limit: `stop_after_failures`; without `in_a_row`, rows are counted and stop nothing.
        run_id: of this run; its attempts' ids begin with it.
        single_pass: True for a tick.
    """

    def __init__(self, limit: FailureLimit | None, *, run_id: str, clock: Clock, single_pass: bool) -> None:
        self._streaks: dict[str, Streak] = {}
        self._limit = limit
        self._most = None if limit is None else limit.in_a_row
        self._run_id = run_id
        self._clock = clock
        self._single_pass = single_pass

    async def read(self, ledger: Ledger, batch: BatchKey) -> str | None:
        """Read the rows that the last run has saved. Returns what to report if one job starts as a probe now."""
        states = await ledger.failure_streaks(batch)
        pending = await ledger.pending_crews(batch)
        self._streaks = {crew: Streak.load(state) for crew, state in states.items()}
        for crew, streak in self._streaks.items():
            if pending.get(crew) and self._tripped(streak) and self._probe_is_due(streak):
                return f"{self._row(streak)}: one job starts as a probe; the others start once it succeeds"
        return None

    def count(self, attempt: Attempt, outcome: Outcome) -> str | None:
        """Count an ended attempt. Returns all rows as JSON if that changed one."""
        before = self._streaks.get(attempt.crew, Streak())
        if outcome.attempt_state is AttemptState.SUCCEEDED:
            if not before.failed:
                return None
            self._streaks[attempt.crew] = Streak()
        elif outcome.attempt_state in _BAD_ENDS and not self._forgotten_with_its_server(attempt, outcome):
            reason = outcome.reason or ""
            fingerprint = reason_fingerprint(reason)
            alike = before.alike if fingerprint == before.fingerprint else 0
            # an execution that was in progress at the stop is not a probe, which starts after the latest failure
            probe = self._tripped(before) and attempt.intended_at >= before.at
            streak = self._streaks[attempt.crew] = Streak(
                failed=before.failed + 1,
                alike=alike + 1,
                probes=before.probes + probe,
                fingerprint=fingerprint,
                reason=" ".join(reason[: 2 * _REASON_CHARACTERS].split())[:_REASON_CHARACTERS],
                at=to_text(self._clock.now()),
            )
            if not self._tripped(streak):
                streak.probes = 0
        else:
            return None
        return json.dumps({crew: asdict(streak) for crew, streak in self._streaks.items()})

    def why_stop(self, crew: str | None) -> str | None:
        """Return why the run must stop after the attempts of the crew that `count` has counted, or None."""
        streak = self._streaks.get(crew) if crew is not None else None
        return None if streak is None or not self._tripped(streak) else f"{self._row(streak)}; {_NEXT_RUN}"

    def available(self, crew: CrewLoad, crews: Iterable[CrewLoad]) -> float:
        """Return how many kickoffs of a crew may leave now, by its row and by the probes of the other crews."""
        if self._most is None:
            return float("inf")
        if any(self._probes(other) for other in crews if other is not crew) and not self._is_tripped(crew.name):
            return 0
        streak = self._streaks.get(crew.name)
        if streak is None or not self._length(streak):
            return float("inf")
        if self._tripped(streak) and not self._probe_is_due(streak):
            return 0
        return max(0, max(1, self._most - self._length(streak)) - crew.in_use)

    def why_no_probe(self, crews: Iterable[CrewLoad]) -> str | None:
        """Return why a tick starts no probe yet, or None."""
        for crew in crews:
            streak = self._streaks.get(crew.name)
            if streak and not crew.exhausted and self._tripped(streak) and not self._probe_is_due(streak):
                next_at = to_text(from_text(streak.at) + timedelta(seconds=self._wait_seconds(streak)))
                return f"{self._row(streak)}; ticks start the next probe at {next_at}, `run` starts one immediately"
        return None

    def _probes(self, crew: CrewLoad) -> bool:
        """Return whether a probe of the crew is in progress or can start."""
        return self._is_tripped(crew.name) and (crew.in_use > 0 or not crew.exhausted)

    def _is_tripped(self, crew: str) -> bool:
        return crew in self._streaks and self._tripped(self._streaks[crew])

    def _tripped(self, streak: Streak) -> bool:
        return self._most is not None and self._length(streak) >= self._most

    def _length(self, streak: Streak) -> int:
        return streak.alike if self._limit is None or self._limit.same else streak.failed

    def _row(self, streak: Streak) -> str:
        same = self._limit is None or self._limit.same
        alike = " with the same reason" if same else ", most recently"
        return f"{self._length(streak)} executions in a row failed{alike}: {streak.reason}"

    def _probe_is_due(self, streak: Streak) -> bool:
        wait = self._wait_seconds(streak)
        if not wait:
            return True
        # a clock that was set back must not make a wait longer
        return not 0 <= (self._clock.now() - from_text(streak.at)).total_seconds() < wait

    def _wait_seconds(self, streak: Streak) -> float:
        """Return how long after the latest failure the next probe may start: 0 in a run and in the first ticks."""
        over = streak.probes - FREE_TICK_PROBES
        if not self._single_pass or over < 0:
            return 0.0
        return min(FIRST_TICK_WAIT_SECONDS * 2.0 ** min(over, 10), LONGEST_TICK_WAIT_SECONDS)

    def _forgotten_with_its_server(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Return whether a lost execution is of an earlier run: a server that restarts loses all of them at once."""
        earlier = not attempt.attempt_id.startswith(f"{self._run_id}-")
        return outcome.attempt_state is AttemptState.LOST and earlier and not self._single_pass


_NEXT_RUN = "the next run starts one job as a probe"


def failed_jobs(limit: FailureLimit | None, *, failed: int, ended: int) -> str | None:
    """Return why the run must stop by the number or the share of its failed jobs, or None."""
    if limit is None or not limit.reached(failed=failed, ended=ended):
        return None
    return f"{failed} of {ended} jobs failed (stop_after_failures: {limit})"
