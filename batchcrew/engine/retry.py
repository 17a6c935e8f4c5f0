"""Decide how the end of an attempt changes its job, without I/O."""

import random
from dataclasses import replace

from batchcrew.base.quantities import format_duration
from batchcrew.base.reasons import is_permanent
from batchcrew.config.settings import Delivery, OnChange, RetryClass, RetrySettings
from batchcrew.model.attempt import AttemptState, Outcome
from batchcrew.model.control import Given
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import JobState
from batchcrew.model.verdict import Verdict, rejection

JITTER = 0.1
"""Waits differ by up to this share, so that jobs that failed together do not start again together."""


def jittered(seconds: float, rng: random.Random) -> float:
    """Return the wait with jitter, which is added after the maximum was applied: the longest waits differ too."""
    return seconds * rng.uniform(1 - JITTER, 1 + JITTER)


def next_wait(kind: RetryClass, *, attempts_used: int, retry: RetrySettings, rng: random.Random) -> float | None:
    """Return the seconds until a job whose attempt ended as `kind` is retried; None: it is not.

    Args:
        attempts_used: kickoffs of the job so far, this one included.
    """
    if kind not in retry.on or attempts_used >= retry.attempts:
        return None
    return jittered(min(retry.backoff * retry.factor ** (attempts_used - 1), retry.max), rng)


def ended(execution: Execution, *, attempts_used: int, retry: RetrySettings, rng: random.Random) -> Outcome:
    """Return the outcome of an execution that the crew reported as succeeded or failed."""
    if execution.state is ExecutionState.SUCCEEDED:
        return Outcome(attempt_state=AttemptState.SUCCEEDED, job_state=JobState.SUCCEEDED, execution=execution)
    reason = execution.error or f"the crew reported '{execution.word}' without a reason"
    return _failed(AttemptState.FAILED, "crew_error", reason, attempts_used, retry, rng, execution)


def judged(
    outcome: Outcome, verdict: Verdict, *, attempts_used: int, retry: RetrySettings, rng: random.Random
) -> Outcome:
    """Return the outcome of a succeeded execution whose answer was judged: a rejected one keeps all that it returned.

    Another kickoff would be paid for and may give the same answer, so it is retried only if `retry.on` says so.
    """
    if verdict.rejected is None:
        return outcome if verdict.lookalike is None else replace(outcome, lookalike=verdict.lookalike)
    reason = rejection(verdict.rejected)
    failed = _failed(AttemptState.FAILED, "rejected", reason, attempts_used, retry, rng, outcome.execution)
    return replace(failed, answer_rejected=verdict.rejected)


def outdated(outcome: Outcome, on_change: OnChange) -> Outcome:
    """Return the outcome for a job whose inputs were changed while it was in progress.

    An answer is stale at once; a job without one is kicked off with its new inputs.
    """
    if outcome.job_state is JobState.SUCCEEDED and on_change == "keep":
        return replace(outcome, job_state=JobState.STALE)
    return replace(outcome, job_state=JobState.PENDING, retry_in=None)


def lost(
    reason: str, *, attempts_used: int, delivery: Delivery, attached: bool, retry: RetrySettings, rng: random.Random
) -> Outcome:
    """Return the outcome of an execution that the crew no longer knows: it was paid for, and its result is lost.

    Another kickoff may be paid for a second time, so you decide under at_most_once, and for an id that you gave and may
    have mistyped.
    """
    if attached:
        reason += "; if that id is wrong, attach the right one"
    if attached or delivery == "at_most_once":
        return Outcome(attempt_state=AttemptState.LOST, job_state=JobState.HELD, reason=reason)
    return _failed(AttemptState.LOST, "lost", reason, attempts_used, retry, rng, None)


def timed_out(
    timeout: float, execution: Execution, *, attempts_used: int, retry: RetrySettings, rng: random.Random
) -> Outcome:
    """Return the outcome of an execution that still runs after its time."""
    said = f"; last status '{execution.word}'" if execution.word else ""
    reason = f"timed out after {format_duration(timeout)}{said}; the execution may still be running (and billed)"
    return _failed(AttemptState.TIMED_OUT, "timeout", reason, attempts_used, retry, rng, execution)


