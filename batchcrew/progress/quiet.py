"""Progress for `--quiet`: print only what needs the operator's attention, so that cron sends mail only then."""

from typing import Self, TextIO

from batchcrew.base.text import clean_text
from batchcrew.model.events import AttemptEnded, Event, Progressed, RunStarted, Warned
from batchcrew.model.execution import ExecutionState
from batchcrew.progress.lines import Lines, warning_line

MOST_LINES = 50
"""Lines of a run, of all kinds."""


class QuietProgress:
    """Prints new warnings and which jobs wait for human input, and nothing else."""

    def __init__(self, stream: TextIO | None) -> None:
        self._lines = Lines(stream)
        self._said = 0
        self._batch = "batchcrew"
        self._waiting: set[str] = set()
        """attempt_ids that were reported as waiting; only those in progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._batch = clean_text(event.batch, limit=80)
            case Warned(repeated=False):
                self._say(warning_line(event))
            case Progressed(attempt, execution):
                if execution.state is not ExecutionState.WAITING_FOR_HUMAN:
                    self._waiting.discard(attempt.attempt_id)
                elif attempt.attempt_id not in self._waiting:
                    self._waiting.add(attempt.attempt_id)
                    self._say(f"job {clean_text(attempt.job_id, limit=80)}: waiting for human input")
            case AttemptEnded(attempt):
                self._waiting.discard(attempt.attempt_id)
            case _:
                pass

    def _say(self, text: str) -> None:
        self._said += 1
        if self._said <= MOST_LINES:
            self._lines.write(f"{self._batch}: {text}")
        elif self._said == MOST_LINES + 1:
            self._lines.write(f"{self._batch}: further warnings are not shown")
