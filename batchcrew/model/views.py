"""The results of the ledger's queries for `status`, `list`, `show`, `runs` and exports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchcrew.model.attempt import AttemptState
from batchcrew.model.control import Control, ControlLine
from batchcrew.model.execution import Json, TaskResult
from batchcrew.model.failures import FailureGroups
from batchcrew.model.job import JobState
from batchcrew.model.money import Used
from batchcrew.model.run import Counts, JobLine
from batchcrew.model.waits import WaitLine
from batchcrew.model.webhook import WebhookCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow(Used):
    """One job of an export: the file's columns, the job's result, and what all its attempts used."""

    job_id: str
    crew: str
    row: Mapping[str, Any]
    state: JobState
    output: str | None = None
    result_json: Json = None
    reason: str | None = None
    """The reason why the job has not succeeded; exports call it `error`."""
    attempts_used: int = 0
    """Attempts that were kicked off, or are in doubt; exports call it `attempts`."""
    kickoff_id: str | None = None
    kicked_off_at: str | None = None
    """UTC ISO-8601 text, of the latest attempt; exports call it `started_at`."""
    ended_at: str | None = None
    execution_time: float | None = None
    """Seconds: as the crew reports them, else from kickoff to the observed end."""
    possible_duplicate: bool = False
    stale_output: str | None = None
    """The answer of a stale job to `stale_inputs`."""
    stale_inputs: Mapping[str, Any] | None = None
    """The inputs that were sent for a stale job, if they differ from those in the file."""
    quoting: str | None = None
    """Marks of the row's cells that were quoted in its file, `1` or `0` each; None: as the file's style says."""
    artifacts: tuple[str, ...] = ()
    """Paths of the files that the tasks of the latest attempt have written, if the selection requests them."""
    task: TaskResult | None = None
    """One of the latest attempt's tasks, in an export with a row for each."""
    attempt: "AttemptDetail | None" = None
    """One of the job's attempts, in an export with a row for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTotals:
    """The totals of all runs of a batch so far."""

    runs: int = 0
    """Runs, ticks and other calls that worked on the batch."""
    kickoffs: int = 0
    cost: str | None = None
    """The cost of the kickoffs, `12.50 USD`, or a range; None if no price is known."""
    costs: Sequence[Mapping[str, str]] = field(default_factory=list)
    """The exact amounts, see `Money.as_list`."""
    without_tokens: int = 0
    """Ended executions whose tokens have a price and are not known: `cost` has only their kickoff."""
    tokens: int | None = None
    """The number of tokens that the crew reports; None if it reports none."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0
    """The time that the runs took; that of a killed run is not known."""
    kickoffs_per_minute: float | None = None
    """The rate of runs; None if there were only ticks."""
    last_exit_code: int | None = None
    """The exit code of the latest run or tick; None while it runs, or if it was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One batch for `list`."""

    batch: str
    counts: Counts
    jobfile: str
    created_at: str
    last_run_at: str | None = None
    running: bool = False
    totals: BatchTotals = BatchTotals()
    without_output: int = 0
    """Jobs that succeeded without an output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run of a batch, for `runs`."""

    run_id: str
    batch: str
    kind: str
    """run, tick, attach (also of `adopt`) or recheck."""
    started_at: str
    ended_at: str | None = None
    """None while it runs, or if it was killed."""
    running: bool = False
    kickoffs: int = 0
    cost: str | None = None
    """The cost of its kickoffs as text (`12.50 USD`); None if no price is known."""
    costs: Sequence[Mapping[str, str]] = field(default_factory=list)
    """The exact amounts, see `Money.as_list`."""
    without_tokens: int = 0
    """Ended executions whose tokens have a price and are not known: `cost` has only their kickoff."""
    prompt_tokens: int | None = None
    """Tokens of all its kickoffs, as the crew reports them; None if it reports none."""
    completion_tokens: int | None = None
    total_tokens: int | None = None
    exit_code: int | None = None
    stopped: str | None = None
    """The reason why it stopped with work left: a word of `StopReason`."""
    stop_detail: str | None = None
    """The same as a sentence."""
    commands: tuple[ControlLine, ...] = ()
    """Commands that operators gave to the batch from its start to that of the next run, the latest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """One execution in progress."""

    job_id: str
    crew: str
    kickoff_id: str | None
    """None while the kickoff is being sent, or is in doubt after a crash."""
    since: str
    current_task: str | None = None
    completed_tasks: int | None = None
    total_tasks: int | None = None
    status_word: str | None = None
    """The latest status word that the crew sent."""
    unclear_answer: str | None = None
    """Why the latest polls got no status; None if they did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewSlots:
    """The number of slots that `concurrency: auto` last gave a crew in the latest run."""

    crew: str
    slots: int
    since: str
    """UTC text."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRetries:
    """Retries of a crew that are due and wait while the crew has new jobs."""

    crew: str
    retries: int
    new_jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """Everything that `status` shows about one batch."""

    line: BatchLine
    in_flight: tuple[InFlight, ...] = ()
    waiting: tuple[WaitLine, ...] = ()
    """Jobs whose executions wait for human input (the first few)."""
    slots: tuple[CrewSlots, ...] = ()
    """By crew; empty unless the latest run has `concurrency: auto` and has changed a number."""
    due_retries: tuple[DueRetries, ...] = ()
    """By crew; empty unless the batch runs."""
    webhooks: WebhookCounts | None = None
    """The webhooks of the latest run; None if it requested none."""
    failing: tuple[JobLine, ...] = ()
    """The latest failed or held jobs (the first few)."""
    failures: FailureGroups = field(default_factory=FailureGroups)
    duplicates: tuple[str, ...] = ()
    control: Control = field(default_factory=Control)
    """The commands of operators in force."""
    without_output_jobs: tuple[str, ...] = ()
    """The ids of jobs that succeeded without an output (the first few)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPoll:
    """The time of the next poll of an execution in progress, and the reason for it."""

    at: str | None
    """UTC text, approximate; None while no run watches the execution."""
    seconds: float | None
    """Until then; negative where it is overdue."""
    reason: str
    executions: int = 0
    """Ended executions of the crew from which this was learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDetail(Used):
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
    """The latest answer that the crew sent."""
    status_word: str | None = None
    """The latest status word that the crew sent, for an execution in progress."""
    unclear_answer: str | None = None
    """The reason why the latest polls got no status, for an execution in progress; None if they did."""
    first_answer: str | None = None
    """The first answer that was not understood, as it came, up to a limit; None: all were."""
    sent_inputs: Mapping[str, Any] | None = None
    """The inputs that it was started with, if its job has other inputs now."""
    next_poll: NextPoll | None = None
    """Of an execution in progress."""
    artifacts: tuple[str, ...] = ()  # paths of the files that its tasks have written


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
    """file:line of the job."""
    in_file: bool
    attempts: tuple[AttemptDetail, ...] = ()
    cost: str | None = None
    """The cost of all attempts, `0.50 USD`; None if no price is known."""
    waiting: WaitLine | None = None
    """The human input that it waits for."""
