"""The next poll of an execution in progress, in words."""

from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_text
from batchcrew.model.views import NextPoll


def next_poll_words(due: NextPoll) -> str:
    """Return when an execution is polled next, and why then."""
    reason = clean_text(due.reason)
    if due.seconds is None:
        return reason
    when = (
        f"in about {format_duration(due.seconds)}" if due.seconds >= 0 else f"due since {format_duration(-due.seconds)}"
    )
    return f"{when}: {reason}"
