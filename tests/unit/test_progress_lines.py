"""The plain and the quiet progress, and the tally beneath them."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from manual_clock import ManualClock

from batchcrew.base.clock import to_text
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.crew_answers import Unclear
from batchcrew.model.events import (
    AttemptEnded,
    Event,
    KickedOff,
    KickoffSent,
    Polled,
    Progressed,
    RunStarted,
    Stopping,
    Understood,
    WaitEnded,
    WaitStarted,
    Warned,
)
from batchcrew.model.execution import Execution, ExecutionState, Question
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts
from batchcrew.progress import Progress
from batchcrew.progress.failed import LONGEST_REASON, MOST_GROUPS
from batchcrew.progress.json_log import JsonLogProgress
from batchcrew.progress.pace import Pace
from batchcrew.progress.plain import MOST_LINES, PlainProgress
from batchcrew.progress.quiet import QuietProgress
from batchcrew.progress.tally import Tally

START = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def attempt(job_id: str, *, number: int = 1, kicked_off_at: str | None = None) -> Attempt:
    return Attempt(
        attempt_id=f"attempt-{job_id}-{number}",
        batch="travel",
        job_key=1,
        job_id=job_id,
        crew="default",
        number=number,
        attempts_used=number,
        inputs={},
        meta={},
        intended_at=to_text(START),
        kicked_off_at=kicked_off_at,
    )


def started(counts: Counts, *, concurrency: int = 10, ledger: str = "results/batchcrew.db") -> RunStarted:
    return RunStarted(
        batch="travel",
        run_id="run",
        jobfile="jobs.yaml",
        ledger=ledger,
        crews=("default (https://crew.example)",),
        concurrency=concurrency,
        counts=counts,
    )


def ended(of: Attempt, state: JobState, reason: str | None = None, *, seconds: float | None = 5.0) -> AttemptEnded:
    words = {
        JobState.SUCCEEDED: AttemptState.SUCCEEDED,
        JobState.FAILED: AttemptState.FAILED,
        JobState.PENDING: AttemptState.FAILED,
        JobState.HELD: AttemptState.IN_DOUBT,
    }
    retry_in = 5.0 if state is JobState.PENDING else None
    outcome = Outcome(attempt_state=words[state], job_state=state, reason=reason, retry_in=retry_in)
    return AttemptEnded(of, outcome, seconds)


def running(of: Attempt, state: ExecutionState = ExecutionState.RUNNING, task: str | None = None) -> Progressed:
    execution = Execution(state=state, word="w", current_task=task, completed_tasks=1, total_tasks=2)
    return Progressed(of, execution)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def told(progress: Progress, *events: Event) -> None:
    for event in events:
        progress.observe(event)


def said(stream: io.StringIO) -> list[str]:
    """The lines without their moment."""
    assert stream.getvalue() == "" or stream.getvalue().endswith("\n")
    return [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]


# plain ---------------------------------------------------------------------------------------------------------------


def test_a_line_at_the_start_carries_moment_batch_and_what_is_to_do(clock: ManualClock, stream: io.StringIO) -> None:
    with PlainProgress(stream, clock) as progress:
        progress.observe(started(Counts(succeeded=4, pending=20)))
    assert stream.getvalue() == (
        "2026-02-03T04:05:06Z travel: start: 24 jobs, 4 succeeded, 20 left; concurrency 10; "
        "crew default (https://crew.example); ledger results/batchcrew.db\n"
    )


def test_a_line_at_each_tenth_of_this_runs_work(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    told(progress, started(Counts(succeeded=900, pending=100)))
    for number in range(100):
        clock.seconds += 0.1
        told(progress, ended(attempt(f"j{number}"), JobState.SUCCEEDED))
    lines = [line for line in said(stream) if "progress:" in line]
    assert len(lines) == 10
    assert lines[0].startswith("travel: progress: 910 of 1000 ended (910 succeeded), 0 in progress, ")
    assert lines[-1].startswith("travel: progress: 1000 of 1000 ended (1000 succeeded), 0 in progress")
    assert "left" not in lines[-1]


def test_a_line_at_each_minute_when_little_ends(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    slow = attempt("slow")
    told(progress, started(Counts(pending=1000)), KickedOff(slow))
    for _ in range(30):
        clock.seconds += 10
        told(progress, running(slow))
    lines = [line for line in said(stream) if "progress:" in line]
    assert len(lines) == 5
    assert lines[0] == "travel: progress: 0 of 1000 ended (0 succeeded), 1 in progress"


def test_fewer_than_ten_jobs_say_one_line_each(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    told(progress, started(Counts(pending=3)))
    for name in "abc":
        told(progress, ended(attempt(name), JobState.SUCCEEDED))
    assert sum("progress:" in line for line in said(stream)) == 3


def test_failed_held_and_retried_jobs_have_different_lines(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    told(
        progress,
        started(Counts(pending=100)),
        ended(attempt("a"), JobState.FAILED, "the crew said: no flights"),
        ended(attempt("b"), JobState.HELD, "HTTP 502 at kickoff"),
        ended(attempt("c", number=2), JobState.PENDING, "the crew said: busy"),
        ended(attempt("d"), JobState.SUCCEEDED),
    )
    assert said(stream)[1:] == [
        "travel: job a: failed: the crew said: no flights",
        "travel: job b: held: HTTP 502 at kickoff",
        "travel: job c: retrying in 5.0s after attempt 2: the crew said: busy",
    ]


def test_a_temporary_refusal_is_not_a_failure(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    refused = Outcome(attempt_state=AttemptState.REJECTED, job_state=JobState.PENDING, reason="HTTP 429", retry_in=1.0)
    told(progress, started(Counts(pending=10)), AttemptEnded(attempt("a"), refused, None))
    assert len(said(stream)) == 1


@pytest.mark.parametrize(
    ("state", "kind"), [(JobState.FAILED, "failures"), (JobState.PENDING, "retries")], ids=["failed", "retried"]
)
def test_thousands_of_failures_do_not_flood_the_log(
    clock: ManualClock, stream: io.StringIO, state: JobState, kind: str
) -> None:
    progress = PlainProgress(stream, clock)
    told(progress, started(Counts(pending=1_000_000), ledger="my results/x.db"))
    for number in range(5000):
        told(progress, ended(attempt(f"j{number}"), state, "broken"))
    lines = said(stream)
    assert len(lines) == 1 + MOST_LINES + 1
    assert lines[-1] == (
        f"travel: further {kind} are not shown; the ledger has them: batchcrew status travel --ledger 'my results/x.db'"
    )


def test_warnings_and_stopping_are_printed(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    told(progress, Warned("the token goes over http"), started(Counts(pending=9)), Stopping("SIGTERM came", 3))
    lines = said(stream)
    assert lines[0] == "batchcrew: warning: the token goes over http"
    assert lines[2] == "travel: stopping: SIGTERM came; 3 in progress"


def test_a_job_that_waits_for_human_input_is_reported_once(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    one = attempt("a")
    told(progress, started(Counts(pending=9)), KickedOff(one), WaitStarted(one, Question()), WaitEnded(one))
    assert said(stream)[1:] == ["travel: job a: waiting for human input"]


def test_hostile_ids_and_reasons_stay_one_harmless_line(clock: ManualClock, stream: io.StringIO) -> None:
    progress = PlainProgress(stream, clock)
    told(
        progress,
        started(Counts(pending=100)),
        ended(attempt("a\nb\x1b[2J"), JobState.FAILED, "x\r\ny\x9b31m" + "z" * 5_000_000),
        Warned("\x1b]0;title\x07"),
    )
    text = stream.getvalue()
    assert text.count("\n") == 3
    assert "\x1b" not in text
    assert "job a b\\x1b[2J: failed: x y\\x9b31mzzz" in text
    assert max(map(len, text.splitlines())) < 500


class BrokenStream(io.StringIO):
    """A stream whose reader went away."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.writes = 0

    def write(self, text: str, /) -> int:
        self.writes += 1
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "I/O error"), ValueError("closed")], ids=repr)
def test_a_broken_stream_is_written_once_and_the_run_continues(clock: ManualClock, error: Exception) -> None:
    broken = BrokenStream(error)
    for progress in (PlainProgress(broken, clock), QuietProgress(broken)):
        broken.writes = 0
        told(progress, started(Counts(pending=9)), Warned("one"), Warned("two"))
        assert broken.writes == 1


