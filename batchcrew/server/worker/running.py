"""An execution in its thread, and what a loaded target provides."""

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from batchcrew.server.report import TaskReport
from batchcrew.server.workers.frames import Line, MessageTooLarge
from batchcrew.server.workers.messages import AboutExecution, HumanAnswer, Note, Paused, Ready, TaskEnded

KEPT = 500_000
"""Characters of an output that is cut. As JSON, a character takes 12 bytes at most, so they fit into a message."""
MAX_ERROR = 4000
"""Characters of an error that are sent."""


class TargetError(Exception):
    """The target cannot be served; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of an execution that succeeded."""

    output: str
    result_json: Any = None


@dataclass(slots=True, kw_only=True)
class Running:
    """One execution in its thread."""

    kickoff_id: str
    inputs: Mapping[str, Any]
    events: frozenset[str]
    """Names of the library's events to send."""
    line: Line
    answers: "queue.SimpleQueue[HumanAnswer]" = field(default_factory=queue.SimpleQueue)
    pausing: threading.Lock = field(default_factory=threading.Lock)
    """An execution waits for one human input at a time."""
    usage: dict[str, int] = field(default_factory=dict)
    """Tokens counted so far."""

    def send(self, message: AboutExecution) -> None:
        """Send a message about this execution. A message that cannot be sent is replaced by a note."""
        try:
            self._send(message)
        except (MessageTooLarge, ValueError, RecursionError) as error:
            text = f"a message {type(message).__name__} was omitted: {error}"
            self.line.send(Note(kickoff_id=self.kickoff_id, text=text[:MAX_ERROR]))

    def _send(self, message: AboutExecution) -> None:
        try:
            self.line.send(message)
        except MessageTooLarge:
            if not isinstance(message, TaskEnded):
                raise
            self.line.send(replace(message, task=shortened(message.task)))

    def wait_for_human(self, *, task_id: str, agent: str, output: str) -> HumanAnswer:
        """Pause the execution until there is human input about a task's output."""
        with self.pausing:
            self.send(Paused(kickoff_id=self.kickoff_id, task_id=task_id, agent=agent, output=output))
            return self.answers.get()


class Served(Protocol):
    """A loaded target."""

    def description(self, *, details: bool = False) -> Ready:
        """Return what is served.

        Args:
            details: also return `Ready.details`.
        """
        ...

    def run(self, running: Running) -> Result:
        """Run a crew that has never run. It may raise any exception: the execution fails."""
        ...


def shortened(task: TaskReport) -> TaskReport:
    """Return the report of a task whose output is too large for a message, with its beginning."""
    note = f"\n\n[batchcrew: This output was cut: it has {len(task.output):,} characters.]"
    return replace(task, output=task.output[:KEPT] + note, output_json=None)


def describe_error(error: BaseException) -> str:
    """Return an exception's type and text, shortened to MAX_ERROR characters."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return text if len(text) <= MAX_ERROR else text[: MAX_ERROR - 1] + "…"
