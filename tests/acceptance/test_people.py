"""Jobs that wait for human input: the inbox, one answer, a sheet, and a sheet that is killed in the middle."""

import csv
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cli_process import JOB_FILE, Crew, call, start, wait_until, write_trips

HUMAN = "human: {poll: 50ms}, concurrency: 20, "


def job_file(crew: Crew) -> str:
    return JOB_FILE.format(url=crew.url).replace("concurrency: 6, ", HUMAN)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    served = Crew(tmp_path, "--human-rate", "1", "--execution-time", "20ms")
    yield served
    served.process.close()


def has_taken(crew: Crew, number: int) -> bool:
    return int(crew.stats()["human_answers"]) >= number


def has_paused(crew: Crew, number: int) -> bool:
    return int(crew.stats()["paused"]) >= number


def waiting(folder: Path, crew: Crew, number: int) -> None:
    """Run a batch until all its jobs wait."""
    write_trips(folder, number)
    (folder / "jobs.yaml").write_text(job_file(crew))
    ended = call(folder, "run", "jobs.yaml", "--quiet")
    assert ended.returncode == 3, ended.stderr


def counts(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(call(folder, "status", "jobs", "--json").stdout)["counts"]
    return {name: number for name, number in found.items() if number and name != "total"}


def inbox(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call(folder, "inbox", "jobs", "--json").stdout)["waiting"]
    return found


def sheet(folder: Path, name: str = "inbox.csv") -> list[dict[str, str]]:
    """Return the rows of the sheet that `inbox` writes."""
    assert call(folder, "inbox", "jobs", "-f", "csv", "-o", name).returncode == 0
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill_in(folder: Path, rows: list[dict[str, str]], name: str = "inbox.csv") -> None:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def answers(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    ended = call(folder, "answer", "jobs", *arguments, "--json")
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def test_one_job_is_rejected_with_feedback_then_approved_and_the_run_finishes(tmp_path: Path, crew: Crew) -> None:
    waiting(tmp_path, crew, 1)
    assert counts(tmp_path) == {"waiting": 1}
    (first,) = inbox(tmp_path)
    assert (first["job_id"], first["task_id"]) == ("trip-0", "research_task")
    assert "fits best" in first["output"]
    shown = json.loads(call(tmp_path, "status", "jobs", "--json").stdout)
    assert [line["wait_id"] for line in shown["waiting"]] == [first["wait_id"]]
    (tmp_path / "feedback.txt").write_text("cheaper\n")
    code, found = answers(tmp_path, "trip-0", "--reject", "--feedback", "@feedback.txt")
    assert (code, found["counts"]["answered"]) == (0, 1)
    assert counts(tmp_path) == {"open": 1}
    assert call(tmp_path, "run", "jobs.yaml").returncode == 3
    (second,) = inbox(tmp_path)
    assert second["wait_id"] != first["wait_id"]
    assert second["output"].endswith("cheaper")
    assert answers(tmp_path, "trip-0", "--approve")[0] == 0
    assert call(tmp_path, "run", "jobs.yaml").returncode == 0
    assert crew.stats()["kickoffs"] == 1
    assert crew.stats()["human_answers"] == 2
    assert call(tmp_path, "answer", "jobs", "trip-0", "--approve").returncode == 2


def test_a_sheet_is_checked_first_and_rows_without_a_decision_stay_open(tmp_path: Path, crew: Crew) -> None:
    waiting(tmp_path, crew, 4)
    rows = sheet(tmp_path)
    rows[0]["decision"], rows[1]["decision"], rows[2]["wait_id"] = "approve", "perhaps", "w0"
    rows[2]["decision"], rows[3]["decision"] = "approve", "reject"
    fill_in(tmp_path, rows)
    ended = call(tmp_path, "answer", "jobs", "--csv", "inbox.csv")
    assert ended.returncode == 2
    assert [line for line in ("perhaps", "a rejection requires feedback") if line not in ended.stderr] == []
    assert crew.stats()["human_answers"] == 0
    rows[1]["decision"], rows[3]["decision"] = "", ""
    fill_in(tmp_path, rows)
    ended = call(tmp_path, "answer", "jobs", "--csv", "inbox.csv")
    assert ended.returncode == 2
    assert "'w0'" in ended.stderr
    rows[2]["decision"] = ""
    fill_in(tmp_path, rows)
    code, found = answers(tmp_path, "--csv", "inbox.csv")
    assert (code, found["counts"]["answered"], found["undecided"]) == (0, 1, 3)
    assert counts(tmp_path) == {"open": 1, "waiting": 3}
    code, found = answers(tmp_path, "--csv", "inbox.csv")
    assert (code, found["counts"]["answered_before"]) == (0, 1)
    assert crew.stats()["human_answers"] == 1


@pytest.mark.crash
def test_a_decision_about_an_earlier_question_is_skipped_and_reported(tmp_path: Path, crew: Crew) -> None:
    waiting(tmp_path, crew, 1)
    rows = sheet(tmp_path)
    assert answers(tmp_path, "trip-0", "--reject", "--feedback", "shorter")[0] == 0
    assert call(tmp_path, "run", "jobs.yaml").returncode == 3
    rows[0]["decision"] = "approve"
    fill_in(tmp_path, rows)
    code, found = answers(tmp_path, "--csv", "inbox.csv")
    assert (code, found["counts"]["stale"], found["waiting"]) == (1, 1, 1)
    assert crew.stats()["human_answers"] == 1


@pytest.mark.crash
def test_a_run_that_stays_resumes_at_once_what_another_terminal_answers(tmp_path: Path, crew: Crew) -> None:
    write_trips(tmp_path, 2)
    (tmp_path / "jobs.yaml").write_text(job_file(crew))
    running = start(tmp_path, "run", "jobs.yaml", "--wait")
    try:
        wait_until(lambda: crew.stats()["paused"] == 2, running)
        wait_until(lambda: (tmp_path / "results/batchcrew.db").exists() and len(inbox(tmp_path)) == 2, running)
        rows = sheet(tmp_path)
        fill_in(tmp_path, [{**row, "decision": "approve"} for row in rows])
        assert answers(tmp_path, "--csv", "inbox.csv")[0] == 0
        assert running.wait() == 0
    finally:
        running.close()
    assert counts(tmp_path) == {"succeeded": 2}
    assert crew.stats()["kickoffs"] == 2


@pytest.mark.crash
def test_a_sheet_of_200_rows_that_is_killed_twice_answers_each_row_once(tmp_path: Path, crew: Crew) -> None:
    """The server counts the answers that it has taken. An approval is sent again only if it has not arrived."""
    waiting(tmp_path, crew, 200)
    rows = sheet(tmp_path)
    assert len({row["wait_id"] for row in rows}) == 200
    fill_in(tmp_path, [{**row, "decision": "approve"} for row in rows])
    for taken in (40, 110):
        sending = start(tmp_path, "answer", "jobs", "--csv", "inbox.csv")
        wait_until(partial(has_taken, crew, taken), sending)
        sending.kill()
        sending.close()
    assert crew.stats()["human_answers"] < 200
    code, found = answers(tmp_path, "--csv", "inbox.csv")
    assert (code, found["waiting"]) == (0, 0)
    assert crew.stats()["human_answers"] == 200
    assert call(tmp_path, "run", "jobs.yaml", "--quiet").returncode == 0
    assert counts(tmp_path) == {"succeeded": 200}
    assert crew.stats()["kickoffs"] == 200
    code, found = answers(tmp_path, "--csv", "inbox.csv")
    assert (code, found["counts"]["answered_before"]) == (0, 200)


@pytest.mark.crash
def test_edited_inputs_of_a_waiting_job_are_kicked_off_only_with_consent(tmp_path: Path, crew: Crew) -> None:
    """The execution keeps waiting with its former inputs, and its answer is stale; a moved row keeps waiting too."""
    waiting(tmp_path, crew, 2)
    before = {line["job_id"]: line["wait_id"] for line in inbox(tmp_path)}
    trips = (tmp_path / "trips.csv").read_text().splitlines()
    edited = [trips[0], trips[2].replace("trip-1", "renamed"), trips[1].replace("0 USD", "9 USD")]
    (tmp_path / "trips.csv").write_text("\n".join(edited) + "\n")
    assert call(tmp_path, "check", "jobs.yaml", "--offline").returncode == 0
    assert call(tmp_path, "run", "jobs.yaml", "--quiet").returncode == 3
    assert counts(tmp_path) == {"waiting": 2}
    assert {line["job_id"]: line["wait_id"] for line in inbox(tmp_path)} == {
        "trip-0": before["trip-0"],
        "renamed": before["trip-1"],
    }
    rows = sheet(tmp_path)
    fill_in(tmp_path, [{**row, "decision": "approve"} for row in rows])
    assert answers(tmp_path, "--csv", "inbox.csv")[0] == 0
    assert call(tmp_path, "run", "jobs.yaml").returncode == 1
    assert counts(tmp_path) == {"succeeded": 1, "stale": 1}
    assert crew.stats()["kickoffs"] == 2


@pytest.mark.crash
def test_a_run_that_is_killed_while_jobs_wait_loses_none_and_pays_for_none_again(tmp_path: Path, crew: Crew) -> None:
    write_trips(tmp_path, 12)
    (tmp_path / "jobs.yaml").write_text(job_file(crew))
    for number in (4, 12):
        running = start(tmp_path, "run", "jobs.yaml", "--wait", "--concurrency", "2")
        wait_until(partial(has_paused, crew, number), running)
        running.kill()
        running.close()
    assert call(tmp_path, "run", "jobs.yaml", "--quiet").returncode == 3
    assert counts(tmp_path) == {"waiting": 12}
    rows = sheet(tmp_path)
    fill_in(tmp_path, [{**row, "decision": "approve"} for row in rows])
    assert answers(tmp_path, "--csv", "inbox.csv")[0] == 0
    while call(tmp_path, "tick", "jobs.yaml", "--quiet").returncode == 3:
        pass
    assert counts(tmp_path) == {"succeeded": 12}
    assert crew.stats()["kickoffs"] == 12


@pytest.mark.crash
def test_the_secrets_of_the_webhook_are_nowhere(tmp_path: Path, crew: Crew) -> None:
    write_trips(tmp_path, 1)
    authentication = "{strategy: basic, username: u, password: the-password-of-the-webhook}"
    webhook = f"webhook: {{url: 'http://127.0.0.1:9/x', authentication: {authentication}}}"
    (tmp_path / "jobs.yaml").write_text(job_file(crew).replace("poll: 50ms", f"poll: 50ms, {webhook}"))
    ended = call(tmp_path, "run", "jobs.yaml", "--verbose")
    assert ended.returncode == 3, ended.stderr
    assert call(tmp_path, "answer", "jobs", "trip-0", "--approve").returncode == 0
    texts = [
        ended.stderr.encode(),
        *(path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()),
    ]
    assert [text for text in texts if b"the-password-of-the-webhook" in text] == []
    (tmp_path / "jobs.yaml").write_text(
        job_file(crew).replace(
            "poll: 50ms", f"poll: 50ms, {webhook.replace('the-password-of-the-webhook', '[secret]')}"
        )
    )
    ended = call(tmp_path, "run", "jobs.yaml")
    assert ended.returncode == 2
    assert "password" in ended.stderr
    assert "secret" not in ended.stderr
