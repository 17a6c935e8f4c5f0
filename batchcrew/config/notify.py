"""The key `notify:` of a job file: who is notified of a batch, and of which events."""

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field, SecretStr

from batchcrew.config.declarations import DefaultText, Example, Settings
from batchcrew.config.reports import ReportName

EventName: TypeAlias = Literal["finished", "failed", "waiting", "stuck", "stopped", "over_budget"]
"""An event to notify people of."""
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)


class NotifyTarget(Settings):
    """A receiver of notifications."""

    url: Annotated[SecretStr, Field(min_length=1), Example('"${NOTIFY_URL}"')]
    """URL of apprise, such as `mailtos://…`, `slack://…` or `json://…`. It is a secret: write ${NOTIFY_URL}."""
    on: Annotated[tuple[EventName, ...], Field(min_length=1), DefaultText("all")] = EVENT_NAMES
    """Events to notify of: finished, failed, waiting, stuck, stopped, over_budget."""
    attach: Annotated[tuple[ReportName, ...], DefaultText("none")] = ()
    """Reports and exports to write at the end of the run and to attach, such as `[html]`."""
    title: Annotated[str | None, DefaultText("by the event")] = None
    """Template of the title; see docs/results.md for the names it may use."""
    text: Annotated[str | None, DefaultText("by the event")] = None
    """Template of the text."""
