"""The key `notify:` of a job file: who is told about a batch, and about what."""

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field, SecretStr

from batchcrew.config.declarations import DefaultText, Example, Settings
from batchcrew.config.reports import ReportName

EventName: TypeAlias = Literal["finished", "failed", "waiting", "stuck", "stopped", "over_budget"]
"""What people are told about."""
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)


class NotifyTarget(Settings):
    """A receiver of notifications."""

    url: Annotated[SecretStr, Field(min_length=1), Example('"${NOTIFY_URL}"')]
    """URL of apprise, such as `mailtos://…`, `slack://…` or `json://…`. It is a secret: write ${NOTIFY_URL}."""
    on: Annotated[tuple[EventName, ...], Field(min_length=1), DefaultText("all")] = EVENT_NAMES
    """What to tell: finished, failed, waiting, stuck, stopped, over_budget."""
    attach: Annotated[tuple[ReportName, ...], DefaultText("none")] = ()
    """Reports and exports to write at the end of the run and to attach, such as `[html]`."""
    title: Annotated[str | None, DefaultText("by the event")] = None
    """Template of the title; see docs/results.md for the names it may use."""
    text: Annotated[str | None, DefaultText("by the event")] = None
    """Template of the text."""
