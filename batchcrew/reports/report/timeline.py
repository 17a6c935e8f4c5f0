"""Build the timeline of a batch: its intervals and its events."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from batchcrew.base.clock import to_text
from batchcrew.model.control import ControlLine
from batchcrew.model.report_facts import Axis, ReportFacts
from batchcrew.model.report_times import Mark, Timeline, TimelineBin
from batchcrew.reports.report.slot_time import Step, pauses, seconds_of, throttled_steps

MOST_MARKS = 200
_IN_MARKS_AS_PAUSE = {"pause", "unpause"}


def timeline_of(facts: ReportFacts, axis: Axis, steps: Sequence[Step]) -> Timeline:
    """Return the timeline of a batch.

    Args:
        steps: those of the axis.
    """
    bins = [_bin(facts, axis, steps, number) for number in range(axis.bins)]
    marks = sorted(_marks(facts, axis), key=lambda mark: mark.at)
    return Timeline(
        started_at=to_text(axis.start),
        bin_seconds=axis.bin_seconds,
        bins=tuple(bins),
        marks=tuple(marks[:MOST_MARKS]),
        more_marks=max(0, len(marks) - MOST_MARKS),
    )


def _bin(facts: ReportFacts, axis: Axis, steps: Sequence[Step], number: int) -> TimelineBin:
    first, last = number * axis.steps_per_bin, (number + 1) * axis.steps_per_bin
    inside = steps[first:last]
    seconds = sum(step.seconds for step in inside)

    def count(moment: str, *kinds: str) -> int:
        return sum(sum(getattr(facts.moments[kind], moment).numbers[first:last]) for kind in kinds)

    return TimelineBin(
        kickoffs=count("kicked_off", "succeeded", "unsuccessful") + _open_kickoffs(facts, first, last),
        succeeded=count("seen", "succeeded"),
        failed=count("seen", "unsuccessful"),
        refused=count("seen", "refused", "throttled"),
        in_progress=round(sum(step.in_progress for step in inside) / seconds, 3) if seconds else 0.0,
        slots=round(sum(step.allowed for step in inside) / seconds, 3) if seconds else 0.0,
    )


def _open_kickoffs(facts: ReportFacts, first: int, last: int) -> int:
    return sum(facts.moments["open"].kicked_off.numbers[first:last])


def _marks(facts: ReportFacts, axis: Axis) -> Iterator[Mark]:
    for number, span in enumerate(facts.spans, start=1):
        name = f"{span.kind} {number}"
        yield Mark(kind="run_started", at=_at(axis, span.start), text=f"{name} started")
        if span.ended or not facts.running or number < len(facts.spans):
            yield Mark(kind="run_ended", at=_at(axis, span.end), text=f"{name} {_how(span.stopped, ended=span.ended)}")
    for start, end in pauses(facts, axis):
        yield Mark(kind="paused", at=_at(axis, start), until=_at(axis, end), text="paused")
    for start, end in _throttled(facts, axis):
        yield Mark(
            kind="throttled", at=_at(axis, start), until=_at(axis, end), text="the crew refused kickoffs for now"
        )
    for line in facts.controls:
        moment = seconds_of(line.given.at, axis)
        if line.command not in _IN_MARKS_AS_PAUSE and 0 <= moment <= axis.seconds:
            yield Mark(kind=line.command, at=line.given.at, text=f"{_command(line)} {line.given}")
    for change in facts.slots:
        if change.crew is not None and change.at <= axis.seconds:
            text = f"{change.slots} slots: {change.reason}"
            yield Mark(kind="slots", at=_at(axis, change.at), text=text, crew=change.crew)


def _how(stopped: str | None, *, ended: bool) -> str:
    if not ended:
        return "was killed"
    return f"stopped: {stopped.replace('_', ' ')}" if stopped else "ended"


def _command(line: ControlLine) -> str:
    """Return `set concurrency = 5`, `reset rate`, `cancel (3 jobs)` or `stop`."""
    value: Any = line.value
    if line.command == "set" and isinstance(value, dict):
        return "set " + ", ".join(f"{name} = {each}" for name, each in value.items())
    if line.command == "reset" and isinstance(value, list):
        return "reset " + ", ".join(map(str, value))
    if line.command == "cancel" and isinstance(value, dict):
        jobs = sum(number for number in value.values() if isinstance(number, int))
        return f"cancel ({jobs} {'job' if jobs == 1 else 'jobs'})"
    return line.command


def _throttled(facts: ReportFacts, axis: Axis) -> Iterator[tuple[float, float]]:
    began: float | None = None
    for number, throttled in enumerate([*throttled_steps(facts), False]):
        if throttled and began is None:
            began = number * axis.step
        elif not throttled and began is not None:
            yield began, min(axis.seconds, number * axis.step)
            began = None


def _at(axis: Axis, seconds: float) -> str:
    return to_text(axis.start + timedelta(seconds=seconds))
