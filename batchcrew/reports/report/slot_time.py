"""Compute where the time of a batch's slots went, step by step of its axis.

Every second of every slot is counted once: `Duration` (`batchcrew/model/report_times.py`) says what the parts mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from batchcrew.base.clock import from_text
from batchcrew.model.report_facts import AttemptMoments, Axis, Interval, Moments, ReportFacts, RunSpan, SlotChange
from batchcrew.model.report_times import ANSWERS, TIME_PARTS

_FIRST_ADAPTIVE = 10
"""Slots with which `concurrency: auto` begins (`FIRST_SLOTS` in `batchcrew/engine/limits/adaptive.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the axis, in seconds of slots."""

    seconds: float
    """Its length; the last one ends with the batch."""
    used: dict[str, float]
    """Seconds by part, of slots in use."""
    in_progress: float
    """Seconds of executions in progress, without those whose kickoff is being sent."""
    allowed: float
    """Seconds that slots were allowed: all of the step, or the part in which a run was working."""
    free: dict[str, float]
    """Seconds by part, of free slots."""


def steps_of(facts: ReportFacts, axis: Axis) -> Iterator[Step]:
    """Yield the steps of the batch's axis."""
    lengths = [max(0.0, min(axis.step, axis.seconds - number * axis.step)) for number in range(axis.steps)]
    used = _used(facts, axis, lengths)
    paused = _covered(pauses(facts, axis), axis, lengths)
    idle = _covered(gaps(facts, axis), axis, lengths)
    throttled = throttled_steps(facts)
    allowed = _slot_seconds(slots(facts), axis, lengths)
    if allowed is None:
        most = max(
            (sum(each.values()) / length for each, length in zip(used, lengths, strict=True) if length), default=0.0
        )
        allowed = [most * length for length in lengths]
    for number, length in enumerate(lengths):
        in_use = used[number]
        total = sum(in_use.values())
        free = max(0.0, allowed[number] - total)
        pause, gap = (each[number] / length if length else 0.0 for each in (paused, idle))
        # an execution that ended in a gap was noticed late because no run was working
        late = in_use["late_detection"]
        parts = {
            "gaps": free * gap + late * gap,
            "paused": free * pause,
            "throttled" if throttled[number] else "idle": free * max(0.0, 1 - gap - pause),
        }
        yield Step(
            seconds=length,
            used={**in_use, "late_detection": late * (1 - gap)},
            in_progress=total - in_use["kickoffs"],
            allowed=allowed[number] * (1 - gap),
            free=parts,
        )


def part_seconds(steps: Iterable[Step]) -> dict[str, float]:
    """Return the slot-seconds of each part."""
    parts = dict.fromkeys(TIME_PARTS, 0.0)
    for step in steps:
        for each in (step.used, step.free):
            for name, seconds in each.items():
                parts[name] += seconds
    return parts


def _used(facts: ReportFacts, axis: Axis, lengths: Sequence[float]) -> list[dict[str, float]]:
    """Return, for each step, the seconds of slots in use by part."""
    used = [dict.fromkeys((ANSWERS, "unsuccessful", "late_detection", "kickoffs"), 0.0) for _ in lengths]
    for kind, moments in facts.moments.items():
        part = ANSWERS if kind in {"succeeded", "open"} else "unsuccessful"
        for into, spent in zip(used, _spent(moments, axis, lengths), strict=True):
            for name, seconds in zip(("kickoffs", part, "late_detection"), spent, strict=True):
                into[name] += seconds
    return used


def _spent(moments: AttemptMoments, axis: Axis, lengths: Sequence[float]) -> Iterator[tuple[float, float, float]]:
    """Yield, for each step, the seconds of attempts being kicked off, executing, and ended but not seen."""
    started, kicked_off, ended, seen, wait_began, wait_ended = (
        _since(each, axis, lengths)
        for each in (
            moments.started,
            moments.kicked_off,
            moments.ended,
            moments.seen,
            moments.wait_began,
            moments.wait_ended,
        )
    )
    for a, b, c, d, e, f in zip(started, kicked_off, ended, seen, wait_began, wait_ended, strict=True):
        yield max(0.0, a - b), max(0.0, b - c - (e - f)), max(0.0, c - d)


def _since(moments: Moments, axis: Axis, lengths: Sequence[float]) -> Iterator[float]:
    """Yield, for each step, the seconds that have passed in it since each of the moments, summed over them."""
    before = 0
    for number, (count, seconds, length) in enumerate(zip(moments.numbers, moments.seconds, lengths, strict=True)):
        end = number * axis.step + length
        yield before * length + count * end - seconds
        before += count


def pauses(facts: ReportFacts, axis: Axis) -> list[Interval]:
    """Return when operators had paused the batch."""
    found: list[Interval] = []
    began: float | None = None
    for line in facts.controls:
        moment = seconds_of(line.given.at, axis)
        if line.command == "pause" and began is None:
            began = moment
        elif line.command == "unpause" and began is not None:
            found.append((began, moment))
            began = None
    if began is not None:
        found.append((began, axis.seconds))
    return [(start, end) for start, end in _clipped(found, axis) if end > start]


def working(facts: ReportFacts, axis: Axis) -> list[Interval]:
    """Return when a run was working. Ticks that follow each other are one interval: executions run between them."""
    merged: list[RunSpan] = []
    intervals: list[Interval] = []
    for span in facts.spans:
        together = bool(merged) and merged[-1].kind == span.kind == "tick"
        if intervals and (together or span.start <= intervals[-1][1]):
            intervals[-1] = (intervals[-1][0], max(intervals[-1][1], span.end))
        else:
            intervals.append((span.start, span.end))
        merged = [span]
    return _clipped(intervals, axis)


def gaps(facts: ReportFacts, axis: Axis) -> list[Interval]:
    """Return when neither a run was working nor the batch was paused."""
    found: list[Interval] = []
    at = 0.0
    for start, end in sorted([*working(facts, axis), *pauses(facts, axis)]):
        if start > at:
            found.append((at, start))
        at = max(at, end)
    if at < axis.seconds:
        found.append((at, axis.seconds))
    return found


def throttled_steps(facts: ReportFacts) -> list[bool]:
    """Return which steps are throttled: from a refusal for now up to a step in which all kickoffs are accepted."""
    if "throttled" not in facts.moments:
        return []
    refused = facts.moments["throttled"].kicked_off.numbers
    accepted = [0] * len(refused)
    for kind in ("succeeded", "unsuccessful", "open"):
        for number, count in enumerate(facts.moments[kind].kicked_off.numbers):
            accepted[number] += count
    found: list[bool] = []
    throttled = False
    for refusals, acceptances in zip(refused, accepted, strict=True):
        throttled = bool(refusals) or (throttled and not acceptances)
        found.append(throttled)
    return found


def slots(facts: ReportFacts) -> list[tuple[float, int]] | None:
    """Return the number of slots from each moment on; None if no run has recorded it."""
    by_run: dict[int, list[SlotChange]] = {}
    for change in facts.slots:
        by_run.setdefault(change.run, []).append(change)
    if not any(change.crew is None for change in facts.slots):
        return None
    crews = max(1, len(facts.crews))
    limits: dict[str, int] = {}
    found: list[tuple[float, int]] = []
    for run, span in enumerate(facts.spans):
        most, adaptive = (found[-1][1] if found else 0), False
        for position, change in enumerate(by_run.get(run, ())):
            if change.crew is None:
                most, adaptive = change.slots, change.adaptive
            else:
                limits[change.crew] = change.slots
            total = most
            if adaptive:
                unknown = min(_FIRST_ADAPTIVE, most) * max(0, crews - len(limits))
                total = min(most, sum(limits.values()) + unknown)
            found.append((span.start if position == 0 else change.at, total))
    if found and found[0][0] > 0:  # an earlier version of batchcrew recorded no slots
        found.insert(0, (0.0, found[0][1]))
    return found


def _slot_seconds(
    changes: Sequence[tuple[float, int]] | None, axis: Axis, lengths: Sequence[float]
) -> list[float] | None:
    """Return the seconds of all slots in each step; None if the slots are not known."""
    if changes is None:
        return None
    found = [0.0] * len(lengths)
    ends = [*(at for at, _ in changes[1:]), axis.seconds]
    for (start, number), end in zip(changes, ends, strict=True):
        for step, seconds in _parts_of(start, end, axis, lengths):
            found[step] += number * seconds
    return found


def _covered(intervals: Iterable[Interval], axis: Axis, lengths: Sequence[float]) -> list[float]:
    """Return how many seconds of each step the intervals cover; they do not overlap."""
    covered = [0.0] * len(lengths)
    for start, end in intervals:
        for step, seconds in _parts_of(start, end, axis, lengths):
            covered[step] += seconds
    return covered


def _parts_of(start: float, end: float, axis: Axis, lengths: Sequence[float]) -> Iterator[tuple[int, float]]:
    """Yield the steps that an interval meets, and for how many seconds."""
    for step in range(max(0, int(start / axis.step)), min(len(lengths), int(end / axis.step) + 1)):
        low = step * axis.step
        overlap = min(end, low + lengths[step]) - max(start, low)
        if overlap > 0:
            yield step, overlap


def _clipped(intervals: Iterable[Interval], axis: Axis) -> list[Interval]:
    return [(min(max(start, 0.0), axis.seconds), min(max(end, 0.0), axis.seconds)) for start, end in intervals]


def seconds_of(moment: str, axis: Axis) -> float:
    """Return a moment of the ledger in seconds of the axis."""
    return (from_text(moment) - axis.start).total_seconds()
