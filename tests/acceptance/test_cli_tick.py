"""`batchcrew tick`: the run without a resident process, called again and again as cron does."""

import json
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cli_process import JOB_FILE, Crew, call, start, write_trips
from held_crew import HeldCrew

pytestmark = pytest.mark.crash  # takes long


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, 100)
    return tmp_path


def serve(folder: Path, *options: str, job_file: str = JOB_FILE) -> Crew:
    crew = Crew(folder, "--no-idempotency", "--seed", "3", *options)
    (folder / "jobs.yaml").write_text(job_file.format(url=crew.url), encoding="utf-8")
    return crew


def tick_to_the_end(folder: Path, *options: str) -> list[int]:
    """Call as many ticks as it takes; returns their exit codes."""
    codes = [3]
    while codes[-1] == 3:
        codes.append(call(folder, "tick", "jobs.yaml", *options).returncode)
    return codes


def contents(ledger: Path) -> list[tuple[Any, ...]]:
    """Return each job as the ledger has it, without ids and times."""
    connection = sqlite3.connect(ledger)
    rows = connection.execute(
        "SELECT r.position, r.job_id, r.crew, r.state, r.output, r.error, r.attempts, r.inputs, r.row,"
        " (SELECT group_concat(h.number || h.state) FROM attempt_history AS h WHERE h.job_id = r.job_id),"
        " (SELECT count(*) FROM task_results AS t JOIN attempts AS a ON a.id = t.attempt_id JOIN jobs AS j ON"
        "  j.id = a.job WHERE j.job_id = r.job_id)"
        " FROM results AS r ORDER BY r.position"
    ).fetchall()
    connection.close()
    return rows


def test_ticks_end_with_the_ledger_of_a_run_and_one_kickoff_a_job(folder: Path) -> None:
    crew = serve(folder, "--execution-time", "20ms±50%")
    codes = tick_to_the_end(folder, "--concurrency", "25", "--ledger", "ticks.db")
    assert codes == [*[3] * (len(codes) - 1), 0]
    stats = crew.stats()
    assert (stats["kickoffs"], stats["max_kickoffs_per_job"]) == (100, 1)
    assert stats["peak_running"] <= 25
    assert call(folder, "run", "jobs.yaml", "--concurrency", "25", "--ledger", "run.db").returncode == 0
    crew.stop()
    assert contents(folder / "ticks.db") == contents(folder / "run.db")


def test_a_tick_keeps_to_the_slots_and_starts_in_the_slots_that_are_free(folder: Path) -> None:
    crew = serve(folder, "--execution-time", "60s")
    first = call(folder, "tick", "jobs.yaml", "--concurrency", "4")
    assert first.stderr == "jobs: 4 kickoffs in this tick; 100 jobs: 4 in progress, 96 pending\n"
    ended = call(folder, "tick", "jobs.yaml", "--concurrency", "4", "--json")
    assert (first.returncode, ended.returncode) == (3, 3)
    summary = json.loads(ended.stdout)
    assert (summary["kickoffs"], summary["counts"]["open"], summary["counts"]["pending"]) == (0, 4, 96)
    assert crew.stats()["kickoffs"] == 4
    crew.stop()


def test_ticks_do_not_poll_an_execution_before_it_is_due(folder: Path) -> None:
    lazy = JOB_FILE.replace("initial: 20ms, max: 100ms", "initial: 10m, max: 10m")
    crew = serve(folder, "--execution-time", "60s", job_file=lazy)
    for _ in range(5):
        assert call(folder, "tick", "jobs.yaml", "--concurrency", "1").returncode == 3
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    watches = connection.execute("SELECT watch FROM attempts").fetchall()
    runs = connection.execute("SELECT kind, kickoffs FROM runs ORDER BY rowid").fetchall()
    assert runs == [("tick", 1), ("tick", 0)]  # ticks that started nothing leave no row but the latest
    connection.close()
    assert watches == [(None,)]  # it was never polled
    crew.stop()


def test_a_tick_while_another_run_holds_the_batch_changes_nothing(folder: Path, held: HeldCrew) -> None:
    run = start(folder, "run", "jobs.yaml")
    held.wait_for_kickoffs(6, run)
    ended = call(folder, "tick", "jobs.yaml")
    assert (ended.returncode, f"pid {run.pid}" in ended.stderr) == (4, True)
    quiet = call(folder, "tick", "jobs.yaml", "--quiet")
    assert (quiet.returncode, quiet.stderr) == (4, "")
    assert run.poll() is None
    assert held.kickoffs == 6


def test_ticks_report_a_stop_once(folder: Path) -> None:
    crew = serve(folder, "--execution-time", "1ms", "--fail-rate", "1")
    told = ""
    while not told:  # a tick may come before a retry is due
        ended = call(folder, "tick", "jobs.yaml", "--quiet", "--canary", "2")
        assert ended.returncode == 3, ended.stderr
        told = ended.stderr
    assert "0 of the first 2 jobs succeeded" in told
    again = [call(folder, "tick", "jobs.yaml", "--quiet", "--canary", "2") for _ in range(3)]
    assert [(ended.returncode, ended.stderr) for ended in again] == [(3, "")] * 3
    crew.stop()


def test_ticks_stop_after_failures_of_the_whole_batch(folder: Path) -> None:
    crew = serve(
        folder,
        "--execution-time",
        "1ms",
        "--fail-rate",
        "1",
        job_file=JOB_FILE.replace("20ms}}}}", "20ms, attempts: 1}}}}"),
    )
    tick = ("tick", "jobs.yaml", "--concurrency", "2", "--stop-after-failures", "3")
    said = ""
    while "stop_after_failures" not in said:
        ended = call(folder, *tick)
        assert ended.returncode == 3, ended.stderr
        said = ended.stderr
    kickoffs = crew.stats()["kickoffs"]
    assert 3 <= kickoffs <= 4
    assert [call(folder, *tick).returncode for _ in range(2)] == [3, 3]
    assert crew.stats()["kickoffs"] == kickoffs
    crew.stop()


