"""The verdict on an answer: whether it counts by the rules of `accept:`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from batchcrew.model.execution import Execution


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of applying the rules to one answer."""

    rejected: str | None = None
    """Why a rule rejects the answer: `shorter than min_length (12 of 200 characters)`. None: it is accepted."""
    lookalike: str | None = None
    """Why an accepted answer may be useless: `an apology`."""


ACCEPTED = Verdict()


def rejection(rule: str) -> str:
    """Return the reason of an attempt, and of its job, whose answer a rule rejects."""
    return f"answer rejected: {rule}"


@dataclass(slots=True, kw_only=True)
class Answered:
    """An answer, and the job that it belongs to. Treat it as frozen, which would cost a microsecond for each answer."""

    execution: Execution
    job_id: str
    crew: str
    inputs: Mapping[str, Any]
    """The inputs that the answer was made from."""
    row: Mapping[str, Any]
    """The columns of the job's row; empty where the rules do not need them."""


class AnswerRules(Protocol):
    """The rules of `accept:`, ready to be applied."""

    @property
    def needs_row(self) -> bool:
        """Whether a rule uses the columns of the job's row."""
        ...

    @property
    def needs_tasks(self) -> bool:
        """Whether a rule uses the results of the crew's tasks."""
        ...

    def is_quick(self, execution: Execution) -> bool:
        """Return whether judging this answer takes microseconds, so that no thread is needed."""
        ...

    def judge(self, answered: Answered) -> Verdict:
        """Return the verdict on an answer."""
        ...
