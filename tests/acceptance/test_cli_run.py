"""The program as you and cron call it: processes, signals, exit codes, another process's crew server."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import JOB_FILE, TOKEN, Crew, Process, call, environment, read_until, start, write_trips
from held_crew import HeldCrew

__all__ = ["JOB_FILE", "TOKEN", "Crew", "Process", "call", "environment", "read_until", "start", "write_trips"]


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    made = Crew(folder, "--execution-time", "20ms±50%")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=made.url), encoding="utf-8")
    yield made
    made.stop()


def test_a_batch_runs_to_its_end_and_then_has_nothing_to_do(folder: Path, crew: Crew) -> None:
    first = call(folder, "run", "jobs.yaml")
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert "40 of 40" in first.stderr
    stats = crew.stats()
    assert (stats["kickoffs"], stats["max_kickoffs_per_job"]) == (40, 1)
    assert stats["peak_running"] <= 6
    again = call(folder, "run", "jobs.yaml", "--json")
    assert again.returncode == 0
    summary = json.loads(again.stdout)
    assert (summary["exit_code"], summary["kickoffs"], summary["counts"]["succeeded"]) == (0, 0, 40)
    assert crew.stats()["kickoffs"] == 40


def in_the_middle(folder: Path, held: HeldCrew) -> Process:
    """A run with some jobs ended and six in progress, whose ids are recorded: the log follows the ledger."""
    run = start(folder, "run", "jobs.yaml", "--log-format", "json")
    for kickoffs in range(12):
        if kickoffs == 6:
            held.finish()
        read_until(run, '"kicked_off"')
    return run


def test_ctrl_c_in_the_middle_and_the_same_command_again(folder: Path, held: HeldCrew) -> None:
    first = in_the_middle(folder, held)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate()
    assert first.returncode == 3, said
    assert "batchcrew run jobs.yaml" in said
    held.release()
    second = call(folder, "run", "jobs.yaml")
    assert second.returncode == 0, second.stderr
    stats = held.stats()
    assert (stats["kickoffs"], stats["max_kickoffs_per_job"]) == (40, 1)


def test_killed_in_the_middle_and_the_same_command_again(folder: Path, held: HeldCrew) -> None:
    first = in_the_middle(folder, held)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    held.release()
    assert call(folder, "run", "jobs.yaml", "--delivery", "at_most_once").returncode == 0
    assert held.stats()["max_kickoffs_per_job"] == 1


@pytest.mark.parametrize(
    "dialect",
    ["guide", pytest.param("live", marks=pytest.mark.crash), pytest.param("legacy", marks=pytest.mark.crash)],
)
def test_with_failures_and_http_errors_the_exit_code_is_the_tables(folder: Path, dialect: str) -> None:
    rates = ("--fail-rate", "0.2", "--http-error-rate", "0.1", "--max-running", "5")
    crew = Crew(folder, "--dialect", dialect, "--execution-time", "20ms", *rates)
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
    ended = call(folder, "run", "jobs.yaml", "--json")
    counts = json.loads(ended.stdout)["counts"]
    assert counts["pending"] == counts["open"] == 0
    assert ended.returncode == (0 if counts["succeeded"] == 40 else 1)
    crew.stop()


def test_an_overlapping_run_changes_nothing(folder: Path, held: HeldCrew) -> None:
    first = start(folder, "run", "jobs.yaml")
    held.wait_for_kickoffs(6, first)  # and none of them ends
    second = call(folder, "run", "jobs.yaml")
    assert second.returncode == 4
    assert f"pid {first.pid}" in second.stderr
    assert first.poll() is None
    assert held.kickoffs == 6
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 3


def test_a_bare_rows_file_runs_with_variables_alone(folder: Path, crew: Crew) -> None:
    ended = call(folder, "run", "trips.csv", CREW_URL=crew.url, BATCHCREW_LIMIT="3", BATCHCREW_LEDGER="other.db")
    assert ended.returncode == 3, ended.stderr
    assert (folder / "other.db").exists()
    assert crew.stats()["kickoffs"] == 3


def test_a_token_comes_from_a_file_and_is_never_shown_or_kept(folder: Path, crew: Crew) -> None:
    (folder / "token.txt").write_text(TOKEN + "\n", encoding="utf-8")
    (folder / "leads.csv").write_bytes((folder / "trips.csv").read_bytes())
    arguments = ("run", "leads.csv", "--crew-url", crew.url, "--token-file", "token.txt", "--limit", "2")
    ended = call(folder, *arguments, CREW_TOKEN="")
    assert ended.returncode == 3, ended.stderr
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    assert TOKEN not in "".join(connection.iterdump())
    connection.close()
    assert TOKEN not in ended.stderr + ended.stdout


def test_a_wrong_token_is_exit_5_and_fails_no_job(folder: Path, crew: Crew) -> None:
    ended = call(folder, "run", "jobs.yaml", CREW_TOKEN="wrong-token")
    assert ended.returncode == 5, ended.stderr
    assert "401" in ended.stderr
    assert json.loads(call(folder, "status", "--json").stdout)["counts"]["pending"] == 40
    assert call(folder, "run", "jobs.yaml").returncode == 0


def test_every_mistake_of_a_file_is_one_line_and_nothing_is_started(folder: Path) -> None:
    (folder / "jobs.yaml").write_text("crew: {url: embedded}\nrun: {concurency: 3, rate: fast}\njobs: []\n", "utf-8")
    ended = call(folder, "run", "jobs.yaml")
    assert ended.returncode == 2
    assert "jobs.yaml:2:" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (folder / "results").exists()


def test_a_duplicate_id_is_reported_with_both_lines(folder: Path, crew: Crew) -> None:
    with (folder / "trips.csv").open("a", encoding="utf-8") as file:
        file.write("trip-7,1 USD,x,1 day,3\n")
    ended = call(folder, "run", "jobs.yaml")
    assert ended.returncode == 2
    assert "trips.csv:42" in ended.stderr
    assert "trips.csv:9" in ended.stderr
    assert crew.stats()["kickoffs"] == 0


def test_check_shows_the_plan_and_kicks_nothing_off(folder: Path, crew: Crew) -> None:
    checked = call(folder, "check", "jobs.yaml")
    assert checked.returncode == 0, checked.stderr
    assert "40 new" in checked.stdout
    assert "budget, interests, duration, age" in checked.stdout
    assert not (folder / "results").exists()
    (folder / "lacking.csv").write_text("id,budget\na,1\n", encoding="utf-8")
    lacking = call(folder, "check", "lacking.csv", "--json", CREW_URL=crew.url)
    assert lacking.returncode == 2
    assert json.loads(lacking.stdout)["crews"][0]["lacking"] == {"interests": 1, "duration": 1, "age": 1}
    offline = call(folder, "check", "lacking.csv", "--offline", CREW_URL="http://127.0.0.1:9")
    assert offline.returncode == 0, offline.stderr
    assert crew.stats()["kickoffs"] == 0


def test_check_shows_money_and_what_bounds_it(folder: Path) -> None:
    (folder / "jobs.yaml").write_text(
        "crew: {url: embedded, price_per_kickoff: 0.25 EUR}\n"
        "run: {canary: {jobs: 5, succeed: 80%}, max_kickoffs: {run: 10, batch: 30}}\n"
        "jobs: [{rows: trips.csv}]\n",
        encoding="utf-8",
    )
    checked = call(folder, "check", "jobs.yaml", "--offline").stdout
    for words in (
        "start 40 jobs, at most 10 at a time",
        "kickoffs: 30, 7.50 EUR",  # as many as the batch may spend
        "canary: 5 jobs first, of which 80% must succeed",
        "at most 10 kickoffs per run",
        "at most 30 kickoffs in the batch (max_kickoffs), 0 used so far",
    ):
        assert words in " ".join(checked.split())


def test_the_spreadsheet_comes_back_as_itself_with_its_answers(folder: Path, crew: Crew) -> None:
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert call(folder, "export", "jobs", "-f", "csv", "-o", "answers.csv").returncode == 0
    with (folder / "trips.csv").open(newline="", encoding="utf-8") as file:
        given = list(csv.DictReader(file))
    with (folder / "answers.csv").open(newline="", encoding="utf-8") as file:
        answered = list(csv.DictReader(file))
    assert [{name: row[name] for name in given[0]} for row in answered] == given
    assert {row["batchcrew_state"] for row in answered} == {"succeeded"}
    listed = json.loads(call(folder, "list", "--json").stdout)
    assert [(line["batch"], line["counts"]["succeeded"]) for line in listed] == [("jobs", 40)]
    shown = json.loads(call(folder, "show", "jobs", "trip-3", "--json").stdout)
    assert shown["attempts"][0]["state"] == "succeeded"
    assert "40 of 40" in call(folder, "status").stdout


def test_failed_jobs_run_again_only_on_request(folder: Path) -> None:
    write_trips(folder, 4)
    failing = Crew(folder, "--execution-time", "10ms", "--fail-rate", "1")
    kept = JOB_FILE.replace("run: {{", "run: {{stop_after_failures: none, ")
    (folder / "jobs.yaml").write_text(kept.format(url=failing.url), encoding="utf-8")
    assert call(folder, "run", "jobs.yaml").returncode == 1
    assert failing.stats()["kickoffs"] == 12
    assert call(folder, "run", "jobs.yaml").returncode == 1
    assert failing.stats()["kickoffs"] == 12
    assert "2 jobs" in call(folder, "retry", "jobs", "trip-1", "trip-2").stdout
    assert call(folder, "run", "jobs.yaml").returncode == 1
    assert failing.stats()["kickoffs"] == 18
    assert call(folder, "run", "jobs.yaml", "--retry-failed").returncode == 1
    assert failing.stats()["kickoffs"] == 30
    failing.stop()


@pytest.mark.crash
def test_a_batch_of_the_embedded_crew_resumes_after_an_interruption(folder: Path) -> None:
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url="embedded"), encoding="utf-8")
    # one at a time they take 80 s
    first = start(folder, "run", "jobs.yaml", "--concurrency", "1", "--log-format", "json")
    read_until(first, '"kicked_off"')
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert first.returncode == 3
    second = call(folder, "run", "jobs.yaml", "--concurrency", "40", "--json")
    summary = json.loads(second.stdout)
    assert second.returncode == 0
    assert summary["kickoffs"] < 40
    assert summary["counts"]["succeeded"] == 40


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["run", "trips.csv"], 2, "CREW_URL"),
        (["run", "jobs.yaml", "--rate", "fast"], 2, "--rate"),
        (["run", "jobs.yaml", "--concurrency", "0"], 2, "--concurrency"),
        (["status"], 2, "ledger not found"),
        (["status", "nobody"], 2, "results/batchcrew.db"),
        (["show", "a"], 2, "JOB"),
        (["frobnicate"], 2, "frobnicate"),
        (["serve", "no/such"], 2, "invalid target"),
        (["serve", "--fail-rate", "2"], 2, "share"),
    ],
)
def test_wrong_usage_is_one_plain_message(folder: Path, arguments: list[str], code: int, words: str) -> None:
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url="embedded"), encoding="utf-8")
    ended = call(folder, *arguments)
    assert ended.returncode == code, ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom batchcrew.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('aiohttp', 'pydantic', 'yaml', 'jinja2', 'rich', 'sqlite3') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("[]\n")


@pytest.mark.usefixtures("crew")
def test_a_run_of_a_finished_batch_does_not_import_the_http_client(folder: Path) -> None:
    """Most calls of cron are such runs."""
    assert call(folder, "run", "jobs.yaml", "-q").returncode == 0
    command = [sys.executable, "-X", "importtime", "-m", "batchcrew", "run", "jobs.yaml", "-q"]
    ended = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "batchcrew.app.run" in imported
    assert "aiohttp" not in imported