@pytest.mark.parametrize("token", ["wrong-token"])
def test_a_wrong_token_is_exit_5_and_fails_no_job(folder: Path, token: str) -> None:
    crew = serve(folder)
    ended = call(folder, "tick", "jobs.yaml", CREW_TOKEN=token)
    assert ended.returncode == 5
    assert "401" in ended.stderr
    assert json.loads(call(folder, "status", "--json").stdout)["counts"]["pending"] == 100
    crew.stop()


def test_a_tick_of_an_unreachable_crew_ends_and_another_tick_works(folder: Path) -> None:
    crew = serve(folder, "--execution-time", "10ms")
    (folder / "away.yaml").write_text(JOB_FILE.format(url="http://127.0.0.1:9"), encoding="utf-8")
    away = call(folder, "tick", "away.yaml")
    assert away.returncode == 3
    assert "cannot be reached" in away.stderr
    assert call(folder, "tick", "jobs.yaml").returncode == 3
    assert crew.stats()["kickoffs"] == 6
    crew.stop()


def test_a_crew_that_is_served_for_a_run_is_none_for_a_tick(folder: Path) -> None:
    (folder / "jobs.yaml").write_text("crew: {serve: a:b}\njobs: [{inputs: {a: 1}}]\n", encoding="utf-8")
    ended = call(folder, "tick", "jobs.yaml")
    assert (ended.returncode, "crew default is served for a run only" in ended.stderr) == (2, True), ended.stderr
    dated = call(folder, "tick", "jobs.yaml", "--ledger", "our own.db", "--delimiter", ";")
    assert "`batchcrew run jobs.yaml --delimiter ';' --ledger 'our own.db' --max-runtime 9m`" in dated.stderr


def test_a_tick_does_not_wait_for_a_server_that_never_answers(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (folder / "jobs.yaml").write_text(JOB_FILE.format(url=url), encoding="utf-8")
        ended = call(folder, "tick", "jobs.yaml")
    assert ended.returncode == 3
    assert "5.0s" in ended.stderr
    assert json.loads(call(folder, "status", "--json").stdout)["counts"]["pending"] == 100


def test_quiet_ticks_say_a_warning_that_lasts_once(folder: Path) -> None:
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url="http://127.0.0.1:9"), encoding="utf-8")
    first = call(folder, "tick", "jobs.yaml", "--quiet")
    assert "127.0.0.1:9" in first.stderr
    for _ in range(3):
        assert call(folder, "tick", "jobs.yaml", "--quiet").stderr == ""
    crew = serve(folder, "--execution-time", "1ms")
    assert call(folder, "tick", "jobs.yaml", "--quiet").stderr == ""
    crew.stop()
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url="http://127.0.0.1:9"), encoding="utf-8")
    assert "127.0.0.1:9" in call(folder, "tick", "jobs.yaml", "--quiet").stderr  # it is news again


def test_jobs_left_in_yesterdays_batch_are_reported_and_can_be_finished(folder: Path) -> None:
    write_trips(folder, 6)
    crew = serve(folder, "--execution-time", "1ms", job_file="batch: 'trips-{{date}}'\n" + JOB_FILE)
    assert call(folder, "tick", "jobs.yaml", "--date", "2026-01-30", "--concurrency", "2").returncode == 3
    today = call(folder, "run", "jobs.yaml")
    assert today.returncode == 0
    assert (
        "batch trips-2026-01-30 of this job file has 2 executions in progress and 4 jobs pending; to finish it:"
        " batchcrew run jobs.yaml --date 2026-01-30" in today.stderr
    )
    assert call(folder, "run", "jobs.yaml", "--date", "2026-01-30").returncode == 0
    assert "2026-01-30" not in call(folder, "run", "jobs.yaml").stderr
    assert crew.stats()["kickoffs"] == 12
    crew.stop()


def test_executions_of_a_crew_removed_from_the_file_are_reported_with_advice(folder: Path) -> None:
    crew = serve(folder, "--execution-time", "1ms")
    text = (folder / "jobs.yaml").read_text(encoding="utf-8")
    old = text.replace("crew: {", "crews: {old: {").replace('"}\n', '"}}\n')
    (folder / "jobs.yaml").write_text(old, encoding="utf-8")
    assert call(folder, "tick", "jobs.yaml").returncode == 3
    elsewhere = old.replace("old:", "new:").replace("127.0.0.1", "localhost")  # at its address it would be watched
    (folder / "jobs.yaml").write_text(elsewhere, encoding="utf-8")
    ended = call(folder, "tick", "jobs.yaml")
    assert "crew old not found in the job file: 6 executions not watched; add it again" in ended.stderr
    crew.stop()


def test_ticks_give_a_crew_up_that_has_gone_away(folder: Path) -> None:
    soon = JOB_FILE.replace("20ms}}}}", "20ms}}, breaker: {{give_up: 1s}}}}")
    crew = serve(folder, "--execution-time", "60s", job_file=soon)
    assert call(folder, "tick", "jobs.yaml", "--concurrency", "1").returncode == 3
    crew.stop()
    code = 3
    while code == 3:  # for a second at least
        code = call(folder, "tick", "jobs.yaml", "--concurrency", "2").returncode
    assert code == 5
    counts = json.loads(call(folder, "status", "--json").stdout)["counts"]
    assert (counts["open"], counts["pending"], counts["failed"]) == (1, 99, 0)
