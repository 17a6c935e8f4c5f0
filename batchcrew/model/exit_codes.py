"""The exit codes of `batchcrew`: their meanings, and every decision about one.

Cron jobs and monitors rely on these numbers. `batchcrew --help` prints `SHORT_MEANINGS`, and the table in README.md has
`MEANINGS`; tests/unit/test_docs.py compares them.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

from batchcrew.base.errors import (
    BatchBusy,
    BatchcrewError,
    CrewUnusable,
    JobFileError,
    LedgerTooOld,
    NeedsConsent,
    NotInLedger,
    OutputClosed,
    OutputError,
    StoppedEarly,
    UsageError,
)

if TYPE_CHECKING:
    from batchcrew.model.answers import AnswerResult
    from batchcrew.model.run import Counts, RunResult


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    SUCCEEDED = 0
    JOBS_FAILED = 1
    USAGE = 2
    STOPPED = 3
    BUSY = 4
    CREW_UNUSABLE = 5
    DEFECT = 70


MEANINGS = {
    ExitCode.SUCCEEDED: "every job has succeeded",
    ExitCode.JOBS_FAILED: "the batch is finished, and some jobs have failed, are on hold, or are stale",
    ExitCode.USAGE: "the command or the job file is wrong (nothing was started), or stdout cannot be written",
    ExitCode.STOPPED: "the run stopped with work left (a signal, a pause, `max_runtime`, a limit, a failed canary, jobs"
    " that wait for human input, a tick): run it again to resume; or its plan needs your consent, and nothing was"
    " started",
    ExitCode.BUSY: "another run holds this batch; nothing was done",
    ExitCode.CREW_UNUSABLE: "the crew cannot be used (unreachable, 401/403, wrong URL); no job was marked failed",
    ExitCode.DEFECT: "an internal error, or the ledger cannot be written; the ledger shows the executions in progress",
}
SHORT_MEANINGS = {
    ExitCode.SUCCEEDED: "every job succeeded",
    ExitCode.JOBS_FAILED: "finished with failures",
    ExitCode.USAGE: "wrong usage or job file",
    ExitCode.STOPPED: "stopped with work left (run it again)",
    ExitCode.BUSY: "another run holds the batch",
    ExitCode.CREW_UNUSABLE: "a crew is unusable",
    ExitCode.DEFECT: "internal error, or the ledger cannot be written",
}

WRONG_COMMAND_LINE = ExitCode.USAGE
"""click refused the command line."""
INTERRUPTED = ExitCode.STOPPED
"""A signal or Ctrl-C ended the process, or a prompt."""
INTERNAL_ERROR = ExitCode.DEFECT
"""An exception that batchcrew does not raise on purpose."""

_OF_ERRORS: dict[type, ExitCode] = {
    BatchcrewError: ExitCode.DEFECT,
    UsageError: ExitCode.USAGE,
    JobFileError: ExitCode.USAGE,
    NeedsConsent: ExitCode.STOPPED,
    StoppedEarly: ExitCode.STOPPED,
    BatchBusy: ExitCode.BUSY,
    CrewUnusable: ExitCode.CREW_UNUSABLE,
    OutputError: ExitCode.USAGE,
    OutputClosed: ExitCode.SUCCEEDED,
    LedgerTooOld: ExitCode.USAGE,
    NotInLedger: ExitCode.USAGE,
}


def of_error(error: BatchcrewError) -> ExitCode:
    """Return the exit code of an error that ends a command: that of its class, else of the nearest base class."""
    return next(_OF_ERRORS[kind] for kind in type(error).__mro__ if kind in _OF_ERRORS)


def of_run(result: "RunResult") -> ExitCode:
    """Return the exit code of a run.

    A run that stopped with work left is 3 even if jobs have failed, because cron's next run resumes the batch. A run
    that was stopped just as its last job ended is judged by its jobs.
    """
    from batchcrew.model.run import StopReason  # noqa: PLC0415 - `batchcrew --help` imports this module without it

    if result.stopped is StopReason.CREW_UNUSABLE:
        return ExitCode.CREW_UNUSABLE
    if result.stopped is StopReason.MISSING_INPUTS:
        return ExitCode.USAGE
    return _of_jobs(result.counts)


def of_recheck(counts: "Counts", *, stopped: bool, no_clear_answer: bool) -> ExitCode:
    """Return the exit code of `recheck`.

    Args:
        counts: the jobs of the batch after it.
        stopped: whether a signal ended it before all executions were polled.
        no_clear_answer: whether executions were polled, and the crew gave no clear answer about any.
    """
    if no_clear_answer:
        return ExitCode.CREW_UNUSABLE
    return ExitCode.STOPPED if stopped else _of_jobs(counts)


def of_judge(counts: "Counts", *, dry_run: bool) -> ExitCode:
    """Return the exit code of `judge`: that of a run which leaves these jobs; 0 if nothing was to be changed."""
    return ExitCode.SUCCEEDED if dry_run else _of_jobs(counts)


def of_answers(result: "AnswerResult") -> ExitCode:
    """Return the exit code of `answer`."""
    from batchcrew.model.answers import Finding  # noqa: PLC0415 - as above

    found = result.found
    if found[Finding.NOT_SENT] and found[Finding.NOT_SENT] == found.total():
        return ExitCode.CREW_UNUSABLE
    if result.stopped or found[Finding.NOT_SENT] or found[Finding.UNSETTLED]:
        return ExitCode.STOPPED
    return ExitCode.SUCCEEDED if result.all_well else ExitCode.JOBS_FAILED


def of_check(*, missing_inputs: bool, crew_unusable: bool, needs_consent: bool) -> ExitCode:
    """Return the exit code of `check`: that of a run that cannot start a job, else 0."""
    if missing_inputs:
        return ExitCode.USAGE
    if crew_unusable:
        return ExitCode.CREW_UNUSABLE
    return ExitCode.STOPPED if needs_consent else ExitCode.SUCCEEDED


def of_doctor(*, has_problem: bool) -> ExitCode:
    """Return the exit code of `doctor`: warnings do not change it."""
    return ExitCode.CREW_UNUSABLE if has_problem else ExitCode.SUCCEEDED


def _of_jobs(counts: "Counts") -> ExitCode:
    if counts.left:
        return ExitCode.STOPPED
    return ExitCode.SUCCEEDED if counts.succeeded == counts.total else ExitCode.JOBS_FAILED
