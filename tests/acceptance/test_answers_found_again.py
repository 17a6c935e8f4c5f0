"""A row that returns gets the answer that its batch already has; kickoffs are counted at the server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import TOKEN, Crew, call, start, wait_until
from held_crew import HeldCrew
from month_crew import MonthCrew
from test_changed_jobs import export, job_file, kickoffs, rows, run, states, write

pytestmark = pytest.mark.crash  # many runs one after the other; the month has the same kinds


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path, "--execution-time", "1ms", "--no-idempotency")
    yield made
    made.stop()


def month_file(folder: Path, url: str, written: list[dict[str, str]], *, crew: str = "default") -> None:
    """A job file for `MonthCrew`; its rows may miss columns."""
    settings = f'{{url: "{url}", token: "${{CREW_TOKEN}}"}}'
    crews = f"crew: {settings}" if crew == "default" else f"crews: {{{crew}: {settings}}}"
    chosen = "" if crew == "default" else f", crew: {crew}"
    run = "run: {poll: {initial: 5ms, max: 20ms}, retry: {attempts: 1}}"
    (folder / "l.yaml").write_text(f"{crews}\n{run}\njobs: [{{rows: l.jsonl{chosen}}}]\n", encoding="utf-8")
    (folder / "l.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")


def test_an_edit_that_was_put_back_and_not_kicked_off_can_be_reverted(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    edited = rows(3)
    edited[1]["budget"], edited[2]["budget"] = "20", "30"
    write(tmp_path, edited)
    run(tmp_path, "--rerun-changed", "--limit", "1", code=3)
    edited[2]["budget"] = "3"
    write(tmp_path, edited)
    run(tmp_path)
    assert kickoffs(crew) == 4
    assert states(tmp_path) == {"succeeded": 3}


def test_a_row_that_left_keeps_its_answer_when_a_former_one_is_taken_over(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    edited = rows(3)
    edited[2]["budget"] = "30"
    write(tmp_path, edited)
    run(tmp_path, "--rerun-changed")
    write(tmp_path, [*edited[:2], {**rows(3)[2], "id": "again"}])
    run(tmp_path)
    write(tmp_path, edited)
    run(tmp_path)
    assert kickoffs(crew) == 4


def test_the_earlier_answer_of_a_renumbered_row_is_found(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    edited = rows(3)
    edited[2]["budget"] = "30"
    write(tmp_path, edited)
    run(tmp_path, "--rerun-changed")
    edited[2]["id"] = "other"
    write(tmp_path, edited)
    run(tmp_path)
    edited[2]["budget"] = "3"
    write(tmp_path, edited)
    run(tmp_path)
    assert kickoffs(crew) == 4
    assert states(tmp_path) == {"succeeded": 3}


def test_a_pending_row_that_comes_back_takes_the_answer_that_came_meanwhile(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(2))
    run(tmp_path, "--limit", "1", code=3)
    write(tmp_path, [rows(2)[0], {**rows(2)[1], "id": "other"}])
    run(tmp_path)
    write(tmp_path, rows(2))
    plan = json.loads(call(tmp_path, "check", "l.yaml", "--json").stdout)
    assert (plan["to_kick_off"], plan["reused"]) == (0, 1)
    run(tmp_path)
    assert kickoffs(crew) == 2


def test_a_new_row_takes_the_answer_of_a_stale_one_and_the_stale_one_is_the_new_row(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    edited = rows(3)
    edited[2]["budget"] = "30"
    write(tmp_path, edited)
    run(tmp_path, code=1)
    write(tmp_path, [*edited, {**rows(3)[2], "id": "added"}])
    plan = json.loads(call(tmp_path, "check", "l.yaml", "--json").stdout)
    assert (plan["to_kick_off"], plan["reused"], plan["again"]) == (1, 1, 1)
    run(tmp_path)
    assert kickoffs(crew) == 4  # a row was added
    assert states(tmp_path) == {"succeeded": 4}


def test_a_stale_row_takes_an_answer_that_became_free(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    edited = rows(3)
    edited[2]["budget"] = "2"
    write(tmp_path, edited)
    run(tmp_path, code=1)
    write(tmp_path, [edited[0], edited[2]])
    run(tmp_path)
    assert kickoffs(crew) == 3
    assert states(tmp_path) == {"succeeded": 2}


def test_inputs_that_an_answer_was_kept_for_have_it_back(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    kept = [*rows(2), {**rows(3)[2], "budget": "30"}]
    write(tmp_path, kept)
    run(tmp_path, code=1)
    assert call(tmp_path, "keep", "l").returncode == 0
    write(tmp_path, [*rows(2), {**rows(3)[2], "budget": "300"}])
    run(tmp_path, code=1)
    write(tmp_path, kept)
    run(tmp_path)
    assert states(tmp_path) == {"succeeded": 3}
    write(tmp_path, rows(3))
    run(tmp_path)
    assert kickoffs(crew) == 3


def test_a_stale_row_that_has_only_a_failed_attempt_left_has_nothing_to_keep(tmp_path: Path) -> None:
    def row(job_id: str, topic: str) -> dict[str, str]:
        return {"id": job_id, "topic": topic, "tone": "dry"}

    with MonthCrew(0) as crew:
        month_file(tmp_path, crew.url, [row("a", "bad"), row("b", "t1")])
        run(tmp_path, code=1)
        month_file(tmp_path, crew.url, [row("a", "t2"), row("b", "t1")])
        run(tmp_path)
        month_file(tmp_path, crew.url, [row("a", "t3"), row("b", "t2")])  # b has a's answer now
        run(tmp_path, code=1)
        assert call(tmp_path, "keep", "l", "a").returncode == 2
        assert len(crew.kickoffs) == 3
    assert states(tmp_path) == {"succeeded": 1, "stale": 1}
    stale = export(tmp_path)[0]
    assert "stale_output" not in stale
    assert "stale_inputs" not in stale


def test_a_crew_that_was_renamed_and_later_moved_is_the_same_crew(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(12))
    run(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    other = Crew(tmp_path / "elsewhere", "--execution-time", "1ms")
    try:
        # no run has anything to do under the new name at the old address
        text = re.sub(r"crew: (\{.*\})", r"crews: {prod: \1}", (tmp_path / "l.yaml").read_text())
        for new in (text, text.replace(crew.url, other.url)):
            (tmp_path / "l.yaml").write_text(new)
            run(tmp_path)
        write(tmp_path, [{**row, "id": f"new-{row['id']}"} for row in rows(12)])
        run(tmp_path)
        assert (kickoffs(crew), kickoffs(other)) == (12, 0)
    finally:
        other.stop()


def test_an_edit_reverted_while_the_rerun_is_in_progress(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        job_file(tmp_path, crew.url)
        write(tmp_path, rows(1))
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(1, process)
        crew.finish()
        assert process.wait() == 0
        edited = [{**rows(1)[0], "budget": "99"}]
        write(tmp_path, edited)
        process = start(tmp_path, "run", "l.yaml", "--rerun-changed", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(2, process)
        process.send_signal(2)
        process.communicate()
        write(tmp_path, rows(1))
        run(tmp_path)
        write(tmp_path, [*edited, *rows(2)[1:]])  # the paid execution is still in progress
        crew.release()
        run(tmp_path)
        assert crew.kickoffs == 3
    assert states(tmp_path) == {"succeeded": 2}
    assert "99" in export(tmp_path)[0]["output"]


def test_a_row_edited_while_in_progress_takes_over_an_answer(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        job_file(tmp_path, crew.url)
        one, two = rows(2)
        write(tmp_path, [one])
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(1, process)
        crew.finish()
        assert process.wait() == 0
        write(tmp_path, [one, two])
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(2, process)
        process.send_signal(2)
        process.communicate()
        write(tmp_path, [{**one, "id": "j2"}])
        run(tmp_path)
        crew.release()
        write(tmp_path, [{**one, "id": "j2"}, {**two, "id": "j3"}])
        run(tmp_path)
        assert crew.kickoffs == 2
    assert states(tmp_path) == {"succeeded": 2}


def test_a_kickoff_without_an_answer_is_settled_after_its_crew_was_renamed(tmp_path: Path) -> None:
    written = [{"id": "a", "topic": "t1", "tone": "dry"}]
    with MonthCrew(0) as crew:
        month_file(tmp_path, crew.url, written)
        crew.answering.clear()
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        wait_until(lambda: bool(crew.kickoffs), process)
        process.kill()
        process.communicate()
        crew.answering.set()
        month_file(tmp_path, crew.url, written, crew="prod")
        run(tmp_path)
        assert len(crew.kickoffs) == 1
        assert not crew.problems
    assert states(tmp_path) == {"succeeded": 1}


def test_a_row_that_lost_a_required_input_while_in_progress_is_not_kicked_off(tmp_path: Path) -> None:
    written = [{"id": name, "topic": topic, "tone": "dry"} for name, topic in (("a", "bad"), ("b", "t1"), ("c", "t2"))]
    with MonthCrew(0) as crew:
        month_file(tmp_path, crew.url, written[:1])
        crew.hold()
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        wait_until(lambda: bool(crew.kickoffs), process)
        process.send_signal(2)
        process.communicate()
        crew.release()
        del written[0]["tone"]
        month_file(tmp_path, crew.url, written)
        said = run(tmp_path, code=1)
        (tmp_path / "said").write_text(said)
        assert "'tone'" in said
        assert len(crew.kickoffs) == 3
        assert not crew.problems
    assert states(tmp_path) == {"succeeded": 2, "failed": 1}


def test_the_rerun_guard_also_checks_a_file_that_was_ingested_before(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(20))
    run(tmp_path)
    write(tmp_path, rows(20, interests="y"))
    run(tmp_path, code=1)
    job_file(tmp_path, crew.url, run="on_change: rerun")
    run(tmp_path, code=3)
    assert kickoffs(crew) == 20
    run(tmp_path, "--accept-changes")
    assert kickoffs(crew) == 40


def test_check_reports_a_missing_input_of_jobs_that_would_run_again(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(4))
    run(tmp_path)
    job_file(tmp_path, crew.url, run="on_change: rerun")
    write(tmp_path, [{"Budget": row.pop("budget"), **row} for row in rows(4)])
    checked = call(tmp_path, "check", "l.yaml", "--json")
    plan = json.loads(checked.stdout)
    assert (checked.returncode, plan["to_kick_off"]) == (2, 0)
    run(tmp_path, code=2)
    write(tmp_path, rows(4))
    run(tmp_path)
    assert kickoffs(crew) == 4


def test_executions_in_progress_are_watched_after_their_crew_was_renamed_and_moved(tmp_path: Path) -> None:
    with HeldCrew() as crew, HeldCrew() as other:
        job_file(tmp_path, crew.url)
        write(tmp_path, rows(2))
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(2, process)
        process.send_signal(2)
        process.communicate()
        text = re.sub(r"crew: (\{.*\})", r"crews: {prod: \1}", (tmp_path / "l.yaml").read_text())
        (tmp_path / "l.yaml").write_text(text)
        call(tmp_path, "tick", "l.yaml")
        (tmp_path / "l.yaml").write_text(text.replace(crew.url, other.url))
        crew.release()
        run(tmp_path)
        assert (crew.kickoffs, other.kickoffs) == (2, 0)
    assert states(tmp_path) == {"succeeded": 2}