def test_a_closed_stream_is_not_an_error(clock: ManualClock) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):  # None: the value of sys.stderr under `2>&-`
        told(PlainProgress(stream, clock), started(Counts(pending=9)))
        told(QuietProgress(stream), Warned("w"))


def test_an_ascii_log_gets_escapes_instead_of_an_error(clock: ManualClock) -> None:
    below = io.BytesIO()
    log = io.TextIOWrapper(below, encoding="ascii", errors="strict")
    told(PlainProgress(log, clock), started(Counts(pending=9)), ended(attempt("東京"), JobState.FAILED, "no"))
    assert b"job \\u6771\\u4eac: failed: no\n" in below.getvalue()


def test_each_line_is_one_write_and_flushed(clock: ManualClock) -> None:
    calls: list[str] = []

    class Recorder(io.StringIO):
        def write(self, text: str, /) -> int:
            calls.append(text)
            return len(text)

        def flush(self) -> None:
            calls.append("flush")

    told(PlainProgress(Recorder(), clock), started(Counts(pending=9)), Warned("w"))
    assert [call if call == "flush" else call[-1] for call in calls] == ["\n", "flush", "\n", "flush"]


# quiet ---------------------------------------------------------------------------------------------------------------


def test_verbose_prints_each_request_and_what_was_understood(clock: ManualClock, stream: io.StringIO) -> None:
    first, accepted = attempt("tokyo"), replace(attempt("tokyo"), kickoff_id="k-1")
    result = attempt("kyoto", number=2, kicked_off_at=to_text(START))
    events: list[Event] = [
        KickoffSent(first),
        KickoffSent(first, "no answer"),
        KickedOff(accepted),
        KickedOff(accepted, taken_up=True),
        Understood("default", "kickoff id", "data.kickoff_id"),
        Polled(accepted, Execution(state=ExecutionState.RUNNING, word="warming up")),
        Polled(accepted, Unclear("the answer is empty")),
        KickedOff(result),
        ended(result, JobState.SUCCEEDED),
        AttemptEnded(
            first,
            Outcome(attempt_state=AttemptState.REJECTED, job_state=JobState.PENDING, reason="429 Too Many Requests"),
            None,
        ),
        ended(accepted, JobState.PENDING, "no luck"),
    ]
    told(PlainProgress(stream, clock, brief=True), *events)
    assert said(stream) == ["batchcrew: job tokyo: retrying in 5.0s after attempt 1: no luck"]
    stream.truncate(0)
    stream.seek(0)
    told(PlainProgress(stream, clock, brief=True, verbose=True), *events)
    assert [line.removeprefix("batchcrew: ") for line in said(stream)] == [
        "job tokyo: kickoff sent to crew default, attempt 1",
        "job tokyo: the same kickoff sent again: no answer",
        "job tokyo: kickoff accepted as k-1",
        "job tokyo: kickoff resumed as k-1",
        "crew default: found the kickoff id at data.kickoff_id",
        "job tokyo: poll: warming up",
        "job tokyo: poll: no status: the answer is empty",
        "job kyoto: kickoff answered with the result",
        "job kyoto: succeeded",
        "job tokyo: kickoff refused, to be sent again: 429 Too Many Requests",
        "job tokyo: retrying in 5.0s after attempt 1: no luck",
    ]


