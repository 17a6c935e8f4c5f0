"""One frame of the live display: the tally drawn into a terminal of a given size."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from batchcrew.base.quantities import format_duration
from batchcrew.base.text import clean_name, clean_text, display_width, pad, shorten
from batchcrew.model.job import JobState
from batchcrew.progress.capacity import slots_text
from batchcrew.progress.tally import Tally, Watched

_ENOUGH_ROWS = 12
_MOST_FAILURES = 4
_MOST_EXECUTIONS = 8
"""More of them change too often to be read."""
_MOST_ID_COLUMNS = 40
_MOST_CREW_COLUMNS = 12


_ASCII = str.maketrans("–…×", "-.x")


@dataclass(frozen=True, slots=True)
class Segment:
    """One state of the bar: its marks distinguish it where there is no colour."""

    name: str
    style: str
    mark: str
    ascii_mark: str


_SEGMENTS = {
    JobState.SUCCEEDED: Segment("succeeded", "green", "█", "#"),
    JobState.FAILED: Segment("failed", "red", "x", "x"),
    JobState.HELD: Segment("held", "yellow", "?", "?"),
    JobState.CANCELLED: Segment("cancelled", "magenta", "-", "-"),
    JobState.STALE: Segment("stale", "yellow", "≠", "~"),
    JobState.OPEN: Segment("in progress", "cyan", "▒", ">"),
    JobState.WAITING: Segment("waiting for human input", "yellow", "w", "w"),
    JobState.PENDING: Segment("pending", "dim", "·", "."),
}


def draw(tally: Tally, now: float, *, width: int, height: int, unicode: bool = True) -> Text:
    """Draw the frame in at most `height` lines of at most `width` columns.

    Args:
        now: monotonic seconds.
        unicode: False for a terminal that can show ASCII only.
    """
    if tally.run is None:
        return Text("starting" + ("…" if unicode else "..."), style="dim")
    numbers = _numbers(tally)
    lines = [_bar(tally, numbers, width, unicode=unicode)]
    lines += _facts(tally, numbers, now, width)
    lines += _state(tally, now, width)
    room = rows_to_use(height) - len(lines)
    failures = list(_failures(tally, width, min(_MOST_FAILURES + 1, room // 3)))
    free = height - sum(rows_if_halved(line.cell_len, width) for line in (*lines, *failures))
    lines += _in_flight(tally, now, width, min(room - len(failures), max(2, free)))
    lines += failures
    del lines[height:]
    for line in lines:  # rich's own count of columns decides, because rich would break the line
        line.truncate(width, overflow="crop")
        if not unicode:
            line.plain = line.plain.translate(_ASCII)
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def rows_to_use(height: int) -> int:
    """Return how many rows of a terminal a frame uses: half of them where that is enough.

    What leaves the screen when a terminal becomes smaller is in the scrollback, where no program can erase it. So a
    frame still fits after the terminal was made half as high, or half as wide (see `rows_if_halved`).
    """
    return min(height, max(_ENOUGH_ROWS, (height + 1) // 2))


def rows_if_halved(columns: int, width: int) -> int:
    """Return the rows of a line after the terminal was made half as wide, and has broken it."""
    return 1 if columns <= width // 2 else 2


def _numbers(tally: Tally) -> dict[JobState, int]:
    return {
        **tally.ended,
        JobState.OPEN: len(tally.in_flight),
        JobState.WAITING: tally.waiting,
        JobState.PENDING: tally.pending,
    }


def _bar(tally: Tally, numbers: dict[JobState, int], width: int, *, unicode: bool) -> Text:
    assert tally.run is not None  # noqa: S101 - draw() returns early without a run
    ended, total = tally.ended_jobs, tally.total
    # Rounded down: 100% is shown only once everything has ended.
    right = f" {ended * 100 // total if total else 100:3d}% {ended}/{total}"
    name = clean_name(tally.run.batch, max(1, min(24, width // 3)))
    room = width - display_width(name) - len(right) - 1
    line = Text(f"{name} ", style="bold")
    for state, columns in _shares(numbers, room):
        segment = _SEGMENTS[state]
        line.append((segment.mark if unicode else segment.ascii_mark) * columns, style=f"not bold {segment.style}")
    return line.append(right, style="not bold")


def _shares(numbers: dict[JobState, int], columns: int) -> list[tuple[JobState, int]]:
    """Divide `columns` by the numbers; each state that a job is in gets a column if there are enough."""
    present = [state for state in _SEGMENTS if numbers.get(state)]
    total = sum(numbers[state] for state in present)
    if columns < len(present) or not total:
        return []
    spare = columns - len(present)
    ideal = {state: numbers[state] * spare / total for state in present}
    shares = {state: 1 + int(ideal[state]) for state in present}
    by_rest = sorted(present, key=lambda state: int(ideal[state]) - ideal[state])
    for state in by_rest[: columns - sum(shares.values())]:
        shares[state] += 1
    return list(shares.items())


def _facts(tally: Tally, numbers: dict[JobState, int], now: float, width: int) -> Iterator[Text]:
    """Yield the counts by state and the pace, on one line if they fit."""
    counts = Text()
    for state, number in numbers.items():
        if number:
            counts.append("  " if counts else "").append(f"{number} {_SEGMENTS[state].name}", _SEGMENTS[state].style)
    pace = [format_duration(max(0.0, now - tally.pace.started)), *tally.pace_words(now)]
    said = ", ".join(pace)
    if counts.cell_len + 3 + len(said) <= width:
        counts.append("   ").append(said)
        yield counts
        return
    counts.truncate(width, overflow="ellipsis")
    yield counts
    yield Text(shorten(said, width))


def _state(tally: Tally, now: float, width: int) -> Iterator[Text]:
    """Yield that the run is stopping, and what keeps more jobs from starting."""
    if tally.stopping is not None:
        what = f"stopping: {clean_text(tally.stopping)}; no new jobs will start"
        yield Text(shorten(what, width), style="yellow")
    if slots := slots_text(tally, now):
        yield Text(shorten(slots, width))


def _in_flight(tally: Tally, now: float, width: int, rows: int) -> Iterator[Text]:
    """Yield the executions in progress, the longest first, in at most `rows` lines with their heading."""
    # The event loop changes the dict while this thread reads it; a tuple of its values is copied in one step.
    everything = tuple(tally.in_flight.values())
    if not everything or rows < 2:
        return
    most = min(rows - 1, _MOST_EXECUTIONS)
    shown: Sequence[Watched] = heapq.nsmallest(
        most if len(everything) <= most else max(1, most - (most == rows - 1)), everything, key=_since
    )
    yield Text("in progress" if len(everything) == 1 else "in progress, the longest first", style="bold")
    crews = len({watched.attempt.crew for watched in shown}) > 1 or (tally.run is not None and len(tally.run.crews) > 1)
    names = [clean_name(watched.attempt.job_id, min(_MOST_ID_COLUMNS, max(6, width // 2))) for watched in shown]
    name_columns = max(map(display_width, names))
    for name, watched in zip(names, shown, strict=True):
        yield _execution(name, watched, now, width, name_columns, crews=crews)
    if len(shown) < len(everything) and rows > 2:
        yield Text(f"  and {len(everything) - len(shown)} more", style="dim")


def _since(watched: Watched) -> float:
    return watched.since


def _execution(name: str, watched: Watched, now: float, width: int, name_columns: int, *, crews: bool) -> Text:
    line = Text("  ").append(pad(name, name_columns), style="cyan")
    if crews and width >= 60:
        line.append("  ").append(pad(clean_name(watched.attempt.crew, _MOST_CREW_COLUMNS), _MOST_CREW_COLUMNS))
    line.append("  ").append(pad(format_duration(max(0.0, now - watched.since)), 7, right=True))
    if watched.total_tasks is not None:
        line.append(f"  {watched.completed_tasks or 0}/{watched.total_tasks}")
    doing = clean_text(watched.current_task, limit=width) if watched.current_task else ""
    if watched.waits_for_person:
        line.append("  waiting for human input", style="yellow")
    if doing:
        line.append("  " + doing)
    line.truncate(width, overflow="ellipsis")
    return line


def _failures(tally: Tally, width: int, rows: int) -> Iterator[Text]:
    """Yield the groups that failed last, the largest first, below their heading."""
    groups = tally.failures.latest(rows - 1)
    if not groups:
        return
    yield Text("latest failures, by kind", style="bold")
    columns = max(len(str(group.count)) for group in groups)
    for group in groups:
        again = group.job_state is JobState.PENDING
        word = "to be retried: " if again else "held: " if group.job_state is JobState.HELD else ""
        line = f"  {group.count:>{columns}} × "
        line += f"{group.fingerprint}  " if width >= 60 else ""
        line += word + clean_text(group.reason, limit=max(1, width - display_width(line + word)))
        yield Text(shorten(line, width), style="yellow" if word else "red")
