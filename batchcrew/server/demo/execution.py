"""One execution as a function of its record and the time: nothing runs, so nothing has to be kept running."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from batchcrew.server.demo import crew
from batchcrew.server.options import Spread
from batchcrew.server.report import Phase, Report, StepReport, TaskReport

WAITING_SHARE = 0.05
"""Part of the time in which an execution waits to start, in the dialects that can say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of an execution. Moments are seconds since the epoch."""

    kickoff_id: str
    trip: Mapping[str, str]
    """What the crew read of its inputs (`crew.trip`)."""
    started: float
    duration: float
    fails: bool

    @property
    def ends(self) -> float:
        return self.started + self.duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One ended task."""

    step: crew.Step
    output: str
    execution_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An execution at one moment. Its texts are made when they are asked for."""

    record: Record
    waiting: bool
    ended: bool
    done: int
    """Tasks that have ended well."""

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
        """One ended task, counted from 0."""
        step = crew.TASKS[number]
        write = crew.research if step is crew.RESEARCH else crew.plan
        return Task(
            step=step,
            output=write(self.record.trip),
            execution_time=round(step.share * self.record.duration, 3),
        )

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
        """Made from lengths, so that a report has figures to show."""
        prompt = sum(map(len, self.record.trip.values()))
        completion = len(self.output)
        return {"total_tokens": prompt + completion, "prompt_tokens": prompt, "completion_tokens": completion}


def task_ends(record: Record) -> list[float]:
    """When each task ends (one that fails never does)."""
    ends, share = [], 0.0
    for step in crew.TASKS[:-1]:
        share += step.share
        ends.append(record.started + share * record.duration)
    return ends if record.fails else [*ends, record.ends]


def view(record: Record, now: float) -> View:
    """The execution as it is at `now`."""
    ended = now >= record.ends
    ends = task_ends(record)
    return View(
        record=record,
        waiting=not ended and now < record.started + WAITING_SHARE * record.duration,
        ended=ended,
        done=len(ends) if ended else sum(end <= now for end in ends),
    )


def report(seen: View) -> Report:
    """The view as the routes and webhooks speak of it."""
    phase: Phase = "waiting" if seen.waiting else "running"
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
        real=False,
    )


def task_report(task: Task) -> TaskReport:
    """One ended task."""
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
    """What an agent thinks while it is at `step`."""
    return StepReport(task_id=step.task_id, agent=step.agent, prompt=step.description, thought=step.thought)


@dataclass(frozen=True, slots=True)
class SimulatedOutcome:
    """How an execution will go: settled at its kickoff."""

    duration: float
    fails: bool


def fate(*, seed: int, work: bytes, turn: int, execution_time: Spread, fail_rate: float) -> SimulatedOutcome:
    """The fate of the `turn`th execution (from 1) of the same `work`, the digest of its inputs.

    It hangs on nothing else: with one seed a rehearsal repeats, in whatever order its kickoffs arrive.
    """
    digest = hashlib.sha256(b"%d:%b:%d" % (seed, work, turn)).digest()
    of_time, of_failing = (int.from_bytes(digest[at : at + 8]) / 2**64 for at in (0, 8))
    return SimulatedOutcome(execution_time.at(of_time), of_failing < fail_rate)
