"""The live display: its frames at many sizes, and its start and end with a run."""

import io
import re
import sys
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manual_clock import ManualClock
from rich.cells import cell_len
from rich.console import Console

from batchcrew.base.clock import SystemClock
from batchcrew.base.reasons import reason_fingerprint
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.events import AttemptEnded, Event, KickedOff, Progressed, RunStarted, Stopping, Warned
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts
from batchcrew.progress.frame import draw
from batchcrew.progress.live import LiveProgress
from batchcrew.progress.tally import Tally

START = datetime(2026, 2, 3, tzinfo=UTC)
HOSTILE = [
    "[red]tokyo[/red]",
    "a\nb\x1b[2J",
    "日本語のとても長い名前" * 5,
    "x" * 500,
    "\u202eevil",
    "e\u0301" * 40,
    "🧳 trip",
]


def attempt(job_id: str, *, crew: str = "default") -> Attempt:
    return Attempt(
        attempt_id=f"attempt-{job_id}",
        batch="travel",
        job_key=1,
        job_id=job_id,
        crew=crew,
        number=1,
        attempts_used=1,
        inputs={},
        meta={},
        intended_at="2026-02-03T00:00:00.000Z",
    )


def started(counts: Counts, *, batch: str = "travel", crews: tuple[str, ...] = ("default (url)",)) -> RunStarted:
    return RunStarted(
        batch=batch, run_id="run", jobfile="j.yaml", ledger="l.db", crews=crews, concurrency=10, counts=counts
    )


def failed(of: Attempt, reason: str, state: JobState = JobState.FAILED) -> AttemptEnded:
    return AttemptEnded(of, Outcome(attempt_state=AttemptState.FAILED, job_state=state, reason=reason), 3.0)


def tally_of(*events: Event, clock: ManualClock | None = None) -> Tally:
    tally = Tally(clock or ManualClock(START))
    for event in events:
        tally.observe(event)
    return tally


