"""The body of `POST /resume`: human input for a paused execution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.server.api.kickoff import BadBody, read_object, read_urls

MAX_FEEDBACK = 100_000
"""Characters of feedback: it becomes part of a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Human input for a paused execution."""

    execution_id: str
    task_id: str
    feedback: str
    approved: bool
    urls: Mapping[str, str]
    """URLs of webhooks from now on, by their key; those of the kickoff no longer apply."""


def read(raw: bytes) -> Resume:
    """Read the human input in a request's body.

    Raises:
        BadBody: the body is invalid.
    """
    body = read_object(raw)
    approved = body.get("is_approve")
    if not isinstance(approved, bool):
        raise BadBody("is_approve must be true or false")
    feedback = _text(body, "human_feedback", optional=True)
    if len(feedback) > MAX_FEEDBACK:
        raise BadBody(f"human_feedback is longer than {MAX_FEEDBACK} characters")
    if not approved and not feedback.strip():
        raise BadBody("human_feedback is empty (a rejection must say what to improve)")
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
        raise BadBody(f"{name} must be text")
    return value