def test_verbose_lines_are_harmless_and_none_is_left_out(clock: ManualClock, stream: io.StringIO) -> None:
    evil = "\x1b]0;owned\x07\u202e\n" + "x" * 500
    of = replace(attempt(evil), kickoff_id=evil[:100], crew=evil)
    progress = PlainProgress(stream, clock, brief=True, verbose=True)
    word = Execution(state=ExecutionState.RUNNING, word=evil)
    told(progress, KickoffSent(of, evil), KickedOff(of), Polled(of, word), Polled(of, Unclear(evil)))
    told(progress, Understood(evil, "status", evil), *[ended(attempt("t"), JobState.FAILED, "why")] * (MOST_LINES + 5))
    lines = said(stream)
    assert len(lines) == 5 + MOST_LINES + 5
    assert all(line.isprintable() and "\u202e" not in line for line in lines)


def test_the_json_log_has_each_request_with_verbose_only(clock: ManualClock, stream: io.StringIO) -> None:
    of = replace(attempt("tokyo"), kickoff_id="k-1")
    events: list[Event] = [
        KickoffSent(attempt("tokyo"), "no answer"),
        Polled(of, Execution(state=ExecutionState.RUNNING, word="warming up")),
        Polled(of, Unclear("the answer is empty")),
        Understood("default", "status", "data.state"),
    ]
    told(JsonLogProgress(stream, clock), *events)
    assert stream.getvalue() == ""
    told(JsonLogProgress(stream, clock, verbose=True), *events)
    sent, known, unclear, understood = map(json.loads, stream.getvalue().splitlines())
    assert (sent["event"], sent["job"], sent["again"], sent["kickoff_id"]) == (
        "kickoff_sent",
        "tokyo",
        "no answer",
        None,
    )
    assert (known["event"], known["word"], known["state"], known["problem"]) == (
        "polled",
        "warming up",
        "running",
        None,
    )
    assert (unclear["event"], unclear["word"], unclear["problem"]) == ("polled", None, "the answer is empty")
    assert understood | {"crew": "default", "what": "status", "place": "data.state"} == understood


