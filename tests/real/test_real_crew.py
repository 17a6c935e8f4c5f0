"""The example crew and flow, by real crewai in worker processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_stage import (
    FLOW,
    FLOW_TITLE,
    PLAN,
    PROJECT,
    RESEARCH,
    Receiver,
    environment,
    served,
    tokens,
    wishes,
    workers_of,
)

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]

JOB_FILE = """
batch: forty
crew: {{serve: {{target: "{target}", workers: 2, threads: 4}}}}
run: {{concurrency: 8, poll: {{initial: 50ms, max: 200ms}}, retry: {{attempts: 3, backoff: 50ms}}}}
jobs: [{{rows: wishes.jsonl}}]
"""
SECONDS_OF_AN_ANSWER = "0.3"
"""Of the offline model: long enough that a task is seen while it runs."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def write_forty(folder: Path, target: str) -> dict[str, dict[str, str]]:
    """A job file of forty jobs; their inputs by job id."""
    jobs = {f"trip-{number}": wishes(number) for number in range(40)}
    lines = [json.dumps({"id": job, **inputs}) for job, inputs in jobs.items()]
    (folder / "wishes.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(target=target), encoding="utf-8")
    return jobs


def start_run(folder: Path, job_file: Path, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "batchcrew", "run", str(job_file), "--json"],
        cwd=folder,
        env=environment(BATCHCREW_LEDGER=str(folder / "ledger.db"), **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_first_tenth(run: "subprocess.Popen[str]") -> str:
    """Read stderr until the run prints its progress: then other jobs are in flight."""
    assert run.stderr is not None
    said = ""
    while "progress: " not in said:
        line = run.stderr.readline()
        assert line, said
        said += line
    return said


def until_all_run(folder: Path, number: int) -> None:
    """Wait until this number of executions are in a task at the same time."""
    command = [sys.executable, "-m", "batchcrew", "status", "forty", "--json"]
    seen = 0
    while seen < number:
        ended = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=environment(BATCHCREW_LEDGER=str(folder / "ledger.db")),
            capture_output=True,
            text=True,
        )
        seen = sum(entry["current_task"] is not None for entry in json.loads(ended.stdout)["in_flight"])


def to_its_end(run: "subprocess.Popen[str]") -> Any:
    """The summary of a run whose every job has succeeded."""
    out, said = run.communicate(timeout=250)
    assert run.returncode == 0, said
    return json.loads(out)


def ask(folder: Path, question: str) -> list[tuple[Any, ...]]:
    """Rows of the run's ledger."""
    connection = sqlite3.connect(folder / "ledger.db")
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def check_results(folder: Path, title: str = "") -> list[dict[str, str]]:
    """Check that each output belongs to its own job and each token is counted once; returns the inputs."""
    rows = ask(folder, "SELECT state, inputs, output, token_usage FROM results")
    seen = []
    for state, inputs, output, usage in rows:
        own = json.loads(inputs)
        assert state == "succeeded"
        assert output == (title + PLAN).format(**own)
        assert json.loads(usage).items() >= tokens(own).items()
        seen.append(own)
    return seen


def test_forty_jobs_by_two_workers(tmp_path: Path) -> None:
    jobs = write_forty(tmp_path, str(PROJECT))
    run = start_run(tmp_path, tmp_path / "jobs.yaml", OFFLINE_SECONDS=SECONDS_OF_AN_ANSWER)
    until_first_tenth(run)
    assert len(workers_of(run.pid)) == 2
    summary = to_its_end(run)
    assert (summary["counts"]["succeeded"], summary["kickoffs"]) == (40, 40)
    seen = check_results(tmp_path)
    assert sorted(map(str, seen)) == sorted(map(str, jobs.values()))
    tasks: list[tuple[Any, ...]] = ask(
        tmp_path,
        "SELECT j.inputs, t.position, t.agent, t.output, t.execution_time FROM task_results AS t"
        " JOIN attempts AS a ON a.id = t.attempt_id JOIN jobs AS j ON j.id = a.job",
    )
    assert len(tasks) == 80
    for inputs, position, agent, output, seconds in tasks:
        assert agent.strip() == ("Travel Researcher", "Trip Planner")[position]
        assert output == (RESEARCH, PLAN)[position].format(**json.loads(inputs))
        assert seconds >= float(SECONDS_OF_AN_ANSWER)
    assert workers_of(run.pid) == []


def test_the_progress_of_executions_is_in_the_ledger_and_in_status(tmp_path: Path) -> None:
    write_forty(tmp_path, str(PROJECT))
    run = start_run(tmp_path, tmp_path / "jobs.yaml", OFFLINE_SECONDS="1")
    until_first_tenth(run)
    status = subprocess.run(
        [sys.executable, "-m", "batchcrew", "status", "forty"],
        check=True,
        cwd=tmp_path,
        env=environment(BATCHCREW_LEDGER=str(tmp_path / "ledger.db")),
        capture_output=True,
        text=True,
    )
    to_its_end(run)
    assert "planning_task" in status.stdout or "research_task" in status.stdout, status.stdout


def test_the_status_of_one_execution_as_its_tasks_end(tmp_path: Path, receiver: Receiver) -> None:
    with served(tmp_path, str(PROJECT), "--workers", "1", OFFLINE_SECONDS="1") as server:
        kickoff_id = server.kickoff(wishes(1), meta={"row": 1}, **receiver.kickoff_keys())
        first = receiver.next("task")
        assert first["meta"] == {"row": 1}
        while (now := server.status(kickoff_id))["current_task"] == "research_task":
            pass  # it has ended, and the next has not begun yet
        assert now == {
            "status": "running",
            "state": "STARTED",
            "current_task": "planning_task",
            "progress": {"completed_tasks": 1, "total_tasks": 2},
        }
        assert receiver.next("crew")["result"]["output"] == PLAN.format(**wishes(1))
        ended = server.status(kickoff_id)
        assert ended["status"] == "completed"
        assert [task["task_id"] for task in ended["result"]["tasks"]] == ["research_task", "planning_task"]
        assert ended["execution_time"] >= 2
        assert ended["token_usage"].items() >= tokens(wishes(1)).items()


def test_a_flow_by_two_workers(tmp_path: Path) -> None:
    jobs = write_forty(tmp_path, FLOW)
    summary = to_its_end(start_run(tmp_path, tmp_path / "jobs.yaml"))
    assert (summary["counts"]["succeeded"], summary["kickoffs"]) == (40, 40)
    assert sorted(map(str, check_results(tmp_path, FLOW_TITLE))) == sorted(map(str, jobs.values()))


def test_init_reads_the_inputs_of_a_crew_without_an_execution(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "batchcrew", "init", str(PROJECT), "--json"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 0, ended.stderr
    assert sorted(json.loads(ended.stdout)["inputs"]) == ["age", "budget", "duration", "interests"]
    assert f"batchcrew serve {PROJECT}" in (tmp_path / "jobs.yaml").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs.yaml", "rows.csv"]


@pytest.mark.parametrize(("name", "number", "title"), [("trips", 5, ""), ("forty", 40, ""), ("flow", 5, FLOW_TITLE)])
def test_the_example_job_files(tmp_path: Path, name: str, number: int, title: str) -> None:
    summary = to_its_end(start_run(tmp_path, PROJECT / f"{name}.yaml"))
    assert summary["counts"]["succeeded"] == number
    assert len({str(own) for own in check_results(tmp_path, title)}) == number


def test_a_killed_worker_fails_its_own_execution_only(tmp_path: Path, receiver: Receiver) -> None:
    options = ("--workers", "2", "--threads", "1")
    with served(tmp_path, str(PROJECT), *options, OFFLINE_SECONDS="1") as server:
        while server.call("/stats")[1]["workers_ready"] < 2:  # else the second execution may wait for the first worker
            pass
        ids = [server.kickoff(wishes(n), **receiver.kickoff_keys()) for n in range(2)]
        # both have ended their first task, so each worker has one
        assert {receiver.next("task")["kickoff_id"] for _ in ids} == set(ids)
        before = workers_of(server.process.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        ended = {webhook["kickoff_id"]: webhook for webhook in (receiver.next("crew"), receiver.next("crew"))}
        assert set(ended) == set(ids)
        assert sorted(webhook["status"] for webhook in ended.values()) == ["completed", "error"]
        for number, kickoff_id in enumerate(ids):
            status = server.status(kickoff_id)
            if status["status"] == "error":
                assert "SIGKILL" in status["error"]
            else:
                assert status["result"]["output"] == PLAN.format(**wishes(number))
        again = [server.kickoff(wishes(n), **receiver.kickoff_keys()) for n in (2, 3)]
        assert [receiver.next("crew")["status"] for _ in again] == ["completed", "completed"]
        after = workers_of(server.process.pid)
        assert len(after) == 2
        assert set(after) & set(before) == {before[1]}


def test_a_worker_killed_in_a_run_has_only_its_own_jobs_tried_again(tmp_path: Path) -> None:
    write_forty(tmp_path, str(PROJECT))
    run = start_run(tmp_path, tmp_path / "jobs.yaml", OFFLINE_SECONDS="2")
    until_first_tenth(run)
    until_all_run(tmp_path, 8)  # four in each worker: one may have been loaded long before the other
    os.kill(workers_of(run.pid)[0], signal.SIGKILL)
    summary = to_its_end(run)
    assert summary["counts"]["succeeded"] == 40
    check_results(tmp_path)
    attempts = ask(tmp_path, "SELECT state, reason FROM attempt_history ORDER BY number")
    failed = [reason for state, reason in attempts if state == "failed"]
    assert 1 <= len(failed) <= 4  # as many as its threads
    assert all("SIGKILL" in reason for reason in failed)
    assert len(attempts) == 40 + len(failed)
