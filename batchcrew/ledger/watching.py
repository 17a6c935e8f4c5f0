"""What is kept of an execution in progress: where polling is, and what was last seen. SQL and rows for both."""

from dataclasses import asdict, fields

from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.writer import Change, Statement
from batchcrew.model.attempt import Attempt, Progress, Watch

_PROGRESS = Statement(
    "UPDATE attempts SET progress = json_patch(coalesce(progress, '{}'), ?) WHERE id = ? AND state = 'kicked_off'",
    strict=False,
)
_WATCH = Statement("UPDATE attempts SET watch = ? WHERE id = ? AND state = 'kicked_off'", strict=False)
_WATCH_FIELDS = frozenset(field.name for field in fields(Watch))


def progress(attempt: Attempt, seen: Progress) -> Change:
    """What the execution is at, for `batchcrew status` in another terminal.

    While this run has got no status yet, what an earlier one has seen is kept next to the unclear answer.
    """
    said = asdict(seen) if seen.status_word is not None else {"unclear_answer": seen.unclear_answer}
    return (_PROGRESS, [(encode_json(said), attempt.attempt_id)])


def watch(attempt: Attempt, watch: Watch) -> Change:
    """How far a tick came with watching."""
    return (_WATCH, [(encode_json(asdict(watch)), attempt.attempt_id)])


def watch_of(text: str | None) -> Watch | None:
    """What an earlier tick wrote; fields that another version of batchcrew wrote are left out."""
    if text is None:
        return None
    return Watch(**{name: value for name, value in decode_json(text).items() if name in _WATCH_FIELDS})
