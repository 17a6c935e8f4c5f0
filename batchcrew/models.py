"""The nouns: Job, Attempt, Execution, and what a crew's answers mean. Frozen, no I/O.

job:     pending -> open -> succeeded | failed | held | cancelled        (retry: ended -> pending)
         succeeded -> stale (its inputs in the file changed) -> succeeded (kept, or changed back) | pending
attempt: intended -> kicked_off -> succeeded | failed | timed_out | lost | in_doubt | cancelled
                  \\-> rejected (the server refused, or the request never left)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "pending"  # waits for a slot (or for its retry's time)
    OPEN = "open"  # has an open attempt
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    HELD = "held"  # its kickoff is in doubt and a person decides
    CANCELLED = "cancelled"
    STALE = "stale"  # has succeeded, with other inputs than the file has now


ENDED_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.HELD, JobState.CANCELLED, JobState.STALE})


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


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file; `line` and `column` count from 1, 0 is unknown."""

    file: str
    line: int = 0
    column: int = 0


Duplicates = Literal["error", "skip", "number"]


@dataclass(slots=True, kw_only=True)
class Job:
    """One set of inputs for one crew.

    Treated as frozen; `frozen=True` would cost a microsecond a row, and a file has a million.
    """

    job_id: str
    crew: str
    inputs: dict[str, Any]
    meta: dict[str, Any]
    row: dict[str, Any]
    """The file's own columns, in its order and untouched: what exports give back."""
    where: Location
    duplicates: Duplicates | None = None
    """What happens when an earlier job is identical; None: the job has an id of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What one of the crew's tasks answered."""

    task_id: str
    output: str | None = None
    agent: str | None = None
    execution_time: float | None = None
    """Seconds, as the crew says."""


class ExecutionState(StrEnum):
    """What a status word means, whatever its dialect."""

    WAITING = "waiting"
    RUNNING = "running"
    WAITING_FOR_PERSON = "waiting_for_person"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One answer about an execution, understood."""

    state: ExecutionState
    word: str
    """The status word as it came."""
    known_word: bool = True
    """False when the word is in no table: then it is taken as running and warned about once."""
    output: str | None = None
    result_json: Json = None
    """The result as JSON, where the crew gave one beside or in place of text."""
    tasks: tuple[TaskResult, ...] = ()
    error: str | None = None
    execution_time: float | None = None
    token_usage: Mapping[str, Any] | None = None
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    answer: str = ""
    """The body as it came, whole."""

    @property
    def has_output(self) -> bool:
        """Whether there is anything in it: an empty text and null are nothing."""
        return bool((self.output or "").strip() or self.result_json or any(task.output for task in self.tasks))


# What the answer to a kickoff means (one class a line of the design's table).


@dataclass(frozen=True, slots=True)
class Accepted:
    """The crew runs under `kickoff_id`."""

    kickoff_id: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Refused for now (408, 425, 429, 503): uses up no attempt, slows this crew's kickoffs down."""

    reason: str
    retry_after: float | None = None
    """Seconds the server asked for; bounded by the client."""
    too_many: bool = False
    """429: the server counts what runs, or how often it is asked; the others say nothing about that."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never left: refused connection, DNS, TLS handshake."""

    reason: str
    local: bool = False
    """This machine is out of file descriptors: it says nothing about the crew."""


@dataclass(frozen=True, slots=True)
class BadInputs:
    """The server refuses these inputs for good (400, 422 and the like): the job fails."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """The crew cannot be worked with (401, 403, 404, 405): nothing more is started."""

    reason: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The request was sent and the answer is lost or makes no sense: the crew may be running."""

    reason: str


KickoffAnswer: TypeAlias = Accepted | Busy | NotSent | BadInputs | Unusable | Doubtful


@dataclass(frozen=True, slots=True)
class Unclear:
    """An answer to a status call that is no status: ask again later."""

    reason: str
    retry_after: float | None = None
    local: bool = False
    """This machine is out of file descriptors: it says nothing about the crew."""
    passing: bool = False
    """The server, or what is in front of it, is overloaded, starting or broken: it may soon answer otherwise."""


