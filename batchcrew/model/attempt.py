"""An attempt: one kickoff of a job, and its outcome.

intended -> kicked_off -> succeeded | failed | timed_out | lost | in_doubt | cancelled
        \\-> rejected (the server refused, or the request never left)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batchcrew.model.execution import Execution
from batchcrew.model.job import JobState


class AttemptState(StrEnum):
    """Where an attempt stands."""

    INTENDED = "intended"  # durable before the POST leaves
    KICKED_OFF = "kicked_off"  # its kickoff_id is durable; the execution is watched
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the crew said so
    TIMED_OUT = "timed_out"  # it may still be running: the API has no cancel
    LOST = "lost"  # the crew no longer knows it
    IN_DOUBT = "in_doubt"  # the kickoff was sent and its answer was lost
    REJECTED = "rejected"  # the server refused it, or it never left; it cost nothing
    CANCELLED = "cancelled"


OPEN_ATTEMPT_STATES = frozenset({AttemptState.INTENDED, AttemptState.KICKED_OFF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How far the watching of an execution is, from one tick to the next."""

    asked: int
    """Questions for its status so far."""
    absent: int
    """Of those, how many in a row were answered with `not found`."""
    unclear: int
    """Polls in a row without a clear answer."""
    next_at: str
    """UTC text: not to be polled again before."""
    empty_since: str | None = None
    """UTC text: since when it is completed without an output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What an execution was last seen at, for `status` and `show` in another terminal."""

    status_word: str | None = None
    """The crew's own word: `warming up`."""
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    unclear_answer: str | None = None
    """Why the latest polls got no status, while that lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One kickoff of one job, with what the engine needs to live it through.

    `attempt_id` is a UUID; it is sent as `Idempotency-Key` and as `meta.batchcrew.attempt`.
    """

    attempt_id: str
    batch: str
    job_key: int
    """The ledger's row number of the job."""
    job_id: str
    crew: str
    number: int
    """1 for the first attempt of the job, rejected ones included."""
    attempts_used: int
    """Attempts of this job that count against `retry.attempts`, this one included."""
    inputs: Mapping[str, Any]
    meta: Mapping[str, Any]
    intended_at: str
    kickoff_id: str | None = None
    kicked_off_at: str | None = None
    watch: Watch | None = None
    """Where an earlier tick left off; None when no tick has polled yet."""
    address: str | None = None
    """Where it was kicked off, as `crew_address` writes it; None where the ledger does not know."""
    attached: bool = False
    """Its kickoff_id came from a person, who may have mistyped it."""
    outdated: bool = False
    """The file has other inputs for its job by now: its answer is stale as soon as it comes."""
    superseded: bool = False
    """Its job has another answer by now: the execution is watched to its end, and its job stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended, and what becomes of its job. A failure is a value, not an exception."""

    attempt_state: AttemptState
    job_state: JobState
    reason: str | None = None
    """Plain words, for every state but succeeded."""
    execution: Execution | None = None
    retry_in: float | None = None
    """Seconds until the job may start again; set when `job_state` is pending."""
