"""Reads the bodies of webhooks, in all known dialects. Pure functions of the bytes."""

from collections.abc import Mapping
from typing import Any

from batchcrew.crew import dialect
from batchcrew.crew.kickoff_answers import surely_kickoff_id, wrong_kickoff_id
from batchcrew.crew.payload import NotUnderstood, load_object, name_text
from batchcrew.crew.server_text import clean
from batchcrew.crew.webhook_urls import Kind
from batchcrew.crew.wrappers import status_word, unwrapped
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.webhook import Webhook

MOST_EVENTS = 500
"""Events of one webhook that are read."""
_MAX_NAME = 200
_ENDS = frozenset({"crew_kickoff_completed", "crew_kickoff_failed", "flow_finished"})
_RUNS = frozenset({ExecutionState.RUNNING, ExecutionState.WAITING, ExecutionState.WAITING_FOR_HUMAN})


def read_webhook(attempt_id: str, kind: Kind, body: bytes) -> list[Webhook]:
    """Return what a webhook reports; a webhook of the event stream may report several things.

    Args:
        attempt_id: the attempt whose token it carries.

    Raises:
        NotUnderstood: the body is not a JSON object, or not of its kind.
    """
    payload = load_object(body)
    if kind == "events":
        return _events(attempt_id, payload)
    kickoff_id = surely_kickoff_id(body)
    names = _attempt_of(payload)
    match kind:
        case "crew":
            execution = crew_execution(body)
            ended = execution is None or execution.state not in _RUNS
            text = body.decode("utf-8", "replace") if ended else ""
            return [
                Webhook(
                    attempt_id=attempt_id,
                    kickoff_id=kickoff_id,
                    names=names,
                    ended=ended,
                    body=text,
                )
            ]
        case "task":
            return [Webhook(attempt_id=attempt_id, kickoff_id=kickoff_id, names=names, task=_task_name(payload))]
        case "human":
            return [Webhook(attempt_id=attempt_id, kickoff_id=kickoff_id, names=names, paused=True)]
        case _:
            return [Webhook(attempt_id=attempt_id, kickoff_id=kickoff_id, names=names)]


def crew_execution(body: bytes) -> Execution | None:
    """Return the execution that a crew webhook reports; None if the body reports neither a state nor a result.

    Live deployments send a result and no status word: its arrival means success.

    Raises:
        NotUnderstood: the body is not a JSON object.
    """
    outer = load_object(body)
    if status_word(unwrapped(outer)) is not None:
        return dialect.execution(body)
    execution = dialect.succeeded(outer, body)
    return execution if execution.has_output else None


def _events(attempt_id: str, payload: Mapping[str, Any]) -> list[Webhook]:
    events = payload.get("events")
    if not isinstance(events, list):
        raise NotUnderstood("the webhook has no list of events")
    found = []
    for event in events[:MOST_EVENTS]:
        if not isinstance(event, dict):
            continue
        kind, data = event.get("type"), event.get("data")
        data = data if isinstance(data, dict) else {}
        execution_id = event.get("execution_id")
        valid = isinstance(execution_id, str) and wrong_kickoff_id(execution_id) is None
        found.append(
            Webhook(
                attempt_id=attempt_id,
                kickoff_id=execution_id if valid else None,
                names=_attempt_of(event) or _attempt_of(data) or _attempt_of(payload),
                ended=kind in _ENDS,
                task=_task_name(data) if kind == "task_completed" else None,
                current_task=_task_name(data) if kind == "task_started" else None,
            )
        )
    return found


def _attempt_of(payload: Mapping[str, Any]) -> str | None:
    """Return the attempt that `meta.batchcrew` names; None if there is no such meta."""
    meta = payload.get("meta")
    if meta is None and isinstance(payload.get("data"), dict):
        meta = payload["data"].get("meta")
    origin = meta.get("batchcrew") if isinstance(meta, dict) else None
    attempt = origin.get("attempt") if isinstance(origin, dict) else None
    return attempt if isinstance(attempt, str) else None


def _task_name(payload: Mapping[str, Any]) -> str | None:
    for key in ("task_id", "task_name", "name", "description"):
        name = name_text(payload.get(key))
        if name:
            return clean(name, _MAX_NAME)
    return None