def test_quiet_prints_only_what_needs_the_operator(stream: io.StringIO) -> None:
    one = attempt("a\x1b")
    waits = running(one, ExecutionState.WAITING_FOR_HUMAN)
    with QuietProgress(stream) as progress:
        told(
            progress,
            started(Counts(pending=9)),
            KickedOff(one),
            running(one),
            waits,
            waits,
            Warned("the word FOO\nis not known"),
            ended(one, JobState.FAILED, "no"),
            Stopping("max_runtime", 0),
        )
    waiting, warning = stream.getvalue().splitlines()
    assert waiting.startswith("travel: job a\\x1b: ")
    assert warning == "travel: warning: the word FOO is not known"


def test_quiet_is_bounded_too(stream: io.StringIO) -> None:
    progress = QuietProgress(stream)
    for number in range(500):
        progress.observe(Warned(str(number)))
    assert stream.getvalue().splitlines()[-1] == "batchcrew: further warnings are not shown"
    assert len(stream.getvalue().splitlines()) == 51


# the tally -----------------------------------------------------------------------------------------------------------


def test_the_tally_counts_by_state_and_executions_in_progress(clock: ManualClock) -> None:
    tally = Tally(clock)
    told_to = [attempt(name) for name in "abcd"]
    tally.observe(started(Counts(succeeded=10, failed=1, pending=8, open=1)))
    for one in told_to:
        tally.observe(KickedOff(one))
    assert (tally.total, tally.ended_jobs, tally.left, tally.pending) == (20, 11, 9, 5)
    tally.observe(ended(told_to[0], JobState.SUCCEEDED))
    tally.observe(ended(told_to[1], JobState.HELD, "in doubt"))
    tally.observe(ended(told_to[2], JobState.PENDING, "again"))
    assert (tally.total, tally.ended_jobs, tally.left, tally.pending) == (20, 13, 7, 6)
    assert [group.job_state for group in tally.failures.latest(5)] == [JobState.HELD, JobState.PENDING]


def test_a_resumed_execution_is_as_old_as_its_kickoff(clock: ManualClock) -> None:
    tally = Tally(clock)
    old = attempt("a", kicked_off_at=to_text(START - timedelta(minutes=5)))
    tally.observe(KickedOff(old, taken_up=True))
    (watched,) = tally.in_flight.values()
    assert clock.monotonic() - watched.since == 300.0


