"""An attempt: one kickoff of a job, and its outcome.

intended -> kicked_off -> succeeded | failed | timed_out | lost | in_doubt | cancelled
        |-> succeeded | failed (the kickoff was answered with the result)
        \\-> rejected (the server refused, or the request never left)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batchcrew.model.execution import Execution
from batchcrew.model.job import JobState


class AttemptState(StrEnum):
    """The state of an attempt."""

    INTENDED = "intended"  # durable before the POST leaves
    KICKED_OFF = "kicked_off"  # its kickoff_id is durable; the execution is watched
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the crew reported it
    TIMED_OUT = "timed_out"  # it may still be running: the API has no way to cancel it
    LOST = "lost"  # the crew no longer knows it
    IN_DOUBT = "in_doubt"  # the kickoff was sent and its answer was lost
    REJECTED = "rejected"  # the server refused it, or it never left; it cost nothing
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The state of a tick's polls of an execution, stored for the next tick."""

    polls: int
    """Number of polls so far."""
    absent: int
    """Latest polls in a row that were answered with `not found`."""
    unclear: int
    """Latest polls in a row without a clear answer."""
    next_at: str
    """UTC text: time of the next poll."""
    empty_since: str | None = None
    """UTC text: when the crew first reported it as completed without an output."""
    running_at: str | None = None
    """UTC text: when a poll last found it running; None if none did, or if an earlier version polled it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The latest known progress of an execution, for `status` and `show` in another terminal."""

    status_word: str | None = None
    """The status word that the crew sent: `warming up`."""
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    unclear_answer: str | None = None
    """Why the latest polls got no status; None if they did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One kickoff of one job, with the data that the engine needs until it ends.

    `attempt_id` is a UUID; it is sent as `Idempotency-Key` and as `meta.batchcrew.attempt`.
    """

    attempt_id: str
    batch: str
    job_key: int
    """The ledger's row number of the job."""
    job_id: str
    crew: str
    number: int
    """1 for the first attempt of the job; rejected attempts count too."""
    attempts_used: int
    """Attempts of this job that count against `retry.attempts`, including this one."""
    inputs: Mapping[str, Any]
    meta: Mapping[str, Any]
    intended_at: str
    kickoff_id: str | None = None
    kicked_off_at: str | None = None
    watch: Watch | None = None
    """The polls of earlier ticks; None if no tick has polled yet."""
    address: str | None = None
    """The crew's URL at the kickoff, as `crew_address` writes it; None if it is unknown."""
    waited: float = 0.0
    """Seconds that its execution has waited for human input so far: they do not count as its time."""
    attached: bool = False
    """True: its kickoff_id was entered by hand, and may be mistyped."""
    outdated: bool = False
    """True: the file now has other inputs for its job, so its answer will be stale."""
    answered_at_once: bool = False
    """True: the kickoff was answered with the result, so it never was in progress in the ledger."""
    webhooks: bool = False
    """True: the kickoff of an earlier run named webhooks."""
    superseded: bool = False
    """True: its job now has another answer. The execution is watched to its end, and does not change its job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of an attempt, and its job's new state. A failure is a value, not an exception."""

    attempt_state: AttemptState
    job_state: JobState
    reason: str | None = None
    """The reason, for every state except succeeded."""
    execution: Execution | None = None
    retry_in: float | None = None
    """Seconds until the job is retried (0: at once); None for a pending job that starts as if it were new."""
    uses_attempt: bool = False
    """Whether it counts against `retry.attempts` although `attempt_state` is rejected."""
    interrupted: bool = False
    """True: batchcrew itself ended the execution, with the server of its crew; it does not count as an attempt."""
    answer_rejected: str | None = None
    """Why a rule of `accept:` rejects the answer; None: no rule does."""
    lookalike: str | None = None
    """Why the answer of a succeeded attempt may be useless: `an apology`."""
