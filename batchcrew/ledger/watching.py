"""Record the last known progress of an execution, and the polling state for the next tick."""

from dataclasses import asdict, fields

from batchcrew.ledger.json_text import decode_json, encode_json
from batchcrew.ledger.transitions import plain_text
from batchcrew.ledger.writer import Change, Statement
from batchcrew.model.attempt import Attempt, Progress, Watch

_PROGRESS = Statement(
    "UPDATE attempts SET progress = json_patch(coalesce(progress, '{}'), ?) WHERE id = ? AND state = 'kicked_off'",
    strict=False,
)
_WATCH = Statement("UPDATE attempts SET watch = ? WHERE id = ? AND state = 'kicked_off'", strict=False)
_STORED_NAMES = {"polls": "asked"}
"""Fields of `Watch` that the ledger stores under another name."""
_WATCH_FIELDS = {_STORED_NAMES.get(field.name, field.name): field.name for field in fields(Watch)}


_FIRST_ANSWER = Statement("UPDATE attempts SET first_answer = coalesce(first_answer, ?) WHERE id = ?", strict=False)


def first_answer(attempt: Attempt, body: str) -> Change:
    """Return the change that records an answer that was not understood, unless an earlier one is recorded."""
    return (_FIRST_ANSWER, [(plain_text(body), attempt.attempt_id)])


def progress(attempt: Attempt, seen: Progress) -> Change:
    """Return the change that records the execution's progress, for `batchcrew status` in another terminal.

    Until this run has received a status, the progress from an earlier run is kept next to the unclear answer.
    """
    shown = asdict(seen) if seen.status_word is not None else {"unclear_answer": seen.unclear_answer}
    return (_PROGRESS, [(encode_json(shown), attempt.attempt_id)])


def watch(attempt: Attempt, watch: Watch) -> Change:
    """Return the change that records the polling state for the next tick."""
    stored = {_STORED_NAMES.get(name, name): value for name, value in asdict(watch).items()}
    return (_WATCH, [(encode_json(stored), attempt.attempt_id)])


def watch_of(text: str | None) -> Watch | None:
    """Return the state that an earlier tick recorded, without fields that only another version of batchcrew knows."""
    if text is None:
        return None
    stored = decode_json(text)
    return Watch(**{_WATCH_FIELDS[name]: value for name, value in stored.items() if name in _WATCH_FIELDS})
