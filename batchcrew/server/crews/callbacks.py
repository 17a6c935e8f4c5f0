"""The webhooks of a real crew's execution: read from its kickoff, checked, and made into calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias

from batchcrew.server.api.kickoff import BadBody, Body
from batchcrew.server.api.receivers import Receiver, read_receiver
from batchcrew.server.dialects.dialect_format import PAUSED, DialectFormat, meta_field
from batchcrew.server.report import Report, StepReport, TaskReport
from batchcrew.server.workers.messages import LibraryEvent, Paused

Call: TypeAlias = tuple[str, str | None, bytes]
"""URL, Authorization header, body."""
MAX_EVENTS = 200
"""Names of events that one kickoff may request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The `webhooks` of a kickoff: the library's events."""

    receiver: Receiver
    events: tuple[str, ...]
    realtime: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """All webhooks of one execution."""

    meta: Mapping[str, Any] | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    """`taskWebhookUrl`, `stepWebhookUrl`, `crewWebhookUrl`."""
    human: Receiver | None = None
    stream: Stream | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form in which it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the result of `to_json`."""
        human, stream = value["human"], value["stream"]
        if stream is not None:
            stream = Stream(
                receiver=Receiver(**stream["receiver"]), events=tuple(stream["events"]), realtime=stream["realtime"]
            )
        return cls(
            meta=value["meta"], urls=value["urls"], human=None if human is None else Receiver(**human), stream=stream
        )

    def task(self, dialect_format: DialectFormat, seen: Report, task: TaskReport) -> list[Call]:
        """Return the calls for a task that has ended."""
        return self._call("taskWebhookUrl", lambda: dialect_format.task_webhook(seen, task, self.meta))

    def step(self, dialect_format: DialectFormat, seen: Report, step: StepReport) -> list[Call]:
        """Return the calls for a step of an agent."""
        return self._call("stepWebhookUrl", lambda: dialect_format.step_webhook(seen, step, self.meta))

    def crew(self, dialect_format: DialectFormat, seen: Report) -> list[Call]:
        """Return the calls for the end of the execution."""
        return self._call("crewWebhookUrl", lambda: dialect_format.crew_webhook(seen, self.meta))

    def paused(self, message: Paused) -> list[Call]:
        """Return the calls for an execution that waits for human input."""
        if self.human is None:
            return []
        body = {
            "execution_id": message.kickoff_id,
            "kickoff_id": message.kickoff_id,
            "task_id": message.task_id,
            "status": PAUSED,
            "agent": message.agent,
            "output": message.output,
            **meta_field(self.meta),
        }
        return [(self.human.url, self.human.authorization, json.dumps(body).encode())]

    def events(self, events: Sequence[LibraryEvent]) -> list[Call]:
        """Return the calls for events of the library."""
        if self.stream is None or not events:
            return []
        named = [
            {
                "id": event.event_id,
                "execution_id": event.kickoff_id,
                "timestamp": event.timestamp,
                "type": event.type,
                "data": event.data,
                **meta_field(self.meta),
            }
            for event in events
        ]
        receiver = self.stream.receiver
        return [(receiver.url, receiver.authorization, json.dumps({"events": named}).encode())]

    def _call(self, key: str, body: Any) -> list[Call]:
        url = self.urls.get(key)
        return [] if url is None else [(url, None, json.dumps(body()).encode())]


def read_callbacks(body: Body, *, events: frozenset[str]) -> Callbacks:
    """Return the webhooks that a kickoff requests.

    Args:
        events: names of the library's events.

    Raises:
        BadBody: a part is invalid.
    """
    return Callbacks(
        meta=body.meta,
        urls=body.urls,
        human=read_receiver("humanInputWebhook", body.whole.get("humanInputWebhook")),
        stream=_stream(body.whole.get("webhooks"), events),
    )


def _stream(value: Any, events: frozenset[str]) -> Stream | None:
    receiver = read_receiver("webhooks", value)
    if receiver is None:
        return None
    names = value.get("events")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadBody("webhooks.events must be a list of names")
    unknown = [name for name in names if name not in events]
    if unknown or len(names) > MAX_EVENTS:
        raise BadBody(f"webhooks.events contains an unknown event: {str(unknown[:1])[:100]}")
    realtime = value.get("realtime", False)
    if not isinstance(realtime, bool):
        raise BadBody("webhooks.realtime must be true or false")
    return Stream(receiver=receiver, events=tuple(dict.fromkeys(names)), realtime=realtime)
