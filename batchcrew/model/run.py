"""A run: its plan, its counts, and how it ended."""

from dataclasses import dataclass, field
from enum import StrEnum

from batchcrew.model.failures import FailureGroups
from batchcrew.model.job import JobState
from batchcrew.model.money import Spending
from batchcrew.model.webhook import WebhookCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a run, in numbers of jobs."""

    total: int = 0
    new: int = 0
    changed: int = 0
    """Jobs whose inputs or crew differ from those in the ledger."""
    stale: int = 0
    """Changed jobs that have succeeded: they keep their answer unless a rerun is requested."""
    running: int = 0
    """Changed jobs in progress with their former inputs: their answer will be stale."""
    again: int = 0
    """Changed jobs that become pending, because they had not succeeded."""
    restored: int = 0
    """Jobs that changed back to inputs that they have an answer for."""
    reused: int = 0
    """Jobs that reuse the answer of a job with the same inputs that is no longer in the file."""
    unchanged: int = 0
    removed: int = 0
    """Jobs of the ledger that are no longer in the file; they do not change."""
    removed_succeeded: int = 0
    """The `removed` jobs that have succeeded, were in the file until now, and whose answer no other job reuses."""
    stale_jobs: tuple[str, ...] = ()
    """The ids of jobs that become stale (the first few)."""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs of a batch by state, without those that are no longer in the file, and further counts."""

    pending: int = 0
    open: int = 0
    waiting: int = 0
    """Their executions wait for human input."""
    succeeded: int = 0
    failed: int = 0
    held: int = 0
    cancelled: int = 0
    stale: int = 0
    removed: int = 0
    """No longer in the file."""
    possible_duplicates: int = 0
    """Jobs that were kicked off again after an attempt that was in doubt, lost or timed out."""

    @property
    def total(self) -> int:
        return self.left + self.succeeded + self.failed + self.held + self.cancelled + self.stale

    @property
    def left(self) -> int:
        return self.pending + self.open + self.waiting

    @property
    def ended(self) -> int:
        return self.total - self.left


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One ended or running job in the summary or in `status`."""

    job_id: str
    crew: str
    state: JobState
    reason: str | None = None
    seconds: float | None = None
    """Seconds from kickoff to end."""
    attempts_used: int = 0
    """Attempts that count against `retry.attempts`."""
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
    BUDGET = "budget"  # max_kickoffs of the batch, or of a crew's month, is used up
    PAUSED = "paused"  # `batchcrew pause`
    COMMAND = "command"  # `batchcrew stop`
    WAITING = "waiting"  # only jobs that wait for human input are left
    LEDGER = "ledger"  # it cannot be written
    FILE_DESCRIPTORS = "file_descriptors"  # this machine has none left for a connection


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run, for the summary and the exit code."""

    batch: str
    run_id: str | None
    """None if there was nothing to do, so that no run was recorded."""
    counts: Counts
    wall_seconds: float = 0.0
    kickoffs: int = 0
    """Kickoffs that this run sent and a crew accepted."""
    stopped: StopReason | None = None
    stop_detail: str | None = None
    slowest: tuple[JobLine, ...] = ()
    failing: tuple[JobLine, ...] = ()
    failures: FailureGroups = field(default_factory=FailureGroups)
    duplicates: tuple[str, ...] = ()
    """job_ids kicked off again after an attempt in doubt (the first few)."""
    without_output: int = 0
    """Jobs that succeeded without an output."""
    without_output_jobs: tuple[str, ...] = ()
    """Their job_ids (the first few)."""
    lookalikes: int = 0
    """Jobs of this run that succeeded with an answer that may be useless."""
    lookalike_example: tuple[str, str] | None = None
    """The job_id of the first one, and why its answer may be useless: `an apology`."""
    ledger: str = ""
    jobfile: str = ""
    jobfile_options: tuple[str, ...] = ()
    """Options, quoted for a shell, that the next command needs to read the job file in the same way."""
    plan: Plan | None = None
    warnings: tuple[str, ...] = ()
    """Each warning of this run once, as a clean line; the number is bounded."""
    unanswered: int = 0
    """Open jobs whose kickoff has no answer; the next run decides about them."""
    unsure: int = 0
    """Jobs with an attempt that timed out or was lost; `recheck` polls them again."""
    crew_ended: bool = False
    """True: a crew was served for this run only, so its executions in progress ended with the run."""
    interrupted: int = 0
    """Executions that ended with an earlier run, which served their crew; their jobs have started again."""
    interrupted_jobs: tuple[str, ...] = ()
    """Their job_ids (the first few)."""
    reports: tuple[str, ...] = ()
    """Files that `reports:` of the job file requests, and that were written."""
    missing_reports: tuple[str, ...] = ()
    """Names of reports that could not be written; a warning gives the reason."""
    repeated: bool = False
    """True: a tick that stopped for the same reason as the last one and changed nothing."""
    webhooks: WebhookCounts | None = None
    """The webhooks of this run; None if none were requested."""
    spending: Spending = field(default_factory=Spending)
    """Tokens and cost of this run's kickoffs, including retries."""
    program: str = "batchcrew"
    """The program name that batchcrew was called with, with which printed commands start."""

    @property
    def cost(self) -> str | None:
        """The cost of this run's kickoffs, if their price is known: `12.50 USD`.

        A range, `12.50 to 13.50 USD`, if kickoffs are in doubt."""
        return self.spending.spent.text
