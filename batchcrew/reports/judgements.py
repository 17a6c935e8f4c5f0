"""The results of `judge`: values, the lines that are printed, and their JSON form."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batchcrew.base.text import clean_text
from batchcrew.model import exit_codes
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts
from batchcrew.reports.as_json import counts_json
from batchcrew.reports.commands import PROGRAM, retry_command, show_command
from batchcrew.reports.summary import count_words, lookalikes_line

_REASON_COLUMNS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A job whose state has changed, or which has the answer of another attempt now."""

    job_id: str
    before: JobState
    after: JobState
    reason: str | None
    """Why the answer of its latest attempt is rejected now; None if it is accepted."""


@dataclass(slots=True, kw_only=True)
class JudgeResult:
    """The verdicts of the rules on a batch's answers."""

    batch: str
    ledger: str
    dry_run: bool
    judged: int = 0
    """Answers that were judged."""
    changed: Counter[JobState] = field(default_factory=Counter)
    """Jobs whose state has changed, by their new state."""
    rejected_job: str | None = None
    """The job_id of the first one that is rejected now."""
    stale: int = 0
    """Stale jobs, which were not judged."""
    kept: int = 0
    """Succeeded jobs whose answer was kept for other inputs, which were not judged either."""
    lookalikes: int = 0
    """Accepted answers that may be useless."""
    lookalike_example: tuple[str, str] | None = None
    counts: Counts = field(default_factory=Counts)

    @property
    def exit_code(self) -> exit_codes.ExitCode:
        """Return the exit code of the command."""
        return exit_codes.of_judge(self.counts, dry_run=self.dry_run)


def judgement_line(judgement: Judgement) -> str:
    """Return `tokyo: succeeded -> failed: answer rejected: it is empty`."""
    line = f"{clean_text(judgement.job_id)}: {judgement.before} -> {judgement.after}"
    return line if judgement.reason is None else f"{line}: {clean_text(judgement.reason, limit=_REASON_COLUMNS)}"


def judge_summary(result: JudgeResult, program: str = PROGRAM) -> str:
    """Return how many answers were judged and how many verdicts changed, and the next commands."""
    rejected, accepted = result.changed[JobState.FAILED], result.changed[JobState.SUCCEEDED]
    would = "would be " if result.dry_run else ""
    lines = [
        f"{clean_text(result.batch)}: {_answers(result.judged)} judged: {rejected} {would}rejected,"
        f" {accepted} {would}accepted again, {result.judged - rejected - accepted} unchanged"
    ]
    if result.stale:
        lines.append(f"  not judged: {_jobs(result.stale)} stale (made from inputs that have changed since)")
    if result.kept:
        lines.append(f"  not judged: {_jobs(result.kept)} with an answer that was kept for other inputs")
    if result.lookalikes:
        lines.append(f"  warning: {lookalikes_line(result.lookalikes, result.lookalike_example)}")
    lines.append(f"  jobs: {count_words(result.counts)}" + (" (nothing was changed)" if result.dry_run else ""))
    lines += [f"  {purpose}: {command}" for purpose, command in _next(result, program)]
    return "\n".join(lines)


def _next(result: JudgeResult, program: str) -> Iterator[tuple[str, str]]:
    if result.rejected_job is not None:
        yield "show one", show_command(result.batch, result.rejected_job, result.ledger, program)
        if not result.dry_run:
            yield "run the failed jobs again", retry_command(result.batch, result.ledger, program=program)


def _answers(number: int) -> str:
    return "1 answer" if number == 1 else f"{number} answers"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def judge_json(result: JudgeResult) -> dict[str, Any]:
    """Return `{"batch", "exit_code", "dry_run", "judged", "rejected", "accepted", "stale", "kept", "lookalikes",
    "counts"}`; `rejected` and `accepted` count the jobs whose state has changed."""
    return {
        "batch": result.batch,
        "exit_code": int(result.exit_code),
        "dry_run": result.dry_run,
        "judged": result.judged,
        "rejected": result.changed[JobState.FAILED],
        "accepted": result.changed[JobState.SUCCEEDED],
        "stale": result.stale,
        "kept": result.kept,
        "lookalikes": result.lookalikes,
        "counts": counts_json(result.counts),
    }


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """Return `{"job_id", "before", "after", "reason"}`."""
    return {
        "job_id": judgement.job_id,
        "before": judgement.before.value,
        "after": judgement.after.value,
        "reason": judgement.reason,
    }
