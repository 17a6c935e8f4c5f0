"""The results of `recheck`: values, the lines that are printed, and their JSON form."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from batchcrew.base.text import clean_text
from batchcrew.ledger import EndedAttempt
from batchcrew.model import exit_codes
from batchcrew.model.run import Counts
from batchcrew.reports.as_json import counts_json
from batchcrew.reports.commands import PROGRAM, attach_command, retry_command, run_command
from batchcrew.reports.summary import count_words

_REASON_COLUMNS = 200


class Finding(StrEnum):
    """The result of polling one execution."""

    SUCCEEDED = "succeeded"  # and is taken
    FAILED = "failed"  # its failure is recorded, with the crew's reason
    RUNNING = "running"  # its job does not change
    UNKNOWN = "unknown"  # the crew does not know it
    UNCLEAR = "unclear"  # no clear answer about it


@dataclass(frozen=True, slots=True)
class Look:
    """One execution and the result of polling it."""

    attempt: EndedAttempt
    finding: Finding
    detail: str | None = None
    """The crew's reason or word, or why there is no clear answer."""


@dataclass(slots=True, kw_only=True)
class RecheckResult:
    """The result of a recheck."""

    batch: str
    jobfile: str
    ledger: str
    jobfile_options: tuple[str, ...] = ()
    """Options, quoted, that the next command needs to read the job file in the same way."""
    found: Counter[Finding] = field(default_factory=Counter)
    without_id: int = 0
    """Held jobs without a known kickoff_id: there is nothing to poll."""
    counts: Counts = field(default_factory=Counts)
    stopped: bool = False
    """A signal stopped it before all executions were polled."""

    @property
    def exit_code(self) -> exit_codes.ExitCode:
        """Return the exit code of the command."""
        no_clear_answer = bool(self.found) and set(self.found) == {Finding.UNCLEAR}
        return exit_codes.of_recheck(self.counts, stopped=self.stopped, no_clear_answer=no_clear_answer)


def look_line(look: Look, batch: str, ledger: str, program: str = PROGRAM) -> str:
    """Return `tokyo: succeeded; its result is recorded`, with the next command if the operator has to decide."""
    attempt = look.attempt
    name, detail = clean_text(attempt.job_id), clean_text(look.detail or "", limit=_REASON_COLUMNS)
    match look.finding:
        case Finding.SUCCEEDED:
            return f"{name}: succeeded; its result is recorded"
        case Finding.FAILED:
            return f"{name}: failed: {detail}"
        case Finding.RUNNING:
            attach = attach_command(batch, attempt.job_id, ledger, program, kickoff_id=attempt.kickoff_id)
            return f"{name}: still running (status '{detail}'); the job remains {attempt.job_state}; watch it: {attach}"
        case Finding.UNKNOWN:
            kickoff = clean_text(attempt.kickoff_id)
            return f"{name}: the crew does not know kickoff {kickoff}; the job remains {attempt.job_state}"
        case Finding.UNCLEAR:
            return f"{name}: no clear answer ({detail}); the job remains {attempt.job_state}"


def recheck_summary(result: RecheckResult, program: str = PROGRAM) -> str:
    """Return the number of executions by finding, the state of the batch, and the next commands."""
    looked = sum(result.found.values())
    found = ", ".join(f"{number} {finding}" for finding in Finding if (number := result.found[finding]))
    lines = [f"{clean_text(result.batch)}: {_executions(looked)} checked" + (f": {found}" if found else "")]
    if result.stopped:
        lines.append("  interrupted: run the same command again to check the rest")
    if result.without_id:
        one = result.without_id == 1
        held, them = ("1 held job has", "it") if one else (f"{result.without_id} held jobs have", "them")
        lines.append(f"  {held} no kickoff_id to poll: attach the id shown in the vendor's dashboard, or retry {them}")
    lines.append(f"  jobs: {count_words(result.counts)}")
    lines += [f"  {purpose}: {command}" for purpose, command in _next(result, program)]
    return "\n".join(lines)


def _next(result: RecheckResult, program: str) -> Iterator[tuple[str, str]]:
    if result.counts.left:
        yield "resume", run_command(result.jobfile, result.ledger, *result.jobfile_options, program=program)
    if result.without_id:
        yield "attach one", attach_command(result.batch, "JOB", result.ledger, program)
        yield "retry the held jobs", retry_command(result.batch, result.ledger, "--held", program=program)


def _executions(number: int) -> str:
    return "1 execution" if number == 1 else f"{number} executions"


def recheck_json(result: RecheckResult) -> dict[str, Any]:
    """Return `{"batch", "exit_code", "stopped", "found", "held_without_kickoff_id", "counts"}`."""
    counts = result.counts
    return {
        "batch": result.batch,
        "exit_code": int(result.exit_code),
        "stopped": result.stopped,
        "found": {finding.value: result.found[finding] for finding in Finding},
        "held_without_kickoff_id": result.without_id,
        "counts": counts_json(counts),
    }


def look_json(look: Look) -> dict[str, Any]:
    """Return `{"job_id", "crew", "attempt", "kickoff_id", "finding", "detail"}`; `detail` may be null."""
    attempt = look.attempt
    return {
        "job_id": attempt.job_id,
        "crew": attempt.crew,
        "attempt": attempt.number,
        "kickoff_id": attempt.kickoff_id,
        "finding": look.finding.value,
        "detail": look.detail,
    }
