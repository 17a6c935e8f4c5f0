"""Signals: the first leaves in order, the second at once, each moment has its exit code."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import pytest
from cli_process import (
    JOB_FILE,
    LONGEST_SECONDS,
    Crew,
    Process,
    ProcessOptions,
    call,
    call_with,
    environment,
    read_until,
    start,
    write_trips,
)
from held_crew import HeldCrew

pytestmark = pytest.mark.crash  # starts many processes

SIGNALS = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
DRIVER = Path(__file__).with_name("signal_driver.py")
TABLE = {0, 1, 2, 3, 4, 5}

INTERRUPTED = "batchcrew: interrupted by {}"


def running(folder: Path, held: HeldCrew, *options: str) -> Process:
    """A run whose executions are in progress."""
    run = start(folder, "run", "jobs.yaml", *options)
    held.wait_for_kickoffs(6, run)
    return run


@SIGNALS
def test_the_first_signal_leaves_executions_to_the_next_run(
    folder: Path, held: HeldCrew, number: signal.Signals
) -> None:
    run = running(folder, held)
    run.send_signal(number)
    _, said = run.communicate()
    assert run.returncode == 3
    assert f"stopped: by {number.name}" in said
    assert "resume:" in said
    assert said.endswith("\n")
    counts = json.loads(call(folder, "status", "--json").stdout)["counts"]
    assert (counts["open"], counts["pending"]) == (6, 34)
    assert held.kickoffs == 6


def test_the_second_signal_ends_the_run_at_once_with_a_consistent_ledger(folder: Path, held: HeldCrew) -> None:
    run = running(folder, held, "--drain")
    run.send_signal(signal.SIGINT)
    read_until(run, "SIGINT")  # it waits for executions that never end
    interrupt_until_it_ends(run)
    assert run.returncode == 3
    assert "stopped immediately" in run.communicate()[1]
    assert_whole(folder, held)


def test_the_second_signal_ends_also_while_another_program_holds_the_ledger(folder: Path, held: HeldCrew) -> None:
    run = running(folder, held, "--drain")
    other = sqlite3.connect(folder / "results" / "batchcrew.db", isolation_level=None, timeout=LONGEST_SECONDS)
    other.execute("BEGIN IMMEDIATE")
    run.send_signal(signal.SIGINT)
    interrupt_until_it_ends(run)
    other.execute("ROLLBACK")
    other.close()
    assert run.returncode == 3
    run.communicate()
    assert_whole(folder, held)


def interrupt_until_it_ends(run: Process) -> None:
    """Press Ctrl-C again and again, as you do in a hurry."""
    pause = threading.Event()
    while run.poll() is None:
        run.send_signal(signal.SIGINT)
        pause.wait(0.1)


def assert_whole(folder: Path, held: HeldCrew) -> None:
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    counts = json.loads(call(folder, "status", "--json").stdout)["counts"]
    assert counts["open"] + counts["pending"] == 40
    assert counts["open"] == held.kickoffs == 6


@SIGNALS
@pytest.mark.parametrize("command", ["run", "tick", "adopt"])
def test_a_signal_after_the_first_line_has_a_code_of_the_table(
    folder: Path, held: HeldCrew, number: signal.Signals, command: str
) -> None:
    (folder / "ids.csv").write_text("job_id,kickoff_id\ntrip-1,no-such-id\n", encoding="utf-8")
    more = {"adopt": ("--csv", "ids.csv")}.get(command, ("--log-format", "json"))
    process = start(folder, command, "jobs.yaml", *more)
    process.stderr.readline()
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 3, said
    assert "Traceback" not in said


Drive: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


def driven(folder: Path, point: str, number: signal.Signals, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that gets the signal at that point of its code, where everything has been imported."""
    return call_with(ProcessOptions(script=DRIVER), folder, point, number.name, "--", *arguments)


