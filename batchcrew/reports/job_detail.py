"""Render one job with all its attempts for `show`: cleaned, without colour and without a last newline."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from batchcrew.base.costs import amount_text
from batchcrew.base.json_values import writable
from batchcrew.base.lookalikes import lookalike
from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_block, clean_text, display_width
from batchcrew.model.views import AttemptDetail, JobDetail
from batchcrew.reports.export.csv_format import json_text
from batchcrew.reports.inbox import asked_lines
from batchcrew.reports.next_poll import next_poll_words

_ANSWER_SHOWN = 2000
"""Characters that are shown of an answer that was not understood."""
_REASON_COLUMNS = 200


def render_job(detail: JobDetail, *, width: int = 80) -> str:
    """Render one job with all its attempts.

    Outputs are shown as they are, with terminal escapes removed; their long lines are wrapped at `width`.
    """
    where = clean_text(detail.source) + ("" if detail.in_file else " (no longer in the file)")
    lines = [
        f"job {clean_text(detail.job_id)} of batch {clean_text(detail.batch)}: {detail.state}",
        f"  crew: {clean_text(detail.crew)}",
        f"  source: {where}",
    ]
    if detail.cost is not None:
        lines.append(f"  cost: {clean_text(detail.cost)}")
    lines += _mapping("inputs", detail.inputs, width)
    if detail.meta:
        lines += _mapping("meta", detail.meta, width)
    if not detail.attempts:
        lines.append("  no attempts yet")
    for attempt in detail.attempts:
        lines += _attempt(attempt, width)
    lines += asked_lines(detail)
    return "\n".join(lines)


def _block(text: str, width: int, indent: int) -> Iterator[str]:
    """Yield the lines of a text, the long ones wrapped between words."""
    room = max(20, width - indent)
    for line in clean_block(text).rstrip("\n").split("\n"):
        if len(line) <= room:
            yield (" " * indent + line).rstrip()
            continue
        for part in textwrap.wrap(
            line, room, expand_tabs=False, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
        ):
            yield " " * indent + part


def _value(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def _mapping(name: str, values: Mapping[str, Any], width: int) -> Iterator[str]:
    yield f"  {name}:"
    for key, value in values.items():
        text = clean_block(_value(value))
        start = f"    {clean_text(key)}: "
        if "\n" not in text and len(start) + display_width(text) <= width:
            yield start + text
        else:
            yield start.rstrip(" ")
            yield from _block(text, width, 6)


def _sent(attempt: AttemptDetail, width: int) -> Iterator[str]:
    if attempt.sent_inputs is not None:
        yield "    inputs sent:"
        yield from _block(json.dumps(writable(dict(attempt.sent_inputs)), ensure_ascii=False, indent=2), width, 6)


def _answers(attempt: AttemptDetail, width: int) -> Iterator[str]:
    if attempt.status_word is not None:
        yield f"    last status: {clean_text(attempt.status_word)}"
    if attempt.unclear_answer is not None:
        yield f"    last answer: {clean_text(attempt.unclear_answer, limit=_REASON_COLUMNS)}"
    if attempt.next_poll is not None:
        yield f"    next poll: {next_poll_words(attempt.next_poll)}"
    if attempt.first_answer is not None:
        yield "    first answer that was not understood:"
        yield from _block(attempt.first_answer[:_ANSWER_SHOWN], width, 6)
        if len(attempt.first_answer) > _ANSWER_SHOWN:
            yield f"      … {len(attempt.first_answer) - _ANSWER_SHOWN:,} more characters; `show --json` has them"


def _attempt(attempt: AttemptDetail, width: int) -> Iterator[str]:
    yield f"  attempt {attempt.number}: {attempt.state.value.replace('_', ' ')}"
    if attempt.kickoff_id is not None:
        yield f"    kickoff_id: {clean_text(attempt.kickoff_id)}"
    elif attempt.kicked_off_at is not None:
        yield "    kickoff_id: none (the crew answered the kickoff with the result)"
    moments = [("intended", attempt.intended_at), ("kicked off", attempt.kicked_off_at), ("ended", attempt.ended_at)]
    yield "    " + ", ".join(f"{name} {clean_text(moment)}" for name, moment in moments if moment)
    yield from _sent(attempt, width)
    yield from _answers(attempt, width)
    if attempt.execution_time is not None:
        yield f"    execution time: {format_duration(attempt.execution_time)}"
    if attempt.token_usage:
        usage = (f"{clean_text(name)} {clean_text(_value(number))}" for name, number in attempt.token_usage.items())
        yield f"    tokens: {', '.join(usage)}"
    if attempt.cost is not None:
        yield f"    cost: {clean_text(amount_text(attempt.cost, attempt.currency or ''))}"
    if attempt.reason is not None:
        yield "    reason:"
        yield from _block(attempt.reason, width, 6)
    for task in attempt.tasks:
        facts = [clean_text(task.agent)] if task.agent else []
        if task.execution_time is not None:
            facts.append(format_duration(task.execution_time))
        about = f" ({', '.join(facts)})" if facts else ""
        yield f"    task {clean_text(task.task_id)}{about}:"
        if task.output is not None:
            yield from _block(task.output, width, 6)
    yield from _artifacts(attempt)
    yield from _output(attempt, width)


def _artifacts(attempt: AttemptDetail) -> Iterator[str]:
    if attempt.artifacts:
        yield "    files:"
    for path in attempt.artifacts:
        yield f"      {clean_text(path)}"


def _output(attempt: AttemptDetail, width: int) -> Iterator[str]:
    looks_like = lookalike(attempt.output) if attempt.output else None
    if looks_like is not None:
        yield f"    looks like: {looks_like}"
    if attempt.output is not None:
        yield "    output:"
        yield from _block(attempt.output, width, 6)
    elif attempt.result_json is not None:
        yield "    output:"
        yield from _block(json.dumps(writable(attempt.result_json), ensure_ascii=False, indent=2), width, 6)
