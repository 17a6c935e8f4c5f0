"""Progress as JSON lines, for `--log-format json`: one object an event, for a log collector.

Every object has `time` (UTC ISO-8601), `event`, `batch` and `run`; those of an attempt `job`, `attempt`, `number`,
`crew` and `kickoff_id` (null before the crew accepted it) as well. Only `--verbose` writes `kickoff_sent`, `polled` and
`understood`.
"""

import json
from typing import Any, Self, TextIO

from batchcrew.base.clock import Clock, to_text
from batchcrew.model.attempt import Attempt
from batchcrew.model.events import (
    Announced,
    AttemptEnded,
    CapacityChanged,
    ConcurrencyChanged,
    Controlled,
    Event,
    Expected,
    KickedOff,
    KickoffSent,
    LedgerChosen,
    PollDue,
    Polled,
    Progressed,
    RetriesHeldBack,
    RunStarted,
    Stopping,
    Understood,
    WaitEnded,
    WaitStarted,
    Warned,
)
from batchcrew.model.execution import Execution
from batchcrew.progress.lines import Lines


class JsonLogProgress:
    """Writes each event as one line.

    Args:
        verbose: write each request as well.
    """

    def __init__(self, stream: TextIO | None, clock: Clock, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._lines = Lines(stream)
        self._clock = clock
        self._batch: str | None = None
        self._run: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._batch, self._run = event.batch, event.run_id
                self._say("run_started", jobs=event.counts.total, left=event.counts.left, ledger=event.ledger)
            case KickedOff() | Progressed() | AttemptEnded() | WaitStarted() | WaitEnded():
                self._attempt(event)
            case Warned():
                self._say("warning", message=event.text)
            case LedgerChosen(ledger):
                self._say("ledger", ledger=ledger)
            case ConcurrencyChanged(crew, before, after, reason):
                self._say("concurrency", crew=crew, before=before, after=after, reason=reason)
            case RetriesHeldBack(crew):
                self._say("retries_held_back", crew=crew)
            case Controlled(message) | Expected(message):
                self._say("control" if isinstance(event, Controlled) else "forecast", message=message)
            case Stopping(detail, in_flight):
                self._say("stopping", detail=detail, in_flight=in_flight)
            case KickoffSent() | Polled() | Understood() | Announced():
                if self._verbose:
                    self._request(event)
            case CapacityChanged() | PollDue():
                pass

    def _attempt(self, event: KickedOff | Progressed | AttemptEnded | WaitStarted | WaitEnded) -> None:
        match event:
            case KickedOff(attempt, taken_up):
                self._say("taken_up" if taken_up else "kicked_off", **_of(attempt))
            case Progressed(attempt, execution):
                self._say(
                    "progress",
                    **_of(attempt),
                    word=execution.word,
                    current_task=execution.current_task,
                    completed_tasks=execution.completed_tasks,
                    total_tasks=execution.total_tasks,
                )
            case AttemptEnded(attempt, outcome, seconds):
                self._say(
                    "attempt_ended",
                    **_of(attempt),
                    state=outcome.attempt_state.value,
                    job_state=outcome.job_state.value,
                    reason=outcome.reason,
                    seconds=None if seconds is None else round(seconds, 3),
                    retry_in=outcome.retry_in or None,  # a refused kickoff is sent again when the crew allows it
                )
            case WaitStarted() | WaitEnded():
                self._say("wait_started" if isinstance(event, WaitStarted) else "wait_ended", **_of(event.attempt))

    def _request(self, event: KickoffSent | Polled | Understood | Announced) -> None:
        match event:
            case KickoffSent(attempt, again):
                self._say("kickoff_sent", **_of(attempt), again=again)
            case Polled(attempt, answer):
                known, problem = (answer, None) if isinstance(answer, Execution) else (None, answer.reason)
                self._say(
                    "polled",
                    **_of(attempt),
                    word=known.word if known else None,
                    state=known.state.value if known else None,
                    problem=problem,
                )
            case Announced(attempt):
                self._say("webhook", **_of(attempt))
            case Understood(crew, what, place):
                self._say("understood", crew=crew, what=what, place=place)

    def _say(self, event: str, **values: Any) -> None:
        said = {"time": to_text(self._clock.now()), "event": event, "batch": self._batch, "run": self._run, **values}
        # ASCII: neither an escape nor a lone surrogate of a crew's reaches a terminal or breaks a reader
        self._lines.write(json.dumps(said))


def _of(attempt: Attempt) -> dict[str, Any]:
    return {
        "job": attempt.job_id,
        "attempt": attempt.attempt_id,
        "number": attempt.number,
        "crew": attempt.crew,
        "kickoff_id": attempt.kickoff_id,
    }