def lines_of(
    tally: Tally, *, now: float = 1010.0, width: int = 80, height: int = 23, unicode: bool = True
) -> list[str]:
    """The frame as a terminal of `width` columns would show it."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height + 1, color_system=None)
    console.print(draw(tally, now, width=width, height=height, unicode=unicode), end="")
    return out.getvalue().split("\n")


def busy_tally(in_flight: int = 30) -> Tally:
    events: list[Event] = [started(Counts(succeeded=40, pending=60), crews=("research (u)", "writer (v)"))]
    events += [KickedOff(attempt(f"job-{number}", crew="research")) for number in range(in_flight)]
    events += [failed(attempt(f"bad-{number}"), f"reason {number} " * 50) for number in range(8)]
    return tally_of(*events)


# frames --------------------------------------------------------------------------------------------------------------


def test_a_frame_shows_bar_counts_rate_eta_executions_and_failures() -> None:
    clock = ManualClock(START)
    tokyo = attempt("tokyo")
    tally = tally_of(
        started(Counts(succeeded=4, pending=20)), KickedOff(tokyo), KickedOff(attempt("kyoto")), clock=clock
    )
    clock.seconds += 60
    running = Execution(
        state=ExecutionState.RUNNING, word="running", current_task="research_task", completed_tasks=1, total_tasks=2
    )
    tally.observe(Progressed(tokyo, running))
    tally.observe(failed(attempt("osaka"), "the crew said: no flights"))
    lines = lines_of(tally, now=clock.seconds, width=100)
    assert lines[0].startswith("travel ██")
    assert lines[0].endswith("  20% 5/24")
    assert lines[1].startswith("4 succeeded  1 failed  2 in progress  17 pending   1m 00s, 1.0 jobs/min, ")
    assert lines[1].endswith(" min left")
    assert lines[2:] == [
        "in progress, the longest first",
        "  tokyo   1m 00s  1/2  research_task",
        "  kyoto   1m 00s",
        "latest failures, by kind",
        f"  1 × {reason_fingerprint('the crew said: no flights')}  the crew said: no flights",
    ]


@pytest.mark.parametrize("width", [10, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 12, 23, 60])
def test_a_frame_fits_its_terminal(width: int, height: int) -> None:
    for tally in (busy_tally(), busy_tally(0), tally_of(started(Counts())), tally_of()):
        lines = lines_of(tally, width=width, height=height)
        assert len(lines) <= height
        assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", [40, 80, 200])
def test_hostile_ids_are_shown_and_not_obeyed(width: int) -> None:
    events: list[Event] = [started(Counts(pending=50), batch="[bold]\x1b[31mred")]
    for number, name in enumerate(HOSTILE):
        one = attempt(name)
        events.append(KickedOff(one))
        task = Execution(state=ExecutionState.RUNNING, word="w", current_task=name, total_tasks=2)
        events += [Progressed(one, task), failed(attempt(f"{number}{name}"), name)]
    lines = lines_of(tally_of(*events, Stopping(HOSTILE[1], 3)), width=width, height=40)
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "\u202e" not in text
    if width > 40:  # where its row is shown
        assert "[red]tokyo[/" in text  # markup is text
        assert "a b\\x1b[2J" in text
    assert max(map(cell_len, lines)) <= width


@given(st.text(), st.integers(min_value=1, max_value=120), st.integers(min_value=1, max_value=50))
def test_no_text_breaks_the_frame(text: str, width: int, height: int) -> None:
    one = attempt(text, crew=text)
    working = Execution(state=ExecutionState.RUNNING, word="w", current_task=text, completed_tasks=1)
    start = started(Counts(pending=7), batch=text, crews=(text, text))
    tally = tally_of(start, KickedOff(one), Progressed(one, working), failed(attempt("x" + text), text))
    frame = draw(tally, 1001.0, width=width, height=height)
    lines = frame.plain.split("\n")
    assert len(lines) <= height
    assert all(line.isprintable() for line in lines if line.isascii())
    assert max(map(cell_len, lines)) <= width


def test_executions_that_do_not_fit_are_counted() -> None:
    for height in (15, 23, 50):
        lines = lines_of(busy_tally(30), height=height)
        shown = [line for line in lines if line.startswith("  job-")]
        assert 0 < len(shown) <= 8
        assert f"  and {30 - len(shown)} more" in lines


def test_nothing_of_a_frame_leaves_the_screen_of_a_terminal_that_is_made_half_as_wide_or_half_as_high() -> None:
    for width, height in ((80, 23), (120, 39), (200, 60)):
        lines = lines_of(busy_tally(500), width=width, height=height)
        assert len(lines) <= height // 2 + 1
        assert sum(-(-cell_len(line) // (width // 2)) for line in lines) <= height


def test_the_oldest_executions_are_shown_first() -> None:
    lines = lines_of(busy_tally(30), height=10)
    first = next(line for line in lines if line.startswith("  job-"))
    assert first.split()[0] == "job-0"


def test_crews_are_named_only_where_there_are_several() -> None:
    assert any("research" in line for line in lines_of(busy_tally(3)))
    one = tally_of(started(Counts(pending=5)), KickedOff(attempt("a", crew="research")))
    assert not any("research" in line for line in lines_of(one))


def test_the_bar_shows_every_state_that_any_job_is_in() -> None:
    counts = Counts(succeeded=99_000, failed=1, held=1, cancelled=1, pending=1000)
    bar = lines_of(tally_of(started(counts), KickedOff(attempt("a"))), unicode=False)[0]
    for mark in "#x?->.":
        assert mark in bar
    assert bar.isascii()
    assert len(bar) == 80


def test_a_hundred_percent_is_printed_once_all_jobs_have_ended() -> None:
    assert " 99% 99999/100000" in lines_of(tally_of(started(Counts(succeeded=99_999, pending=1))))[0]
    assert "100% 100000/100000" in lines_of(tally_of(started(Counts(succeeded=100_000))))[0]


def test_stopping_and_waiting_for_human_input_are_shown() -> None:
    one = attempt("a")
    waiting = Execution(state=ExecutionState.WAITING_FOR_HUMAN, word="pending human input")
    tally = tally_of(started(Counts(pending=5)), KickedOff(one), Progressed(one, waiting), Stopping("SIGTERM came", 1))
    lines = lines_of(tally)
    assert "stopping: SIGTERM came; no new jobs will start" in lines
    assert any("waiting for human input" in line for line in lines)


def test_a_job_that_is_tried_again_is_not_called_failed() -> None:
    tally = tally_of(started(Counts(pending=5)), failed(attempt("a"), "busy", JobState.PENDING))
    assert f"  1 × {reason_fingerprint('busy')}  to be retried: busy" in lines_of(tally)


# start and end -------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A terminal that records what is written to it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if "in progress" in text:
            self.drawn.set()
        return super().write(text)


@pytest.fixture(autouse=True)
def a_terminal_of_80_by_24(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)


def display_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "batchcrew-display"]


def test_the_display_redraws_in_the_background_and_ends_with_the_run() -> None:
    terminal, stderr = Terminal(), sys.stderr
    with LiveProgress(terminal, SystemClock(), no_color=False) as progress:
        progress.observe(started(Counts(pending=9)))
        progress.observe(KickedOff(attempt("[b]tokyo[/b]")))
        assert terminal.drawn.wait(30)
        assert all(thread.daemon for thread in display_threads())
        assert display_threads()
    assert not display_threads()
    assert sys.stderr is stderr
    sent = terminal.getvalue()
    assert "[b]tokyo[/b]" in sent
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")  # the cursor is back


def test_warnings_stay_above_the_display() -> None:
    terminal = Terminal()
    with LiveProgress(terminal, SystemClock(), no_color=False) as progress:
        progress.observe(started(Counts(pending=9)))
        progress.observe(Warned("the word [red]FOO\x1b[2J is not known"))
    assert "warning: the word [red]FOO\\x1b[2J is not known" in terminal.getvalue()


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_is_kept(no_color: bool) -> None:
    terminal = Terminal()
    with LiveProgress(terminal, SystemClock(), no_color=no_color) as progress:
        progress.observe(started(Counts(succeeded=5, pending=9)))
        progress.observe(KickedOff(attempt("a")))
        assert terminal.drawn.wait(30)
    assert ("\x1b[32m" in terminal.getvalue()) is not no_color


def test_a_terminal_that_fails_does_not_end_the_run() -> None:
    class Gone(Terminal):
        def write(self, text: str, /) -> int:
            raise OSError(5, "I/O error")

    with LiveProgress(Gone(), SystemClock(), no_color=True) as progress:
        progress.observe(started(Counts(pending=9)))
    assert not display_threads()


def test_a_resize_just_before_the_end_leaves_no_stale_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame that the terminal has broken is erased as a whole; it has more lines than were written."""
    terminal = Terminal()
    progress = LiveProgress(terminal, SystemClock(), no_color=True)
    with progress:
        progress.observe(started(Counts(pending=9)))
        progress.observe(KickedOff(attempt("a")))
        assert terminal.drawn.wait(30)
        monkeypatch.setattr("batchcrew.progress.live._FRAME_SECONDS", 3600)  # no further frame: the run ends first
        monkeypatch.setenv("COLUMNS", "20")
        progress._console._width = 20
    sent = terminal.getvalue()
    assert "\x1b[2J" not in sent  # it would move the frame to the scrollback
    # the bar of 80 columns fills 4 rows of 20, and each row is erased before the next frame is drawn
    _, _, after = sent.rpartition("\x1b[2K\x1b[1A" * 6)
    assert after
    assert max(map(cell_len, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", after).splitlines())) <= 20


def test_an_error_of_the_run_passes_through() -> None:
    progress = LiveProgress(Terminal(), SystemClock(), no_color=True)
    with pytest.raises(RuntimeError, match="a defect"), progress:
        raise RuntimeError("a defect")
    assert not display_threads()


def test_observing_never_waits_for_a_stalled_terminal() -> None:
    stalled, free = threading.Event(), threading.Event()

    class Stalled(Terminal):
        def write(self, text: str, /) -> int:
            stalled.set()
            free.wait(30)
            return super().write(text)

    with LiveProgress(Stalled(), SystemClock(), no_color=True) as progress:
        progress.observe(started(Counts(pending=9)))
        assert stalled.wait(30)
        for number in range(1000):  # would hang here
            progress.observe(Warned(str(number)))
        free.set()
