"""Write the texts of notifications.

All text of crews and files is cleaned here, before a template can use it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.base.text import clean_block, clean_text
from batchcrew.config.notify import EventName
from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.model.run import RunResult, StopReason
from batchcrew.reports.as_json import counts_json
from batchcrew.reports.summary import count_words, headline, money_lines, next_commands, went_well

SHOWN_GROUPS = 3
TITLE_COLUMNS = 120
MOST_TEXT = 20_000
"""Longest text of a notification, in characters."""
_MENTION = re.compile(r"(?<!\w)@(?=\w)|<(?=[!@#])")
_TITLES: dict[EventName, str] = {
    "finished": "every job has succeeded",
    "failed": "the batch ended with failures",
    "waiting": "jobs wait for human input",
    "stuck": "no execution has ended for a long time",
    "stopped": "the run stopped with work left",
    "over_budget": "the spending limit is reached",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One event to notify people of."""

    event: EventName
    result: RunResult
    reason: str = ""
    """The reason, in one line."""


def event_of(result: RunResult) -> EventName | None:
    """Return the event for the end of a run; None if it was reported before."""
    if result.run_id is None or result.repeated:
        return None
    if result.stopped is StopReason.WAITING:
        return "waiting"
    if result.stopped is StopReason.BUDGET or (result.stop_detail or "").startswith("max_cost of "):
        return "over_budget"
    if result.stopped is not None:
        return "stopped"
    if result.counts.left:
        return None  # a tick
    return "finished" if went_well(result) else "failed"


def why(result: RunResult) -> str:
    """Return the reason for a run's end in one clean line, for a notification and for a monitor."""
    if result.stopped is not None:
        return clean_text(result.stop_detail or result.stopped.value.replace("_", " "), limit=500)
    return count_words(result.counts)


def title_of(notice: Notice, template: Template | None, today: str) -> str:
    """Return the title: one line, so that it cannot add headers to a mail.

    Raises:
        TemplateProblem: the template cannot be rendered.
    """
    if template is None:
        text = f"{notice.result.batch}: {_TITLES[notice.event]}"
    else:
        text = template.text(facts(notice), today)
    return clean_text(_quiet(text), limit=TITLE_COLUMNS)


def text_of(notice: Notice, template: Template | None, today: str) -> str:
    """Return the text.

    Raises:
        TemplateProblem: the template cannot be rendered.
    """
    text = _default_text(notice) if template is None else template.text(facts(notice), today)
    return clean_block(text)[:MOST_TEXT]


def facts(notice: Notice) -> Mapping[str, Any]:
    """Return the names that templates may use, as docs/results.md lists them."""
    result = notice.result
    spending = result.spending
    return {
        "event": notice.event,
        "batch": _harmless(result.batch),
        "reason": _harmless(notice.reason),
        "headline": _quiet(headline(result)),
        "counts": {**counts_json(result.counts), "left": result.counts.left},
        "kickoffs": result.kickoffs,
        "cost": result.cost or "",
        "wasted": spending.wasted.text or "",
        "saved": spending.saved.text or "",
        "tokens": spending.tokens.total or 0,
        "failures": [
            {
                "jobs": group.jobs,
                "reason": _harmless(group.reason or "no reason"),
                "example_job": _harmless(group.example_job),
            }
            for group in result.failures.groups[:SHOWN_GROUPS]
        ],
        "next": [{"purpose": purpose, "command": command} for purpose, command in _commands(result)],
        "reports": [clean_text(path) for path in result.reports],
        "ledger": clean_text(result.ledger),
        "text": _default_text(notice),
    }


def _default_text(notice: Notice) -> str:
    result = notice.result
    lines = [_quiet(headline(result))]
    if notice.reason:
        lines.append(f"Why: {_harmless(notice.reason)}")
    lines.append(f"Jobs: {count_words(result.counts)}")
    if result.kickoffs:
        tokens = result.spending.tokens.total
        parts = [f"{result.kickoffs} {'kickoff' if result.kickoffs == 1 else 'kickoffs'}"]
        parts += [result.cost] if result.cost else []
        parts += [f"{tokens:,} tokens"] if tokens is not None else []
        lines.append(f"This run: {', '.join(parts)}")
    lines += [line[:1].upper() + line[1:] for line in money_lines(result.spending)]
    groups = result.failures.groups[:SHOWN_GROUPS]
    if groups:
        lines += ["", "Largest failure groups:"]
        for group in groups:
            jobs = "1 job" if group.jobs == 1 else f"{group.jobs} jobs"
            name = _harmless(group.example_job, 60)
            lines.append(f"- {jobs}, such as {name}: {_harmless(group.reason or 'no reason')}")
    commands = _commands(result)
    if commands:
        lines += ["", "Next:", *(f"- {purpose}: {command}" for purpose, command in commands)]
    if result.reports:
        lines += ["", "Reports:", *(f"- {clean_text(path)}" for path in result.reports)]
    return "\n".join(lines)


def _commands(result: RunResult) -> list[tuple[str, str]]:
    """Return the next commands, without those that would mention people and are useless if changed."""
    return [(purpose, command) for purpose, command in next_commands(result) if not _MENTION.search(command)]


def _harmless(text: str, limit: int = 200) -> str:
    return _quiet(clean_text(text, limit=limit))


def _quiet(text: str) -> str:
    """Return a text without mentions in a chat (`@everyone`, `<!channel>`)."""
    return _MENTION.sub(lambda match: f"{match[0]} ", text)


__all__ = ["Notice", "TemplateProblem", "event_of", "facts", "text_of", "title_of", "why"]
