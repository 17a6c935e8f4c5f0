"""One execution of the demo crew, computed from its record and the time; nothing really runs."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from batchcrew.server.demo import crew
from batchcrew.server.demo.review import Review
from batchcrew.server.execution_times import Spread
from batchcrew.server.report import Phase, Report, StepReport, TaskReport

WAITING_SHARE = 0.05
"""Part of its time in which an execution waits to start, in the dialects that have a word for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An execution as it is stored. Moments are seconds since the epoch."""

    kickoff_id: str
    trip: Mapping[str, str]
    """The inputs as the crew reads them (`crew.trip`)."""
    started: float
    duration: float
    fails: bool
    review: Review | None = None
    """Its human task; None: it has none."""

    @property
    def ends(self) -> float:
        if self.review is None:
            return self.started + self.duration
        if self.review.approved_at is None:
            return math.inf
        return self.review.approved_at + crew.PLANNING.share * self.duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One ended task."""

    step: crew.Step
    output: str
    execution_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An execution at one moment. Its texts are made when they are read."""

    record: Record
    waiting: bool
    ended: bool
    paused: bool = False
    """It waits for human input about its current task."""
    done: int
    """Tasks that have succeeded."""

    @property
    def failed(self) -> bool:
        return self.ended and self.record.fails

    @property
    def current(self) -> crew.Step:
        return crew.TASKS[min(self.done, len(crew.TASKS) - 1)]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(self.task(number) for number in range(self.done))

    def task(self, number: int) -> Task:
        """Return an ended task, counted from 0."""
        step = crew.TASKS[number]
        output = self.research if step is crew.RESEARCH else crew.plan(self.record.trip)
        return Task(
            step=step,
            output=output,
            execution_time=round(step.share * self.record.duration, 3),
        )

    @property
    def research(self) -> str:
        output, review = crew.research(self.record.trip), self.record.review
        return output if review is None else review.revised(output)

    @property
    def output(self) -> str:
        return crew.plan(self.record.trip)

    @property
    def error(self) -> str:
        return crew.failure(self.record.trip)

    @property
    def execution_time(self) -> float:
        return round(self.record.duration, 3)

    @property
    def token_usage(self) -> dict[str, int]:
        """Return counts made from the lengths of texts, so that a report has figures to show."""
        prompt = sum(map(len, self.record.trip.values()))
        completion = len(self.output)
        return {"total_tokens": prompt + completion, "prompt_tokens": prompt, "completion_tokens": completion}


def task_ends(record: Record) -> list[float]:
    """Return when each task ends. A task that fails is not included."""
    if record.review is not None:
        return [record.ends - crew.PLANNING.share * record.duration, *([] if record.fails else [record.ends])]
    ends, share = [], 0.0
    for step in crew.TASKS[:-1]:
        share += step.share
        ends.append(record.started + share * record.duration)
    return ends if record.fails else [*ends, record.ends]


def view(record: Record, now: float) -> View:
    """Return the execution as it is at `now`."""
    ended = now >= record.ends
    ends = task_ends(record)
    return View(
        record=record,
        waiting=not ended and now < record.started + WAITING_SHARE * record.duration,
        ended=ended,
        paused=record.review is not None and record.review.waits(now),
        done=len(ends) if ended else sum(end <= now for end in ends),
    )


def report(seen: View) -> Report:
    """Return the view as the routes and webhooks report it."""
    phase: Phase = "waiting" if seen.waiting else "paused" if seen.paused else "running"
    if seen.ended:
        phase = "failed" if seen.failed else "succeeded"
    tasks = tuple(task_report(task) for task in seen.tasks)
    return Report(
        kickoff_id=seen.record.kickoff_id,
        phase=phase,
        current_task=seen.current.task_id,
        done=seen.done,
        total=len(crew.TASKS),
        tasks=tasks,
        output=seen.output if phase == "succeeded" else "",
        error=seen.error if phase == "failed" else "",
        execution_time=seen.execution_time,
        token_usage=seen.token_usage if seen.ended else None,
        last_step=step_report(seen.tasks[-1].step) if seen.tasks else None,
        question=None if phase != "paused" else _question(seen),
        real=False,
    )


def _question(seen: View) -> dict[str, str]:
    return {"task_id": seen.current.task_id, "agent": seen.current.agent, "output": seen.research}


def task_report(task: Task) -> TaskReport:
    """Return the report of an ended task."""
    return TaskReport(
        task_id=task.step.task_id,
        agent=task.step.agent,
        output=task.output,
        execution_time=task.execution_time,
        description=task.step.description,
        expected_output=task.step.expected_output,
        summary=task.step.description[:60],
    )


def step_report(step: crew.Step) -> StepReport:
    """Return what an agent thinks during a task."""
    return StepReport(task_id=step.task_id, agent=step.agent, prompt=step.description, thought=step.thought)


@dataclass(frozen=True, slots=True)
class SimulatedOutcome:
    """The outcome of an execution, which is decided at its kickoff."""

    duration: float
    """Seconds."""
    fails: bool
    asks: bool = False
    """It waits for human input after its first task."""


def simulate(
    *, seed: int, work: bytes, turn: int, execution_time: Spread, fail_rate: float, human_rate: float = 0.0
) -> SimulatedOutcome:
    """Return the outcome of an execution. It depends only on the arguments.

    With the same seed, a rehearsal has the same outcomes in any order of kickoffs.

    Args:
        work: the digest of the execution's inputs.
        turn: the number of the execution among those with the same inputs, from 1.
    """
    digest = hashlib.sha256(b"%d:%b:%d" % (seed, work, turn)).digest()
    of_time, of_failing, of_asking = (int.from_bytes(digest[at : at + 8]) / 2**64 for at in (0, 8, 16))
    return SimulatedOutcome(execution_time.at(of_time), of_failing < fail_rate, of_asking < human_rate)
