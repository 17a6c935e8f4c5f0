"""One execution as a function of its record and the time: nothing runs, so nothing has to be kept running."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchcrew.server import crew


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of an execution. Moments are seconds since the epoch."""

    kickoff_id: str
    inputs: Mapping[str, Any]
    meta: Mapping[str, Any] | None
    started: float
    duration: float
    fails: bool

    @property
    def ends(self) -> float:
        return self.started + self.duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One ended task."""

    task_id: str
    agent: str
    output: str
    execution_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An execution at one moment."""

    record: Record
    waiting: bool
    ended: bool
    tasks: tuple[Task, ...]

    @property
    def failed(self) -> bool:
        return self.ended and self.record.fails

    @property
    def current_task(self) -> str:
        return crew.TASKS[min(len(self.tasks), len(crew.TASKS) - 1)][0]

    @property
    def output(self) -> str:
        return crew.plan(self.record.inputs)

    @property
    def error(self) -> str:
        return crew.failure(self.record.inputs)

    @property
    def token_usage(self) -> dict[str, int]:
        """Made from lengths, so that a report has figures to show."""
        prompt = sum(len(str(value)) for value in self.record.inputs.values())
        completion = len(self.output)
        return {"total_tokens": prompt + completion, "prompt_tokens": prompt, "completion_tokens": completion}


def task_ends(record: Record) -> list[float]:
    """When each task ends (one that fails never does)."""
    ends, passed = [], record.started
    for number, (_, _, share) in enumerate(crew.TASKS):
        passed += share * record.duration
        if not (record.fails and number == len(crew.TASKS) - 1):
            ends.append(passed)
    return ends


def view(record: Record, now: float) -> View:
    """The execution as it is at `now`."""
    outputs = (crew.research(record.inputs), crew.plan(record.inputs))
    ended = now >= record.ends
    done = len(task_ends(record)) if ended else sum(end <= now for end in task_ends(record))
    tasks = tuple(
        Task(
            task_id=task_id,
            agent=agent,
            output=outputs[number],
            execution_time=round(share * record.duration, 3),
        )
        for number, (task_id, agent, share) in enumerate(crew.TASKS[:done])
    )
    waiting = not ended and now < record.started + 0.05 * record.duration
    return View(record=record, waiting=waiting, ended=ended, tasks=tasks)