def test_memory_is_bounded_by_the_executions_in_progress(clock: ManualClock) -> None:
    tally = Tally(clock)
    tally.observe(started(Counts(pending=100_000)))
    for number in range(5000):
        clock.seconds += 1
        one = attempt(f"j{number}")
        tally.observe(KickedOff(one))
        tally.observe(ended(one, JobState.FAILED, "no" * (number % 250) + "x" * (5000 if number > 4990 else 0)))
    groups = tally.failures.latest(5000)
    assert len(groups) == MOST_GROUPS
    assert max(len(group.reason) for group in groups) == LONGEST_REASON
    assert not tally.in_flight
    assert len(tally.pace._times) <= 241


def test_events_of_attempts_that_are_not_watched_change_nothing(clock: ManualClock) -> None:
    tally = Tally(clock)
    tally.observe(running(attempt("ghost")))
    assert not tally.in_flight


def test_the_rate_follows_a_crew_that_slows_down() -> None:
    pace = Pace(0.0)
    times: Iterator[float] = (float(second) for second in range(1, 601))
    for now in times:  # a job a second for ten minutes
        pace.count_one(now)
    assert pace.per_second(600.0) == pytest.approx(1.0, rel=0.02)
    for number in range(1, 61):  # then a job each ten seconds for ten minutes
        pace.count_one(600.0 + number * 10)
    assert pace.per_second(1200.0) == pytest.approx(0.1, rel=0.1)


def test_the_time_left_comes_from_this_run_only(clock: ManualClock) -> None:
    tally = Tally(clock)
    tally.observe(started(Counts(succeeded=100_000, pending=200), concurrency=1))
    assert tally.time_left(clock.monotonic()) is None
    for number in range(100):
        clock.seconds += 2
        tally.observe(ended(attempt(f"j{number}"), JobState.SUCCEEDED, seconds=2.0))
    low, high = tally.time_left(clock.monotonic()) or (0, 0)
    assert 180 < low < 200 < high < 220
    assert tally.per_minute(clock.monotonic()) == pytest.approx(30, rel=0.05)


def test_a_rate_is_said_only_when_there_is_something_to_say(clock: ManualClock) -> None:
    tally = Tally(clock)
    tally.observe(started(Counts(pending=1000), concurrency=1))
    assert tally.pace_words(clock.monotonic()) == []  # nothing has ended
    for number in range(2):
        tally.observe(ended(attempt(f"j{number}"), JobState.SUCCEEDED, seconds=0.0))
        assert tally.pace_words(clock.monotonic()) == []  # in no time, and too few
    clock.seconds += 7200
    assert tally.pace_words(clock.monotonic()) == ["1.0 jobs/h"]  # and not `0.0 jobs/min, 41 d left`
    clock.seconds += 10**7
    assert tally.pace_words(clock.monotonic()) == []  # not `0.0 jobs/h`


def test_no_rate_is_said_of_jobs_that_ended_at_the_same_instant(clock: ManualClock) -> None:
    tally = Tally(clock)
    tally.observe(started(Counts(pending=100), concurrency=10))
    for number in range(5):
        tally.observe(ended(attempt(f"j{number}"), JobState.SUCCEEDED, seconds=0.0))
    assert tally.pace_words(clock.monotonic()) == []


def test_the_first_job_that_ends_does_not_stand_for_all_slots(clock: ManualClock) -> None:
    tally = Tally(clock)
    attempts = [attempt(str(number)) for number in range(10)]
    tally.observe(started(Counts(pending=100), concurrency=10))
    for one in attempts:
        tally.observe(KickedOff(one))
    clock.seconds += 100
    tally.observe(ended(attempts[0], JobState.SUCCEEDED, seconds=100.0))
    # Ten slots of 100 s each: 99 jobs take about 1,000 s and not 9,900 s.
    low, high = tally.time_left(clock.monotonic()) or (0, 0)
    assert 300 < low < 1100 < high


def test_counting_begins_with_the_run(clock: ManualClock) -> None:
    tally = Tally(clock)
    tally.observe(ended(attempt("early"), JobState.SUCCEEDED))
    tally.observe(started(Counts(pending=5)))
    assert tally.ended_jobs == 0
    assert tally.pace.ended == 0
