"""Signals: the first leaves in order, the second at once, and nothing keeps the interpreter alive."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli_run import JOB_FILE, Crew, call, environment, start, write_trips


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, 40)
    return tmp_path


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    made = Crew(folder, "--execution-time", "60s", "--no-idempotency")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=made.url), encoding="utf-8")
    yield made
    made.stop()


def running(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """A run whose executions are in flight."""
    run = start(folder, "run", "jobs.yaml", "--log-format", "json", *options)
    assert run.stderr is not None
    for line in run.stderr:
        if json.loads(line)["event"] == "kicked_off":
            return run
    raise AssertionError("it kicked nothing off")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_first_signal_leaves_what_is_in_flight_for_the_next_run(
    folder: Path, crew: Crew, number: signal.Signals
) -> None:
    run = start(folder, "run", "jobs.yaml")
    assert run.stderr is not None
    run.stderr.readline()
    while crew.stats()["kickoffs"] < 6:
        pass
    run.send_signal(number)
    _, said = run.communicate(timeout=50)
    assert run.returncode == 3
    assert f"stopped: by {number.name}" in said
    assert "go on:" in said
    assert said.endswith("\n")
    counts = json.loads(call(folder, "status", "--json").stdout)["counts"]
    assert (counts["open"], counts["pending"]) == (6, 34)
    assert crew.stats()["kickoffs"] == 6


def test_the_second_signal_ends_at_once_and_the_ledger_is_whole(folder: Path, crew: Crew) -> None:
    run = running(folder, "--drain")
    run.send_signal(signal.SIGINT)
    assert run.stderr is not None
    for line in run.stderr:  # it waits for 60 s executions
        if "SIGINT" in line:
            break
    interrupt_until_it_ends(run)
    assert run.returncode == 3
    assert "ended at once" in run.communicate()[1]
    assert_whole(folder, crew)


def test_the_second_signal_ends_also_while_another_program_holds_the_ledger(folder: Path, crew: Crew) -> None:
    run = running(folder, "--drain")
    other = sqlite3.connect(folder / "results" / "batchcrew.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    run.send_signal(signal.SIGINT)
    interrupt_until_it_ends(run)
    other.execute("ROLLBACK")
    other.close()
    assert run.returncode == 3
    run.communicate()
    assert_whole(folder, crew)


def interrupt_until_it_ends(run: "subprocess.Popen[str]") -> None:
    """As a person does who is in a hurry."""
    while run.poll() is None:
        run.send_signal(signal.SIGINT)
        try:
            run.wait(timeout=0.6)
        except subprocess.TimeoutExpired:
            continue


def assert_whole(folder: Path, crew: Crew) -> None:
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    counts = json.loads(call(folder, "status", "--json").stdout)["counts"]
    assert counts["open"] + counts["pending"] == 40
    assert counts["open"] == crew.stats()["kickoffs"] == 6


def test_a_thread_that_is_stuck_keeps_nobody_waiting() -> None:
    script = (
        "import asyncio, time\n"
        "from batchcrew.cli.leaving import leave\n"
        "from batchcrew.cli.loop import call\n"
        "async def work():\n"
        "    asyncio.ensure_future(asyncio.to_thread(time.sleep, 3600))\n"
        "    await asyncio.sleep(0.1)\n"
        "    print('worked', end='')\n"
        "call(work())\n"
        "leave(3)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env=environment(),
    )
    assert (ended.returncode, ended.stdout) == (3, "worked"), ended.stderr


def test_a_terminal_that_goes_away_is_a_signal_and_no_defect(folder: Path, crew: Crew) -> None:
    """The terminal's end closes standard error as well: the summary cannot be shown, the run still ends in order."""
    run = running(folder)
    assert run.stderr is not None
    assert run.stdout is not None
    run.stderr.close()
    run.stdout.close()
    run.send_signal(signal.SIGHUP)
    assert run.wait(timeout=50) == 3
