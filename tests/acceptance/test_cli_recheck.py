"""`batchcrew recheck` as the operator calls it: what it prints, where it finds the job file, its exit codes."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli_run import JOB_FILE, Crew, call, write_trips


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, 2)
    return tmp_path


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    """Two executions that run for an hour, and are overdue."""
    made = Crew(folder, "--execution-time", "1h")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=made.url), encoding="utf-8")
    ended = call(folder, "run", "jobs.yaml", "--timeout", "1ms")
    assert ended.returncode == 1, ended.stderr
    assert "batchcrew recheck jobs" in ended.stderr
    yield made
    made.stop()


def test_running_executions_are_reported_with_the_command_that_watches_them(folder: Path, crew: Crew) -> None:
    ended = call(folder, "recheck", "jobs")
    assert ended.returncode == 1, ended.stderr
    assert "2 executions checked: 2 running" in ended.stdout
    for line in re.findall(r"^trip-\d: still running.*: (batchcrew attach .*)$", ended.stdout, re.MULTILINE):
        assert call(folder, *shlex.split(line)[1:]).returncode == 0
    watched = call(folder, "run", "jobs.yaml", "--max-runtime", "300ms", "--json")
    counts = json.loads(watched.stdout)["counts"]
    assert (watched.returncode, counts["open"]) == (3, 2), watched.stderr
    assert crew.stats()["kickoffs"] == 2


def test_the_json_document_has_every_execution_and_the_exit_code(folder: Path, crew: Crew) -> None:
    ended = call(folder, "recheck", "jobs", "trip-1", "--json")
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["exit_code"], document["found"]["running"]) == (1, 1, 1)
    (execution,) = document["executions"]
    assert (execution["job_id"], execution["finding"], execution["detail"]) == ("trip-1", "running", "running")


def test_the_job_file_is_found_from_another_folder_and_its_token_is_used(folder: Path, crew: Crew) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    ledger = os.path.relpath(folder / "results" / "batchcrew.db", elsewhere)
    assert call(elsewhere, "recheck", "jobs", "--ledger", ledger).returncode == 1
    refused = call(elsewhere, "recheck", "jobs", "--ledger", ledger, CREW_TOKEN="of-yesterday")
    assert (refused.returncode, "401" in refused.stderr) == (5, True)
    (folder / "token").write_text("a-token-of-the-tests", encoding="utf-8")
    given = ("--ledger", ledger, "--token-file", str(folder / "token"))
    assert call(elsewhere, "recheck", "jobs", *given, CREW_TOKEN="of-yesterday").returncode == 1


def test_a_job_file_that_was_moved_with_its_ledger_is_found_from_anywhere(folder: Path, crew: Crew) -> None:
    moved = folder / "moved"
    moved.mkdir()
    for name in ("results", "jobs.yaml", "trips.csv"):
        (folder / name).rename(moved / name)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for where, ledger in ((elsewhere, "../moved/results/batchcrew.db"), (moved, "results/batchcrew.db")):
        ended = call(where, "recheck", "jobs", "--ledger", ledger)
        assert (ended.returncode, "2 running" in ended.stdout) == (1, True), ended.stderr


def test_commands_that_are_printed_keep_the_token_file(folder: Path, crew: Crew) -> None:
    (folder / "the token").write_text("a-token-of-the-tests", encoding="utf-8")
    write_trips(folder, 3)
    assert call(folder, "run", "jobs.yaml", "--limit", "1", "--max-runtime", "1ms").returncode == 3
    ended = call(folder, "recheck", "jobs", "--token-file", "the token", CREW_TOKEN="of-yesterday")
    assert ended.returncode == 3, ended.stderr
    match = re.search(r"^  resume: batchcrew (.*)$", ended.stdout, re.MULTILINE)
    assert match is not None, ended.stdout
    words = shlex.split(match[1])
    assert words == ["run", "jobs.yaml", "--token-file", "the token"]
    said = call(folder, *words, "--timeout", "1ms", CREW_TOKEN="of-yesterday").stderr
    match = re.search(r"^  recheck: +batchcrew (.*)$", said, re.MULTILINE)
    assert match is not None, said
    again = call(folder, *shlex.split(match[1]), CREW_TOKEN="of-yesterday")
    assert (again.returncode, "running" in again.stdout) == (1, True), again.stderr


@pytest.mark.crash
def test_a_crew_that_cannot_be_reached_is_exit_5_and_nothing_changes(folder: Path, crew: Crew) -> None:
    crew.stop()
    ended = call(folder, "recheck", "jobs")
    assert ended.returncode == 5, ended.stdout
    assert "no connection to" in ended.stdout
    assert json.loads(call(folder, "status", "jobs", "--json").stdout)["counts"]["failed"] == 2


def test_an_unknown_batch_or_job_is_exit_2(folder: Path, crew: Crew) -> None:
    assert call(folder, "recheck", "nothing").returncode == 2
    assert call(folder, "recheck", "jobs", "nobody").returncode == 2
