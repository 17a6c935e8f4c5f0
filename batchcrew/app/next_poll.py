"""When an execution in progress is polled next, as `show` prints it."""

from dataclasses import replace
from datetime import datetime, timedelta

from batchcrew.base.clock import from_text, to_text
from batchcrew.engine.observe.durations import Durations
from batchcrew.engine.observe.forecast import forecast
from batchcrew.ledger import BatchKey, Reading
from batchcrew.model.attempt import Attempt, AttemptState
from batchcrew.model.views import JobDetail, NextPoll

NOT_WATCHED = "no run watches this execution now; the next run or tick polls it"


async def with_next_poll(ledger: Reading, key: BatchKey, detail: JobDetail, now: datetime) -> JobDetail:
    """Return a job with the next poll of its execution in progress, if it has one."""
    if not any(attempt.state is AttemptState.KICKED_OFF for attempt in detail.attempts):
        return detail
    is_open = {attempt.attempt_id: attempt for _, attempt in await ledger.open_attempts(key) if attempt.kickoff_id}
    attempts = [
        replace(each, next_poll=await _next_poll(ledger, key, is_open[each.attempt_id], now))
        if each.attempt_id in is_open
        else each
        for each in detail.attempts
    ]
    return replace(detail, attempts=tuple(attempts))


async def _next_poll(ledger: Reading, key: BatchKey, attempt: Attempt, now: datetime) -> NextPoll:
    is_watched = any(run.running for run in await ledger.runs(key, 1))
    if not is_watched and attempt.watch is None:
        return NextPoll(at=None, seconds=None, reason=NOT_WATCHED)
    address = attempt.address or ""
    states = await ledger.durations([address])
    durations = Durations.restored(states[address]) if address in states else None
    kicked_off = from_text(attempt.kicked_off_at or attempt.intended_at)
    age = max(0.0, (now - kicked_off).total_seconds())
    settings = await ledger.polled_by(key)
    if is_watched or attempt.watch is None:
        due = forecast(age, settings, durations)
        wait = due.age - age
        at = to_text(now + timedelta(seconds=wait))
        return NextPoll(at=at, seconds=round(wait, 3), reason=due.reason, executions=due.executions)
    # a tick has decided it: the reason is that of its latest poll
    polled_at = attempt.watch.running_at
    before = 0.0 if polled_at is None else max(0.0, (from_text(polled_at) - kicked_off).total_seconds())
    due = forecast(before, settings, durations)
    at = attempt.watch.next_at
    return NextPoll(
        at=at,
        seconds=round((from_text(at) - now).total_seconds(), 3),
        reason=f"{due.reason}; the first tick after that polls it",
        executions=due.executions,
    )