def waited_too_long(
    timeout: float, execution: Execution, *, attempts_used: int, retry: RetrySettings, rng: random.Random
) -> Outcome:
    """Return the outcome of an execution that got no human input in time."""
    reason = f"no human input within {format_duration(timeout)} (`human.timeout`); the execution still waits"
    return _failed(AttemptState.TIMED_OUT, "timeout", reason, attempts_used, retry, rng, execution)


def in_doubt(
    reason: str, *, attempts_used: int, delivery: Delivery, retry: RetrySettings, rng: random.Random
) -> Outcome:
    """Return the outcome of a kickoff that was sent and whose answer was lost: `delivery` decides."""
    state = AttemptState.IN_DOUBT
    if delivery == "at_most_once":
        return Outcome(attempt_state=state, job_state=JobState.HELD, reason=f"kickoff in doubt: {reason}")
    if attempts_used >= retry.attempts:
        return Outcome(
            attempt_state=state,
            job_state=JobState.FAILED,
            reason=f"kickoff in doubt, attempt {attempts_used} of {retry.attempts}: {reason}",
        )
    wait = jittered(min(retry.backoff * retry.factor ** (attempts_used - 1), retry.max), rng)
    return Outcome(attempt_state=state, job_state=JobState.PENDING, reason=f"kickoff in doubt: {reason}", retry_in=wait)


def refused(reason: str) -> Outcome:
    """Return the outcome of a kickoff that the server refused for now, or that did not reach it: it is sent again."""
    return replace(rejected(reason), retry_in=0.0)


def interrupted() -> Outcome:
    """Return the outcome of an execution that ended with the run that served its crew: the job starts again at once.

    It is not the job's failure, and not in doubt: the execution cannot continue.
    """
    return Outcome(
        attempt_state=AttemptState.CANCELLED,
        job_state=JobState.PENDING,
        reason="interrupted: the execution ended with the run that served its crew",
        retry_in=0.0,
        interrupted=True,
    )


def let_go(given: Given) -> Outcome:
    """Return the outcome of an attempt that an operator cancelled while its execution was in progress."""
    return Outcome(attempt_state=AttemptState.CANCELLED, job_state=JobState.CANCELLED, reason=given.let_go)


def rejected(reason: str, *, for_good: bool = False) -> Outcome:
    """Return the outcome of a kickoff that the server refused, or that never left: nothing was paid.

    Args:
        for_good: these inputs will never be accepted; the job fails.
    """
    return Outcome(
        attempt_state=AttemptState.REJECTED,
        job_state=JobState.FAILED if for_good else JobState.PENDING,
        reason=reason,
    )


def not_started(reason: str, *, attempts_used: int, retry: RetrySettings, rng: random.Random) -> Outcome:
    """Return the outcome of a kickoff that was answered with an error in place of a kickoff id: nothing was paid.

    It uses up an attempt, because the error may be about this job alone.
    """
    is_last = attempts_used >= retry.attempts
    wait = jittered(min(retry.backoff * retry.factor ** (attempts_used - 1), retry.max), rng)
    return Outcome(
        attempt_state=AttemptState.REJECTED,
        job_state=JobState.FAILED if is_last else JobState.PENDING,
        reason=reason,
        retry_in=None if is_last else wait,
        uses_attempt=True,
    )


def _failed(
    state: AttemptState,
    kind: RetryClass,
    reason: str,
    attempts_used: int,
    retry: RetrySettings,
    rng: random.Random,
    execution: Execution | None,
) -> Outcome:
    wait = next_wait(kind, attempts_used=attempts_used, retry=retry, rng=rng)
    if wait is not None and is_permanent(reason, retry.never):
        wait = None
    return Outcome(
        attempt_state=state,
        job_state=JobState.FAILED if wait is None else JobState.PENDING,
        reason=reason,
        execution=execution,
        retry_in=wait,
    )
