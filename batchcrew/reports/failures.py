"""Failure groups as text and as JSON: what `failures` prints, and the lines at the end of a summary or a status."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchcrew.base.clock import from_text
from batchcrew.base.json_values import writable
from batchcrew.base.text import HARMFUL_IN_BLOCK, clean_name, clean_text, wrap
from batchcrew.model.failures import FailureGroup, FailureGroups, GroupDetail
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts
from batchcrew.reports.commands import failures_command, retry_command, show_command

MOST_AS_TEXT = 20
"""Groups that `failures` shows as text."""
MOST_IN_JSON = 10_000
"""Groups that `failures --json` has; others are counted."""
_KIND_WORDS = {"rejected": "refused by the server", "answer_rejected": "with a rejected answer"}
_NAME_COLUMNS = 24
_REASON_COLUMNS = 200
_PIPE_COLUMNS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailuresView:
    """The batch whose failures are shown, and the beginning of its commands."""

    batch: str
    ledger: str
    program: str
    counts: Counts
    width: int | None = None
    """Width of the terminal, at which reasons are cut; None: not a terminal."""


def failure_lines(groups: FailureGroups, *, width: int | None, indent: int) -> Iterator[str]:
    """Yield a line for each group, `20 failed, such as tokyo: RateLimitError …`, and how many more groups there are.

    Args:
        width: columns at which a line breaks between words; None: it does not.
        indent: blanks before each line; the further lines of one have two more.
    """
    blanks = " " * indent
    for group in groups.groups:
        line = f"{_number(group)}: {_words(group, _REASON_COLUMNS)}"
        first, *others = [line] if width is None else wrap(line, width - indent - 2)
        yield blanks + first
        yield from (f"{blanks}  {part}" for part in others)
    if groups.more_groups:
        yield f"{blanks}and {groups.more_groups} more {_groups(groups.more_groups)} ({_jobs(groups.more_jobs)})"


def failures_head(view: FailuresView, groups: FailureGroups) -> str:
    """Return the first line of `failures`."""
    name, counts = clean_text(view.batch), view.counts
    if not groups.jobs:
        return f"{name}: none of {_jobs(counts.total)} has failed or is on hold"
    held = f", {counts.held} held" if counts.held else ""
    return f"{name}: {counts.failed} of {_jobs(counts.total)} failed{held}; {groups.number} {_groups(groups.number)}"


def group_lines(view: FailuresView, groups: FailureGroups, group: FailureGroup, detail: GroupDetail) -> Iterator[str]:
    """Yield the lines of one group, the first of them empty."""
    room = (view.width or _PIPE_COLUMNS) - 2
    yield ""
    of_failures, of_all = percent(group.jobs, groups.jobs), percent(group.jobs, view.counts.total)
    yield f"{_jobs(group.jobs)} ({of_failures} of the failures, {of_all} of all jobs){_held(group)}"
    yield f"  {_words(group, room)}"
    yield f"  {_attempts(group)}; latest: {_kinds(detail)}"
    if detail.kickoffs:
        kickoffs = "1 kickoff" if detail.kickoffs == 1 else f"{detail.kickoffs} kickoffs"
        yield f"  {kickoffs}, {detail.cost}" if detail.cost else f"  {kickoffs}, price not known"
    first, last = (f"{from_text(moment):%Y-%m-%d %H:%M:%SZ}" for moment in (group.first_at, group.last_at))
    yield f"  at {first}" if first == last else f"  from {first} to {last}"
    yield f"  example: {show_command(view.batch, group.example_job, view.ledger, view.program)}"
    yield f"  retry:   {group_retry(view, group)}"


def more_groups_line(view: FailuresView, groups: FailureGroups) -> str | None:
    """Return the last line of `failures` if not all groups are shown."""
    if not groups.more_groups:
        return None
    command = failures_command(view.batch, view.ledger, view.program)
    return (
        f"\nand {groups.more_groups} more {_groups(groups.more_groups)} ({_jobs(groups.more_jobs)}): {command} --json"
    )


def group_retry(view: FailuresView, group: FailureGroup) -> str:
    """Return the command that resets exactly the jobs of a group to pending."""
    options = ["--reason ''" if group.fingerprint is None else f"--fingerprint {group.fingerprint}"]
    if group.held:
        options = [*(["--state failed"] if group.failed else []), "--held", *options]
    return retry_command(view.batch, view.ledger, *options, program=view.program)


def json_head(view: FailuresView, groups: FailureGroups) -> dict[str, Any]:
    """Return the keys of `failures --json` before `groups`: `{"batch", "total", "failed", "held", "more_groups",
    "more_jobs"}`; the last two count what `groups` does not have."""
    return {
        "batch": view.batch,
        "total": view.counts.total,
        "failed": view.counts.failed,
        "held": view.counts.held,
        "more_groups": groups.more_groups,
        "more_jobs": groups.more_jobs,
    }


def group_json(
    view: FailuresView, groups: FailureGroups, group: FailureGroup, detail: GroupDetail, reason: str | None
) -> dict[str, Any]:
    """Return one of `groups` of `failures --json`.

    `{"fingerprint", "jobs", "failed", "held", "share", "share_of_failures", "example_job", "reason", "first_at",
    "last_at", "attempts": {"least", "most"}, "retried", "kinds", "kickoffs", "cost", "retry"}`; shares are parts of 1.

    Args:
        reason: all of the example's reason.
    """
    return {
        **brief_json(group),
        "share": round(group.jobs / max(1, view.counts.total), 4),
        "share_of_failures": round(group.jobs / max(1, groups.jobs), 4),
        "reason": reason,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "attempts": {"least": group.least_attempts, "most": group.most_attempts},
        "retried": group.retried,
        "kinds": dict(detail.kinds),
        "kickoffs": detail.kickoffs,
        "cost": detail.cost,
        "retry": group_retry(view, group),
    }


def brief_json(group: FailureGroup) -> dict[str, Any]:
    """Return one of `failure_groups` of a summary or a status.

    `{"fingerprint", "jobs", "failed", "held", "example_job", "reason"}`; `reason` is the beginning of the example's.
    """
    return {
        "fingerprint": group.fingerprint,
        "jobs": group.jobs,
        "failed": group.failed,
        "held": group.held,
        "example_job": group.example_job,
        "reason": group.reason,
    }


def json_piece(value: object, indent: int) -> str:
    """Return a part of a JSON document that is written piece by piece; control characters are escaped."""
    text = json.dumps(writable(value), ensure_ascii=False, allow_nan=False, indent=2)
    return textwrap.indent(HARMFUL_IN_BLOCK.sub(lambda match: json.dumps(match[0])[1:-1], text), " " * indent)


def _number(group: FailureGroup) -> str:
    name = clean_name(group.example_job, _NAME_COLUMNS)
    states = {JobState.FAILED: group.failed, JobState.HELD: group.held}
    if group.jobs == 1:
        return f"{name} {next(state.value for state, number in states.items() if number)}"
    numbers = ", ".join(f"{number} {state.value}" for state, number in states.items() if number)
    return f"{numbers}, such as {name}"


def _words(group: FailureGroup, columns: int) -> str:
    return clean_text(group.reason or "no reason given", limit=columns)


def _held(group: FailureGroup) -> str:
    if not group.held:
        return ""
    return ", on hold" if not group.failed else f", {group.held} of them on hold"


def _attempts(group: FailureGroup) -> str:
    least, most = group.least_attempts, group.most_attempts
    if least == most:
        text = "1 attempt each" if least == 1 else f"{least or 'no'} attempts each"
    else:
        text = f"{least} to {most} attempts"
    return f"{text}, {_jobs(group.retried)} retried" if group.retried else f"{text}, none retried"


def _kinds(detail: GroupDetail) -> str:
    kinds = sorted(detail.kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    return ", ".join(f"{number} {_KIND_WORDS.get(kind, kind.replace('_', ' '))}" for kind, number in kinds) or "none"


def percent(part: float, whole: float) -> str:
    """Return a share as text: `45%`, `1.4%`, `less than 0.1%`."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f}%" if share >= 10 or share == 0 else f"{share:.1f}%" if share >= 0.1 else "less than 0.1%"


def _groups(number: int) -> str:
    return "group" if number == 1 else "groups"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"
