"""Progress without a terminal: few, greppable lines for a log or cron's mail.

2026-02-03T04:05:06Z travel: start: 24 jobs, 0 succeeded, 24 left; concurrency 10; crew default (…); ledger …
2026-02-03T04:05:36Z travel: job tokyo: failed: the crew said: no flights
2026-02-03T04:05:40Z travel: progress: 12 of 24 ended (11 succeeded, 1 failed), 10 in progress, …
"""

from typing import Self, TextIO

from batchcrew.base.clock import Clock
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_text
from batchcrew.model.attempt import AttemptState
from batchcrew.model.events import (
    AttemptEnded,
    Controlled,
    Event,
    Expected,
    LedgerChosen,
    RunStarted,
    Stopping,
    WaitStarted,
    Warned,
)
from batchcrew.model.job import JobState
from batchcrew.progress.lines import Lines, warning_line
from batchcrew.progress.requests import request_line
from batchcrew.progress.tally import Tally
from batchcrew.reports.commands import status_command

MOST_LINES = 50
"""Lines of one kind (failures, retries, warnings) before the rest is only in the ledger."""
_LONGEST = 300
_TENTHS = 10
_MINUTE = 60.0


class PlainProgress:
    """Prints a line at the start, at each tenth of the run's work or minute, and for each failure, retry and warning.

    Args:
        brief: omit the start and the progress, as a tick takes only a moment.
        verbose: print a line for each request, and every failure, retry and warning.
    """

    def __init__(self, stream: TextIO | None, clock: Clock, *, brief: bool = False, verbose: bool = False) -> None:
        self._verbose = verbose
        self._lines = Lines(stream)
        self._brief = brief
        self._clock = clock
        self._tally = Tally(clock)
        self._said = {"failures": 0, "retries": 0, "warnings": 0, "jobs that wait for human input": 0}
        self._tenths = 0
        self._line_at = clock.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def observe(self, event: Event) -> None:
        self._tally.observe(event)
        if self._verbose and (line := request_line(event)) is not None:
            self._say(line)
        match event:
            case RunStarted() if not self._brief:
                self._start(event)
            case AttemptEnded():
                self._ended(event)
            case Warned():
                self._say_some("warnings", warning_line(event))
            case Controlled(message) | Expected(message) if not self._brief:
                self._say(clean_text(message, limit=_LONGEST))
            case WaitStarted(attempt):
                job = clean_text(attempt.job_id, limit=80)
                self._say_some("jobs that wait for human input", f"job {job}: waiting for human input")
            case LedgerChosen(ledger):
                self._say(f"ledger: {clean_text(ledger)}")
            case Stopping(detail, in_flight):
                self._say(f"stopping: {clean_text(detail, limit=_LONGEST)}; {in_flight} in progress")
            case _:
                pass
        self._progress()

    def _start(self, event: RunStarted) -> None:
        counts = event.counts
        self._line_at = self._clock.monotonic()
        self._say(
            f"start: {counts.total} {'job' if counts.total == 1 else 'jobs'}, {counts.succeeded} succeeded, "
            f"{counts.left} left; "
            f"concurrency {'auto, at most ' if event.adaptive else ''}{event.concurrency}; "
            f"{'crew' if len(event.crews) == 1 else 'crews'} {clean_text(', '.join(event.crews), limit=_LONGEST)}; "
            f"ledger {clean_text(event.ledger)}"
        )

    def _ended(self, event: AttemptEnded) -> None:
        outcome, job = event.outcome, clean_text(event.attempt.job_id, limit=80)
        reason = clean_text(outcome.reason or outcome.attempt_state.value.replace("_", " "), limit=_LONGEST)
        if outcome.job_state in {JobState.FAILED, JobState.HELD}:
            self._say_some("failures", f"job {job}: {outcome.job_state}: {reason}")
        elif outcome.job_state is JobState.PENDING and outcome.attempt_state is not AttemptState.REJECTED:
            when = "" if outcome.retry_in is None else f" in {format_duration(outcome.retry_in)}"
            self._say_some("retries", f"job {job}: retrying{when} after attempt {event.attempt.number}: {reason}")
        elif outcome.job_state is JobState.PENDING and self._verbose:
            self._say(f"job {job}: kickoff refused, to be sent again: {reason}")
        elif self._verbose:
            self._say(f"job {job}: {outcome.job_state}")

    def _progress(self) -> None:
        tally, now = self._tally, self._clock.monotonic()
        if tally.run is None or self._brief:
            return
        to_do = tally.run.counts.left
        tenths = tally.pace.ended * _TENTHS // to_do if to_do else 0
        if tenths <= self._tenths and now - self._line_at < _MINUTE:
            return
        self._tenths, self._line_at = max(tenths, self._tenths), now
        ended = ", ".join(f"{number} {state}" for state, number in tally.ended.items() if number) or "0 succeeded"
        line = f"progress: {tally.ended_jobs} of {tally.total} ended ({ended}), {len(tally.in_flight)} in progress"
        if tally.waiting:
            line += f", {tally.waiting} waiting for human input"
        self._say(", ".join([line, *tally.pace_words(now, dash="-")]))

    def _say_some(self, kind: str, text: str) -> None:
        self._said[kind] += 1
        if self._verbose or self._said[kind] <= MOST_LINES:
            self._say(text)
        elif self._said[kind] == MOST_LINES + 1:
            run, where = self._tally.run, ""
            if run is not None and kind != "warnings":
                where = f"; the ledger has them: {status_command(run.batch, run.ledger, run.program)}"
            self._say(f"further {kind} are not shown{where}")

    def _say(self, text: str) -> None:
        batch = clean_text(self._tally.run.batch, limit=80) if self._tally.run else "batchcrew"
        self._lines.write(f"{self._clock.now():%Y-%m-%dT%H:%M:%SZ} {batch}: {text}")
