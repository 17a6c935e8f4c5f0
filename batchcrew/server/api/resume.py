"""The body of `POST /resume`: what a person says to a paused execution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.server.api.kickoff import BadBody, read_object, read_urls

MAX_FEEDBACK = 100_000
"""Characters of feedback: it goes into a model's prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A person's word."""

    execution_id: str
    task_id: str
    feedback: str
    approved: bool
    urls: Mapping[str, str]
    """Webhooks from now on, by their key: those of the kickoff are not carried over."""


def read(raw: bytes) -> Resume:
    """The person's word in a request's body.

    Raises:
        BadBody: it is none.
    """
    body = read_object(raw)
    approved = body.get("is_approve")
    if not isinstance(approved, bool):
        raise BadBody("is_approve is neither true nor false")
    feedback = _text(body, "human_feedback", optional=True)
    if len(feedback) > MAX_FEEDBACK:
        raise BadBody(f"human_feedback is over {MAX_FEEDBACK} characters")
    if not approved and not feedback.strip():
        raise BadBody("human_feedback is empty: a rejection says what to do better")
    return Resume(
        execution_id=_text(body, "execution_id"),
        task_id=_text(body, "task_id"),
        feedback=feedback,
        approved=approved,
        urls=read_urls(body),
    )


def _text(body: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    value = body.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        raise BadBody(f"{name} is no text")
    return value