def driven_fresh(
    folder: Path, point: str, number: signal.Signals, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """The same in a new interpreter, where most calls are those of imports."""
    return subprocess.run(
        [sys.executable, str(DRIVER), point, number.name, "--", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_SECONDS,
    )


@pytest.fixture
def finished(folder: Path) -> Path:
    """A batch of three jobs that has ended."""
    write_trips(folder, 3)
    crew = Crew(folder, "--execution-time", "1ms")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
    assert call(folder, "run", "jobs.yaml").returncode == 0
    crew.stop()
    return folder


POINTS = {
    "before the command is read": ("LazyGroup.get_command", 3),
    "before the loop": ("loop_factory", 3),
    "before the handlers of the run": ("with_signals", 3),
    "as the work begins": ("run_batch", 0),
    "as the loop is closed": ("Runner.close", 0),
    "before the summary": ("summary_json", 0),
    "in the middle of the summary": ("_Stdout.write", 0),
    "after the summary": ("uninterruptible", 0),
    "as the process leaves": ("leave", 0),
    "as the interpreter ends": ("atexit", 0),
}


@pytest.mark.parametrize("name", POINTS)
def test_a_signal_at_this_point_of_a_run(finished: Path, name: str) -> None:
    """No job is left, so a signal during the work stops nothing: exit 0, and the summary is complete."""
    point, code = POINTS[name]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        ended = driven_fresh(finished, point, number, "run", "jobs.yaml", "--json")
        assert ended.returncode == code, (number, ended.stderr)
        assert "Traceback" not in ended.stderr
        if code == 0:
            assert json.loads(ended.stdout)["counts"]["succeeded"] == 3
        else:
            assert ended.stderr.splitlines() == [INTERRUPTED.format(number.name)]


READING = (
    ("status",),
    ("list", "--json"),
    ("failures", "--json"),
    ("show", "jobs", "trip-1"),
    ("export", "jobs"),
    ("check", "jobs.yaml", "--offline"),
    ("schema",),
    ("retry", "jobs"),
    ("--help",),
)


def interrupted_at(finished: Path, points: Iterable[tuple[Drive, int]], arguments: tuple[str, ...]) -> Counter[int]:
    """Return the exit codes; whatever the signal cut in two, one line says that it came."""
    codes: Counter[int] = Counter()
    for drive, calls in points:
        ended = drive(finished, f"call:{calls}", signal.SIGTERM, *arguments)
        codes[ended.returncode] += 1
        assert "Traceback" not in ended.stderr, (calls, ended.stderr)
        if ended.returncode == 3:
            assert ended.stderr.splitlines() == [INTERRUPTED.format("SIGTERM")], calls
    assert set(codes) <= {0, 3}
    return codes


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_a_signal_at_any_call_of_a_reading_command(finished: Path, arguments: tuple[str, ...]) -> None:
    """The signal comes at the 10th, 100th … function call after `main` has begun."""
    points = [(driven, calls) for calls in (10, 100, 300, 1_000, 3_000)]
    # the imports of a new interpreter are alike in all of them
    points += [(driven_fresh, calls) for calls in (3_000, 30_000)] if arguments[0] == "show" else []
    assert interrupted_at(finished, points, arguments)[3] > 0


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
def test_a_signal_at_many_calls_of_a_reading_command(finished: Path, arguments: tuple[str, ...]) -> None:
    """Among them are those where the loop opens and closes the ledger and then ends itself."""
    interrupted_at(finished, ((driven, calls) for calls in range(500, 4_500, 37)), arguments)


@pytest.mark.parametrize(
    "point",
    [
        "BaseEventLoop.__init__",
        "BaseSelectorEventLoop.__init__",
        "BaseSelectorEventLoop._make_self_pipe",
        "BaseEventLoop.set_debug",
    ],
)
def test_a_signal_while_the_loop_is_made_is_one_line(finished: Path, point: str) -> None:
    """Python prints a complaint when it frees an incomplete event loop; the command hides it."""
    ended = driven(finished, point, signal.SIGTERM, "status")
    assert (ended.returncode, ended.stderr.splitlines()) == (3, [INTERRUPTED.format("SIGTERM")])


def test_a_signal_where_python_swallows_it_ends_the_command(tmp_path: Path) -> None:
    """As in a generator that is being closed: an exception that is raised there is only printed."""
    script = (
        "import os, signal\n"
        "from batchcrew.cli.interruption import interruptible\n"
        "class Ends:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        [None for _ in range(10_000)]\n"
        "interruptible()\n"
        "ends = Ends()\n"
        "del ends\n"
        "print('still here')\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", INTERRUPTED.format("SIGTERM") + "\n")


def test_a_signal_at_any_call_of_a_run(finished: Path) -> None:
    for calls in (100, 1_000, 5_000, 20_000, 60_000, 90_000, 110_000):
        ended = driven_fresh(finished, f"call:{calls}", signal.SIGTERM, "run", "jobs.yaml", "--json")
        assert ended.returncode in {0, 3}, (calls, ended.stderr)
        assert "Traceback" not in ended.stderr, (calls, ended.stderr)
        if ended.stdout:
            assert json.loads(ended.stdout)["batch"] == "jobs"


@SIGNALS
def test_a_served_crew_is_stopped_by_one_signal_and_at_once_by_two(folder: Path, number: signal.Signals) -> None:
    one = Crew(folder).process
    one.send_signal(number)
    one.communicate()
    assert one.returncode == 0
    ended = driven(folder, "CrewServer.drain", number, "serve", "--port", "0")  # hold on: see the driver
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_run_under_nohup_survives_its_terminal(folder: Path, held: HeldCrew) -> None:
    command = ["nohup", sys.executable, "-m", "batchcrew", "run", "jobs.yaml", "--concurrency", "40"]
    run = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert run.stdout is not None
    for line in run.stdout:
        if "start: " in line:
            break
    run.send_signal(signal.SIGHUP)
    held.release()
    said, _ = run.communicate(timeout=LONGEST_SECONDS)
    assert run.returncode == 0, said


def test_a_stuck_thread_does_not_delay_the_exit() -> None:
    script = (
        "import asyncio, time\n"
        "from batchcrew.cli.leaving import leave\n"
        "from batchcrew.cli.loop import call\n"
        "async def work():\n"
        "    began, loop = asyncio.Event(), asyncio.get_running_loop()\n"
        "    def stuck():\n"
        "        loop.call_soon_threadsafe(began.set)\n"
        "        time.sleep(3600)\n"
        "    asyncio.ensure_future(asyncio.to_thread(stuck))\n"
        "    await began.wait()\n"
        "    print('worked', end='')\n"
        "call(work())\n"
        "leave(3)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_SECONDS,
        env=environment(),
    )
    assert (ended.returncode, ended.stdout) == (3, "worked"), ended.stderr


def test_a_closed_terminal_counts_as_a_signal_not_as_a_defect(folder: Path, held: HeldCrew) -> None:
    """Closing the terminal also closes stderr: the summary cannot be printed, but the run ends normally."""
    run = running(folder, held)
    run.stderr.close()
    run.stdout.close()
    run.send_signal(signal.SIGHUP)
    assert run.wait() == 3


def test_a_command_whose_cleanup_never_ends_is_ended(tmp_path: Path) -> None:
    """This happens if the exception hits the event loop between two steps, after the awaited result has arrived."""
    script = (
        "import asyncio, os, signal\n"
        "from batchcrew.cli import interruption, loop\n"
        "interruption.CLEANUP_SECONDS = 0.05\n"
        "async def stuck():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        await asyncio.Event().wait()\n"
        "    finally:\n"
        "        await asyncio.Event().wait()\n"
        "interruption.interruptible()\n"
        "loop.call(stuck())\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", INTERRUPTED.format("SIGTERM") + "\n")


def test_a_signal_between_the_result_and_the_end_of_the_loop_is_one_line(tmp_path: Path) -> None:
    """The loop is stopping already, so its closing cannot wait for anything. The command does not report that."""
    script = (
        "import asyncio, os, signal\n"
        "from batchcrew import cli\n"
        "from batchcrew.cli import loop\n"
        "loop.loop_factory = lambda: None\n"
        "async def work():\n"
        "    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)\n"
        "cli._invoke = lambda arguments: loop.call(work())\n"
        "cli.main([])\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", INTERRUPTED.format("SIGTERM") + "\n")
