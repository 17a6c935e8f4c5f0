"""Progress for `--quiet`: only what needs a person, so that cron mails only then."""

from typing import Self, TextIO

from batchcrew.events import AttemptEnded, Event, Progressed, RunStarted, Warned
from batchcrew.models import ExecutionState
from batchcrew.progress.lines import Lines
from batchcrew.progress.plain import LONGEST_WARNING
from batchcrew.reports.clean import clean_text

MOST_LINES = 50
"""Lines of a run, of all kinds."""


class QuietProgress:
    """Says warnings that are new and which jobs wait for a person's answer, and nothing else."""

    def __init__(self, stream: TextIO | None) -> None:
        self._lines = Lines(stream)
        self._said = 0
        self._batch = "batchcrew"
        self._waiting: set[str] = set()
        """attempt_ids that were said to wait; those in flight only."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._batch = clean_text(event.batch, limit=80)
            case Warned(message, repeated) if not repeated:
                self._say(f"warning: {clean_text(message, limit=LONGEST_WARNING)}")
            case Progressed(attempt, execution):
                if execution.state is not ExecutionState.WAITING_FOR_PERSON:
                    self._waiting.discard(attempt.attempt_id)
                elif attempt.attempt_id not in self._waiting:
                    self._waiting.add(attempt.attempt_id)
                    self._say(f"job {clean_text(attempt.job_id, limit=80)}: waits for a person's answer")
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
