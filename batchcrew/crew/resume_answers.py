"""The meaning of an answer to `POST /resume`. Pure functions."""

from batchcrew.crew import spellings
from batchcrew.crew.answers import common_refusal, described
from batchcrew.crew.payload import NotUnderstood, load
from batchcrew.crew.wrappers import status_word, unwrapped
from batchcrew.model.crew_answers import Doubtful, NotResumed, ResumeAnswer, Resumed

_TAKEN = frozenset(map(spellings.fold, ("resumed", "retrying", "completed", "resuming", "running", "accepted", "ok")))


def resumed(body: bytes) -> Resumed | Doubtful:
    """Read an answer with a success code. A gateway's page may have such a code, too, and is not a clear answer."""
    try:
        payload = load(body)
    except NotUnderstood as error:
        return Doubtful(f"/resume was answered with a success, but {error}")
    word = status_word(unwrapped(payload)) if isinstance(payload, dict) else None
    if word is not None and (spellings.fold(word) in _TAKEN or spellings.meaning_of(word)[0] is not None):
        return Resumed(word)
    return Doubtful("/resume was answered with a success, but not with `resumed` or `retrying`")


def refused(code: int, text: str, *, url: str, retry_after: float | None) -> ResumeAnswer:
    """Return the meaning of an answer without a success code.

    Args:
        text: the server's text, cleaned; may be empty.
        url: where the request was sent.
        retry_after: seconds, as `retry_after_seconds` returns them.
    """
    common = common_refusal(code, text, url=url, retry_after=retry_after)
    if common is not None:
        return common
    status = described(code, text)
    if 400 <= code < 500:
        return NotResumed(status)
    return Doubtful(f"/resume was answered with {status}")