StatusAnswer: TypeAlias = Execution | Unusable | Unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewInput:
    """One input that a crew asks for."""

    name: str
    type: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewInputs:
    """The answer to `GET /inputs`."""

    inputs: tuple[CrewInput, ...]
    idempotent_kickoff: bool = False
    """The server said `Idempotency-Key: supported`: the same attempt may be sent again."""

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.inputs if entry.required)


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
    charged: int
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do, counted in jobs."""

    total: int = 0
    new: int = 0
    changed: int = 0
    """Their inputs (or their crew) differ from those that the ledger has."""
    stale: int = 0
    """Of the changed ones, those that have succeeded: they keep their answer unless a rerun is wanted."""
    running: int = 0
    """Of the changed ones, those in progress with their former inputs: their answer is stale when it comes."""
    again: int = 0
    """Of the changed ones, those that are pending now: they had not succeeded."""
    restored: int = 0
    """Changed back to inputs that they have an answer for."""
    reused: int = 0
    """They take over the answer of a job with the same inputs that is no longer in the file."""
    unchanged: int = 0
    gone: int = 0
    """In the ledger and no longer in the file: left alone."""
    vanished: int = 0
    """Of these, jobs that have succeeded, were in the file until now, and whose answer no other job takes over."""
    stale_jobs: tuple[str, ...] = ()
    """The ids of jobs that become stale (the first few)."""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs of a batch by state (those in the file), and what a person should know beside."""

    pending: int = 0
    open: int = 0
    succeeded: int = 0
    failed: int = 0
    held: int = 0
    cancelled: int = 0
    stale: int = 0
    gone: int = 0
    possible_duplicates: int = 0
    """Jobs that were kicked off again after an attempt that was in doubt, lost or timed out."""

    @property
    def total(self) -> int:
        return self.pending + self.open + self.succeeded + self.failed + self.held + self.cancelled + self.stale

    @property
    def left(self) -> int:
        return self.pending + self.open

    @property
    def ended(self) -> int:
        return self.total - self.left


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One ended or running job for a list: summary, `status`."""

    job_id: str
    crew: str
    state: JobState
    reason: str | None = None
    seconds: float | None = None
    """Wall seconds from kickoff to end."""
    attempts: int = 0
    kickoff_id: str | None = None


class StopReason(StrEnum):
    """Why a run stopped with work left."""

    SIGNAL = "signal"
    MAX_RUNTIME = "max_runtime"
    STOP_AFTER_FAILURES = "stop_after_failures"
    LIMIT = "limit"
    CREW_UNUSABLE = "crew_unusable"
    CANARY = "canary"  # too few of the first jobs succeeded
    MISSING_INPUTS = "missing_inputs"  # most jobs are missing an input that their crew requires
    BUDGET = "budget"  # max_kickoffs of the batch, or of a crew's month, is spent
    LEDGER = "ledger"  # it cannot be written
    FILE_DESCRIPTORS = "file_descriptors"  # this machine has none left for a connection


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended, for the summary and the exit code."""

    batch: str
    run_id: str | None
    """None when there was nothing to do and no run was opened."""
    counts: Counts
    wall_seconds: float = 0.0
    kickoffs: int = 0
    """Kickoffs that this run sent and a crew accepted."""
    stopped: StopReason | None = None
    stop_detail: str | None = None
    slowest: tuple[JobLine, ...] = ()
    failing: tuple[JobLine, ...] = ()
    duplicates: tuple[str, ...] = ()
    """job_ids kicked off again after an attempt in doubt (the first few)."""
    ledger: str = ""
    jobfile: str = ""
    jobfile_options: tuple[str, ...] = ()
    """Options, quoted, that the next command needs to read the job file in the same way."""
    plan: Plan | None = None
    warnings: tuple[str, ...] = field(default=())
    unanswered: int = 0
    """Of the open jobs, those whose kickoff has no answer yet: the next run settles them."""
    unsure: int = 0
    """Jobs with an attempt that timed out or was lost: `recheck` looks at them again."""
    crew_ended: bool = False
    """A crew was served for this run only: its executions in flight ended with it."""
    repeated: bool = False
    """A tick that stopped for the reason of the last one and changed nothing: a person knows already."""
    cost: str | None = None
    """What this run's kickoffs cost, retries included, where their price is known: `12.50 USD`.

    A range, `12.50 to 13.50 USD`, where kickoffs are in doubt."""
    program: str = "batchcrew"
    """How this batchcrew was called: commands that are shown start with it."""


