"""Commands that control a batch from another process: a run obeys within two seconds, a tick at its start."""

import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cli_process import Process, ProcessOptions, call, call_with, read_until, start, start_with, wait_until
from held_crew import HeldCrew

JOBS = 40
CONCURRENCY = 6
DRIVER = Path(__file__).with_name("crash_driver.py")


def give(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Give a command, which must succeed."""
    ended = call(folder, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended


def obeyed(run: Process, folder: Path, *arguments: str) -> None:
    """Give a command, and wait until the run reports it."""
    give(folder, *arguments)
    read_until(run, '"control"')


def running(folder: Path, *arguments: str, kickoffs: int = CONCURRENCY) -> Process:
    """Start a run, and wait for its kickoffs: the log follows the ledger."""
    run = start(folder, "run", "jobs.yaml", "--log-format", "json", *arguments)
    for _ in range(kickoffs):
        read_until(run, '"kicked_off"')
    return run


@pytest.fixture
def run(folder: Path, held: HeldCrew) -> Process:
    """A run whose executions do not end before the test ends them."""
    assert held.kickoffs == 0
    return running(folder)


def ended(run: Process) -> dict[str, Any]:
    """Wait for the end of a run; returns its summary, with the exit code."""
    _, said = run.communicate()
    summary: dict[str, Any] = json.loads(said.splitlines()[-1])
    assert summary["event"] == "run_ended", said
    assert summary["exit_code"] == run.returncode
    return summary


def summary(folder: Path, command: str = "run", *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(folder, command, "jobs.yaml", "--json", *arguments).stdout)
    return found


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(give(folder, "status", "jobs", "--json").stdout)
    return found


def commands(folder: Path) -> list[tuple[str, str | None]]:
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    found = connection.execute("SELECT command, reason FROM controls ORDER BY id").fetchall()
    connection.close()
    return found


def all_once(held: HeldCrew, kickoffs: int = JOBS) -> None:
    stats = held.stats()
    assert (stats["kickoffs"], stats["max_kickoffs_per_job"]) == (kickoffs, 1)


# A run of another process


@pytest.mark.crash
def test_a_paused_run_watches_to_the_end_and_a_later_one_starts_nothing(
    folder: Path, held: HeldCrew, run: Process
) -> None:
    obeyed(run, folder, "pause", "jobs", "--reason", "quota")
    held.finish()
    first = ended(run)
    assert (first["exit_code"], first["stopped"], first["counts"]["open"]) == (3, "paused", 0)
    assert first["counts"]["succeeded"] == CONCURRENCY
    assert any(each["command"] == "batchcrew unpause jobs" for each in first["next"])
    again = summary(folder)
    assert (again["exit_code"], again["stopped"], again["kickoffs"]) == (3, "paused", 0)
    assert held.kickoffs == CONCURRENCY
    give(folder, "unpause", "jobs")
    held.release()
    assert summary(folder)["exit_code"] == 0
    all_once(held)


@pytest.mark.crash
def test_an_unpaused_run_continues(folder: Path, held: HeldCrew, run: Process) -> None:
    obeyed(run, folder, "pause", "jobs")
    obeyed(run, folder, "unpause", "jobs")
    held.release()
    assert ended(run)["exit_code"] == 0
    all_once(held)


@pytest.mark.crash
def test_a_run_that_began_paused_prepares_its_crew_when_it_is_unpaused(folder: Path, held: HeldCrew) -> None:
    running(folder).kill()
    give(folder, "pause", "jobs")
    run = running(folder, kickoffs=0)
    for _ in range(CONCURRENCY):
        read_until(run, '"taken_up"')
    obeyed(run, folder, "unpause", "jobs")
    held.release()
    assert ended(run)["exit_code"] == 0
    all_once(held)


@pytest.mark.crash
def test_concurrency_grows_and_shrinks_in_a_live_run(folder: Path, held: HeldCrew, run: Process) -> None:
    give(folder, "set", "jobs", "concurrency=7")
    give(folder, "set", "jobs", "concurrency=15")
    held.wait_for_kickoffs(15, run)
    obeyed(run, folder, "set", "jobs", "concurrency=2")
    wait_until(lambda: status(folder)["control"]["settings"]["concurrency"]["value"] == "2", run)
    while '"concurrency=2"' not in read_until(run, '"control"').replace("settings: ", ""):
        pass
    held.finish()
    held.wait_for_kickoffs(17, run)
    held.finish()
    held.wait_for_kickoffs(19, run)
    assert held.stats()["peak_running"] == 15
    held.release()
    assert ended(run)["exit_code"] == 0
    all_once(held)


@pytest.mark.crash
def test_concurrency_becomes_auto_and_a_number_again(folder: Path, held: HeldCrew, run: Process) -> None:
    give(folder, "set", "jobs", "concurrency=auto", "max_concurrency=12")
    held.wait_for_kickoffs(10, run)  # auto begins with 10
    give(folder, "set", "jobs", "concurrency=13")
    held.wait_for_kickoffs(13, run)
    held.release()
    assert ended(run)["exit_code"] == 0
    all_once(held)


@pytest.mark.crash
def test_a_rate_is_set_lifted_and_reset_in_a_live_run(folder: Path, held: HeldCrew, run: Process) -> None:
    obeyed(run, folder, "set", "jobs", "rate=2/h")
    held.finish()
    for _ in range(CONCURRENCY):
        read_until(run, '"attempt_ended"')
    obeyed(run, folder, "set", "jobs", "rate=1/h")
    assert held.kickoffs <= CONCURRENCY + 1
    held.release()
    obeyed(run, folder, "set", "jobs", "--reset", "rate")
    assert ended(run)["exit_code"] == 0
    all_once(held)


@pytest.mark.crash
def test_max_kickoffs_below_what_was_spent_ends_the_run_in_order(folder: Path, held: HeldCrew, run: Process) -> None:
    obeyed(run, folder, "set", "jobs", "max_kickoffs={run: 100, batch: 4}")
    held.finish()
    found = ended(run)
    assert (found["exit_code"], found["stopped"]) == (3, "budget")
    assert (found["counts"]["succeeded"], held.kickoffs) == (CONCURRENCY, CONCURRENCY)
    assert summary(folder)["kickoffs"] == 0
    give(folder, "set", "jobs", "max_kickoffs={batch: 9}")
    held.release()
    assert summary(folder)["kickoffs"] == 3


@pytest.mark.crash
def test_a_timeout_is_set_for_executions_in_progress(folder: Path, held: HeldCrew, run: Process) -> None:
    give(folder, "set", "jobs", "timeout=1s", f"max_kickoffs={CONCURRENCY}")
    found = ended(run)
    assert (found["exit_code"], found["counts"]["failed"], held.kickoffs) == (3, CONCURRENCY, CONCURRENCY)
    assert found["unsure"] == CONCURRENCY


@pytest.mark.crash
def test_a_timeout_that_is_set_does_not_wait_for_the_next_poll(folder: Path, held: HeldCrew) -> None:
    before = (folder / "jobs.yaml").read_text(encoding="utf-8")
    poll = "poll: {strategy: fixed, initial: 10m, max: 10m}"
    changed, times = re.subn(r"poll: \{[^}]*\}", poll, before)
    assert times == 1
    (folder / "jobs.yaml").write_text(changed, encoding="utf-8")
    run = running(folder)
    give(folder, "set", "jobs", "timeout=1s", f"max_kickoffs={CONCURRENCY}")
    found = ended(run)
    assert (found["counts"]["failed"], held.stats()["kickoffs"]) == (CONCURRENCY, CONCURRENCY)


@pytest.mark.crash
def test_each_command_has_json(folder: Path, run: Process, held: HeldCrew) -> None:
    def done(*arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(give(folder, *arguments, "--json").stdout)
        assert (found["batch"], found["command"]) == ("jobs", arguments[0])
        return found

    paused = done("pause", "jobs", "--reason", "quota")
    assert (paused["changed"], paused["running"], paused["control"]["paused"]["reason"]) == (True, True, "quota")
    assert not done("pause", "jobs")["changed"]
    assert done("unpause", "jobs")["control"]["paused"] is None
    assert done("set", "jobs", "rate=1/h")["control"]["settings"]["rate"]["value"] == "1/h"
    assert not done("set", "jobs")["changed"]
    reset = json.loads(give(folder, "set", "jobs", "--reset", "--json").stdout)
    assert (reset["command"], reset["reset"], reset["control"]["settings"]) == ("reset", ["rate"], {})
    cancelled = done("cancel", "jobs", f"trip-{JOBS - 1}")
    assert (cancelled["pending"], cancelled["let_go"], cancelled["changed"]) == (1, 0, True)
    stopped = done("stop", "jobs")
    assert (stopped["changed"], stopped["reading"]) == (True, False)
    assert ended(run)["stopped"] == "command"
    assert not done("stop", "jobs")["changed"]
    assert held.kickoffs <= CONCURRENCY + 1


@pytest.mark.crash
def test_jobs_are_cancelled_in_a_live_run_and_their_executions_given_up(
    folder: Path, held: HeldCrew, run: Process
) -> None:
    first, second = (each["job_id"] for each in status(folder)["in_flight"][:2])
    done = give(folder, "cancel", "jobs", first, second, f"trip-{JOBS - 1}", "--reason", "wrong rows")
    assert "2 executions are not watched any more" in done.stderr
    held.wait_for_kickoffs(CONCURRENCY + 2, run)  # in their slots
    held.release()
    found = ended(run)
    assert found["exit_code"] == 1
    assert (found["counts"]["cancelled"], found["counts"]["succeeded"]) == (3, JOBS - 3)
    all_once(held, JOBS - 1)
    shown = json.loads(give(folder, "show", "jobs", first, "--json").stdout)
    assert shown["attempts"][0]["state"] == "cancelled"
    assert "wrong rows" in shown["attempts"][0]["reason"]
    assert summary(folder)["kickoffs"] == 0
    give(folder, "attach", "jobs", first, shown["attempts"][0]["kickoff_id"])  # it is watched again, and was paid once
    again = summary(folder)
    assert (again["kickoffs"], again["counts"]["cancelled"], again["counts"]["succeeded"]) == (0, 2, JOBS - 2)
    all_once(held, JOBS - 1)


@pytest.mark.crash
def test_a_cancelled_batch_ends_its_run(folder: Path, held: HeldCrew, run: Process) -> None:
    give(folder, "cancel", "jobs")
    found = ended(run)
    assert (found["exit_code"], found["counts"]["cancelled"], held.kickoffs) == (1, JOBS, CONCURRENCY)
    held.release()
    give(folder, "retry", "jobs", "--state", "cancelled")
    assert summary(folder)["exit_code"] == 0  # whoever retries pays for the executions that were given up again
    assert held.kickoffs == JOBS + CONCURRENCY


@pytest.mark.crash
def test_stop_ends_the_run_as_a_signal_does_and_not_the_next_one(folder: Path, held: HeldCrew, run: Process) -> None:
    give(folder, "stop", "jobs", "--reason", "deploy")
    found = ended(run)
    assert (found["exit_code"], found["stopped"], found["counts"]["open"]) == (3, "command", CONCURRENCY)
    assert "deploy" in found["stop_detail"]
    held.release()
    assert summary(folder)["exit_code"] == 0
    all_once(held)
    (last, first) = json.loads(give(folder, "runs", "jobs", "--json").stdout)
    assert (first["commands"][0]["command"], first["commands"][0]["reason"]) == ("stop", "deploy")
    assert "@" in first["commands"][0]["by"]
    assert last["commands"] == []


@pytest.mark.crash
def test_stop_waits_for_executions_where_the_run_drains(folder: Path, held: HeldCrew) -> None:
    run = running(folder, "--drain")
    give(folder, "stop", "jobs")
    read_until(run, '"stopping"')
    held.finish()
    found = ended(run)
    assert (found["exit_code"], found["counts"]["succeeded"], held.kickoffs) == (3, CONCURRENCY, CONCURRENCY)


# Kill -9


@pytest.mark.crash
def test_what_is_in_force_outlives_a_killed_run(folder: Path, held: HeldCrew, run: Process) -> None:
    give(folder, "pause", "jobs")
    give(folder, "set", "jobs", "concurrency=2")
    run.kill()
    run.wait()
    held.release()
    found = summary(folder)
    assert (found["stopped"], found["kickoffs"], held.kickoffs) == ("paused", 0, CONCURRENCY)
    give(folder, "unpause", "jobs")
    assert summary(folder)["exit_code"] == 0
    all_once(held)


@pytest.mark.crash
def test_a_cancellation_that_no_run_has_read_outlives_it(folder: Path, held: HeldCrew, run: Process) -> None:
    run.send_signal(signal.SIGSTOP)
    job = status(folder)["in_flight"][0]["job_id"]
    done = give(folder, "cancel", "jobs", job)
    assert "still watches 1" in done.stderr
    assert status(folder)["control"]["letting_go"] == 1
    run.kill()
    run.wait()
    held.release()
    assert summary(folder)["counts"]["cancelled"] == 1
    all_once(held)
    assert status(folder)["control"]["letting_go"] == 0


@pytest.mark.crash
@pytest.mark.parametrize("point", ["before:post", "after:send", "after:post"])
def test_a_paused_batch_settles_no_kickoff_of_a_killed_run(folder: Path, held: HeldCrew, point: str) -> None:
    """A server that honours the key gets it again only after the pause."""
    with HeldCrew(idempotency=True) as crew:
        text = (folder / "jobs.yaml").read_text(encoding="utf-8").replace(held.url, crew.url)
        (folder / "jobs.yaml").write_text(text, encoding="utf-8")
        killed = ProcessOptions(script=DRIVER)
        assert call_with(killed, folder, point, "1", "--", "run", "jobs.yaml").returncode == -signal.SIGKILL
        give(folder, "pause", "jobs")
        before = crew.kickoffs
        crew.release()
        found = summary(folder)
        assert (found["exit_code"], found["stopped"]) == (3, "paused")
        assert crew.kickoffs == before
        give(folder, "unpause", "jobs")
        assert summary(folder)["exit_code"] == 0
        all_once(crew)


@pytest.mark.crash
def test_a_kickoff_in_doubt_is_cancelled_while_its_crew_does_not_answer(folder: Path, held: HeldCrew) -> None:
    """The run has read it, and waits for its crew: the request is carried out when the run ends."""
    killed = ProcessOptions(script=DRIVER)
    assert call_with(killed, folder, "after:send", "1", "--", "run", "jobs.yaml").returncode == -signal.SIGKILL
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = (folder / "jobs.yaml").read_text(encoding="utf-8")
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (folder / "jobs.yaml").write_text(text.replace(held.url, url), encoding="utf-8")
        run = start(folder, "run", "jobs.yaml", "--log-format", "json", "--accept-changes")
        read_until(run, '"run_started"')
        give(folder, "cancel", "jobs")
        give(folder, "stop", "jobs")
        found = ended(run)
    assert (found["counts"]["cancelled"], found["counts"]["open"]) == (JOBS, 0)
    assert status(folder)["control"]["letting_go"] == 0


# Ticks, and no run at all


def test_ticks_obey_what_is_in_force(folder: Path, held: HeldCrew) -> None:
    assert call(folder, "tick", "jobs.yaml").returncode == 3
    give(folder, "pause", "jobs")
    held.finish()
    found = summary(folder, "tick")
    assert (found["stopped"], found["counts"]["succeeded"]) == ("paused", CONCURRENCY)
    assert held.kickoffs == CONCURRENCY
    give(folder, "unpause", "jobs")
    give(folder, "set", "jobs", "concurrency=2")
    assert summary(folder, "tick")["kickoffs"] == 2
    done = give(folder, "cancel", "jobs", "--reason", "enough")
    assert "2 executions are not watched any more" in done.stderr
    counts = status(folder)["counts"]
    assert (counts["succeeded"], counts["cancelled"], counts["open"]) == (CONCURRENCY, JOBS - CONCURRENCY, 0)
    assert call(folder, "tick", "jobs.yaml").returncode == 1
    all_once(held, CONCURRENCY + 2)


def test_commands_without_a_run_and_their_mistakes(folder: Path, held: HeldCrew) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "1", "--max-runtime", "1s").returncode == 3
    assert "no run" in give(folder, "stop", "jobs").stdout
    assert "not paused" in give(folder, "unpause", "jobs").stdout
    assert commands(folder) == []
    give(folder, "pause", "jobs", "--reason", "\x1b[31mred\nline \u202e")
    assert "already" in give(folder, "pause", "jobs", "--reason", "again").stdout
    for shown in (give(folder, "status", "jobs").stdout, give(folder, "runs", "jobs").stdout):
        assert "red line" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
    assert [command for command, _ in commands(folder)] == ["pause"]
    assert call(folder, "set", "jobs", "concurrency=0").returncode == 2
    missing = call(folder, "cancel", "job")
    assert missing.returncode == 2
    assert "'jobs'" in missing.stderr
    assert call(folder, "cancel", "jobs", "trip-0", "nonesuch").returncode == 2
    assert [command for command, _ in commands(folder)] == ["pause"]


@pytest.mark.crash
def test_check_and_run_say_that_set_wins_over_a_changed_job_file(folder: Path, held: HeldCrew) -> None:
    assert call(folder, "run", "jobs.yaml", "--limit", "1", "--max-runtime", "1s").returncode == 3
    give(folder, "set", "jobs", "max_kickoffs=2", "--reason", "trial")
    job_file = (folder / "jobs.yaml").read_text(encoding="utf-8").replace("concurrency: 6", "max_kickoffs: 100")
    (folder / "jobs.yaml").write_text(job_file, encoding="utf-8")
    checked = call(folder, "check", "jobs.yaml")
    assert "max_kickoffs=2" in checked.stdout
    assert "batchcrew set jobs --reset" in checked.stdout
    held.release()
    found = summary(folder, "run", "--max-kickoffs", "20")
    assert (found["kickoffs"], found["stopped"]) == (2, "limit")
    assert any("max_kickoffs=2" in line for line in found["warnings"])
    give(folder, "set", "jobs", "--reset")
    assert summary(folder)["exit_code"] == 0
    all_once(held)


# Watching


@pytest.mark.crash
def test_a_watched_run_is_shown_until_it_ends(folder: Path, held: HeldCrew, run: Process) -> None:
    watch = start(folder, "status", "jobs", "--watch")
    assert f"{CONCURRENCY} in progress" in watch.stdout.readline()
    held.release()
    assert ended(run)["exit_code"] == 0
    shown, _ = watch.communicate()
    assert watch.returncode == 0
    assert f"{JOBS} succeeded" in shown.splitlines()[-1]


@pytest.mark.crash
def test_a_watched_run_is_redrawn_on_a_terminal(folder: Path, held: HeldCrew, run: Process) -> None:
    ours, theirs = pty.openpty()
    watch = start_with(ProcessOptions(stdout=theirs), folder, "status", "jobs", "--watch", TERM="xterm")
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):  # EIO: the other end is closed
        while part := terminal.read(4096):
            shown += part
            if b"in progress" in shown:
                held.release()
    assert watch.wait() == 0
    assert ended(run)["exit_code"] == 0
    redrawn, _, after = shown.partition(b"\x1b[?1049l")
    assert redrawn.count(b"\x1b[?1049h") == 1
    assert redrawn.count(b"\x1b[H") > 1
    assert f"{JOBS} of {JOBS} jobs" in after.decode()


@pytest.mark.crash
def test_a_watched_run_continues_when_the_watching_is_interrupted(folder: Path, held: HeldCrew, run: Process) -> None:
    watch = start(folder, "status", "jobs", "--watch", "--json")
    assert json.loads(watch.stdout.readline())["running"]
    watch.send_signal(signal.SIGINT)
    _, said = watch.communicate()
    assert (watch.returncode, len(said.splitlines())) == (3, 1)
    held.release()
    assert ended(run)["exit_code"] == 0


@pytest.mark.crash
def test_max_cost_outlives_a_killed_run_and_is_set_in_a_live_one(folder: Path, held: HeldCrew) -> None:
    job_file = (folder / "jobs.yaml").read_text(encoding="utf-8")
    priced = job_file.replace("crew: {", "crew: {price_per_kickoff: 0.50 USD, ").replace(
        "run: {", "run: {max_cost: 9, "
    )
    (folder / "jobs.yaml").write_text(priced, encoding="utf-8")
    run = running(folder)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    held.finish()
    give(folder, "set", "jobs", "max_cost={batch: 4 USD}")
    run = start(folder, "run", "jobs.yaml", "--log-format", "json")
    held.wait_for_kickoffs(8, run)  # those of the killed run count
    obeyed(run, folder, "set", "jobs", "max_cost={batch: 5 USD}")
    held.wait_for_kickoffs(10, run)
    held.release()
    found = ended(run)
    assert (found["exit_code"], found["stopped"], held.kickoffs) == (3, "budget", 10)
    assert "max_cost of the batch (5.00 USD)" in found["stop_detail"]
    assert any(each["command"] == "batchcrew set jobs max_cost=AMOUNT" for each in found["next"])
    refused = call(folder, "set", "jobs", "max_cost=much")
    assert (refused.returncode, "max_cost" in refused.stderr) == (2, True)
    give(folder, "set", "jobs", "max_cost={batch: 5 EUR}")  # no crew has a price in it: the run says so
    warned = summary(folder)
    assert any("EUR" in line for line in warned["warnings"])
    give(folder, "set", "jobs", "max_cost=none")
    done = call(folder, "run", "jobs.yaml", "--json")
    assert done.returncode == 0, done.stderr
    all_once(held)
