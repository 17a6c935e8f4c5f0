"""The lines of `--verbose`: one for each request, and for each place of a field in a crew's answers."""

from batchcrew.base.text import clean_text
from batchcrew.model.events import (
    Announced,
    ConcurrencyChanged,
    Event,
    KickedOff,
    KickoffSent,
    Polled,
    RetriesHeldBack,
    Understood,
)
from batchcrew.model.execution import Execution
from batchcrew.reports.summary import RETRY_BUDGET

_NAME = 80
_REASON = 300


def request_line(event: Event) -> str | None:
    """Return the line of an event that only `--verbose` shows; None for other events."""
    match event:
        case KickoffSent(attempt, None):
            return f"job {_name(attempt.job_id)}: kickoff sent to crew {_name(attempt.crew)}, attempt {attempt.number}"
        case KickoffSent(attempt, again):
            return f"job {_name(attempt.job_id)}: the same kickoff sent again: {_reason(again or '')}"
        case KickedOff(attempt, taken_up):
            resumed = "resumed" if taken_up else "accepted"
            as_what = (
                "answered with the result" if attempt.kickoff_id is None else f"{resumed} as {_id(attempt.kickoff_id)}"
            )
            return f"job {_name(attempt.job_id)}: kickoff {as_what}"
        case Polled(attempt, answer):
            found = _name(answer.word) if isinstance(answer, Execution) else f"no status: {_reason(answer.reason)}"
            return f"job {_name(attempt.job_id)}: poll: {found}"
        case Announced(attempt):
            return f"job {_name(attempt.job_id)}: webhook: the execution has ended"
        case Understood(crew, what, place):
            return f"crew {_name(crew)}: found the {what} at {_name(place)}"
        case ConcurrencyChanged(crew, before, after, reason):
            return f"crew {_name(crew)}: {before} slots become {after}: {_reason(reason)}"
        case RetriesHeldBack(crew):
            return f"crew {_name(crew)}: {RETRY_BUDGET}"
        case _:
            return None


def _name(text: str) -> str:
    return clean_text(text, limit=_NAME)


def _id(kickoff_id: str) -> str:
    return clean_text(kickoff_id)


def _reason(text: str) -> str:
    return clean_text(text, limit=_REASON)