# What the ledger tells of a batch, for `status`, `list`, `show` and exports.


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One job of an export: the file's own columns and what came of them."""

    job_id: str
    crew: str
    row: Mapping[str, Any]
    state: JobState
    output: str | None = None
    result_json: Json = None
    error: str | None = None
    attempts: int = 0
    """Attempts that were really kicked off (or are in doubt)."""
    kickoff_id: str | None = None
    started_at: str | None = None
    """UTC ISO-8601 text, when the latest attempt was kicked off."""
    ended_at: str | None = None
    execution_time: float | None = None
    """Seconds: as the crew says, else from kickoff to end as we saw it."""
    possible_duplicate: bool = False
    stale_output: str | None = None
    """Of a stale job: its answer to `stale_inputs`."""
    stale_inputs: Mapping[str, Any] | None = None
    """Of a stale job: the inputs that were sent, where they differ from the file's now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One batch for `list`."""

    batch: str
    counts: Counts
    jobfile: str
    created_at: str
    last_run_at: str | None = None
    running: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One call that worked on a batch, for `runs`."""

    run_id: str
    batch: str
    kind: str
    """run, tick, attach (also of `adopt`) or recheck."""
    started_at: str
    ended_at: str | None = None
    """None while it runs, or when it was killed."""
    running: bool = False
    kickoffs: int = 0
    cost: str | None = None
    """Of its kickoffs, as text (`12.50 USD`); None where no price is known, or it was killed."""
    exit_code: int | None = None
    stopped: str | None = None
    """Why it stopped with work left: a word of `StopReason`."""
    stop_detail: str | None = None
    """The same in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """One execution that is watched."""

    job_id: str
    crew: str
    kickoff_id: str | None
    """None while the kickoff is on the wire (or in doubt after a crash)."""
    since: str
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    status_word: str | None = None
    """The crew's own word for its status, as last seen."""
    unclear_answer: str | None = None
    """Why the latest polls got no status, while that lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """Everything `status` shows of one batch."""

    line: BatchLine
    in_flight: tuple[InFlight, ...] = ()
    failing: tuple[JobLine, ...] = ()
    """The latest failed or held jobs (the first few)."""
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDetail:
    """One attempt for `show`."""

    number: int
    attempt_id: str
    state: AttemptState
    kickoff_id: str | None = None
    intended_at: str = ""
    kicked_off_at: str | None = None
    ended_at: str | None = None
    reason: str | None = None
    execution_time: float | None = None
    output: str | None = None
    result_json: Json = None
    token_usage: Mapping[str, Any] | None = None
    tasks: tuple[TaskResult, ...] = ()
    answer: str | None = None
    """The crew's last answer as it came."""
    status_word: str | None = None
    """Of an execution in progress: the crew's own word for its status, as last seen."""
    unclear_answer: str | None = None
    """Of an execution in progress: why the latest polls got no status, while that lasts."""
    sent_inputs: Mapping[str, Any] | None = None
    """What it was started with, where its job has other inputs by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """One job for `show`."""

    batch: str
    job_id: str
    crew: str
    state: JobState
    inputs: Mapping[str, Any]
    meta: Mapping[str, Any]
    row: Mapping[str, Any]
    source: str
    """file:line where the job stands."""
    in_file: bool
    attempts: tuple[AttemptDetail, ...] = ()
