"""What an edited file costs: kickoffs are counted at the server."""

import csv
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_process import INPUTS, TOKEN, Crew, call, start
from held_crew import HeldCrew

JOB_FILE = """
crew: {{url: "{url}", token: "${{CREW_TOKEN}}", price_per_kickoff: 0.50 USD}}
run: {{concurrency: 6, poll: {{initial: 20ms, max: 100ms}}, retry: {{attempts: 1}}{run}}}
jobs: [{{rows: l.csv{entry}}}]
"""
Row = Mapping[str, str]


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path, "--execution-time", "1ms", "--no-idempotency")
    yield made
    made.stop()


def rows(number: int, **columns: str) -> list[dict[str, str]]:
    """Rows with ids, whose budgets differ."""
    return [{"id": f"j{n}", **INPUTS, "budget": str(n), **columns} for n in range(1, number + 1)]


def write(folder: Path, written: Iterable[Row]) -> None:
    written = list(written)
    with (folder / "l.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(written[0]))
        writer.writeheader()
        writer.writerows(written)


def job_file(folder: Path, url: str, *, run: str = "", entry: str = "") -> None:
    text = JOB_FILE.format(url=url, run=run and f", {run}", entry=entry and f", {entry}")
    (folder / "l.yaml").write_text(text, encoding="utf-8")


def kickoffs(crew: Crew) -> int:
    return int(crew.stats()["kickoffs"])


def run(folder: Path, *words: str, code: int = 0, **variables: str) -> str:
    ended = call(folder, "run", "l.yaml", *words, **variables)
    assert ended.returncode == code, ended.stderr
    return ended.stderr


def states(folder: Path) -> dict[str, int]:
    counts: dict[str, int] = json.loads(call(folder, "status", "l", "--json").stdout)["counts"]
    return {name: number for name, number in counts.items() if number and name != "total"}


def export(folder: Path) -> list[dict[str, Any]]:
    exported: list[dict[str, Any]] = json.loads(call(folder, "export", "l", "-f", "json").stdout)
    return exported


def without_ids(written: Iterable[Row]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "id"} for row in written]


def test_a_succeeded_job_whose_inputs_changed_is_stale_and_not_paid_for(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    written = rows(3)
    write(tmp_path, written)
    run(tmp_path)
    written[1]["budget"] = "99"
    write(tmp_path, written)
    said = run(tmp_path, code=1)
    assert "j2" in said
    assert "0.50 USD" in said
    assert kickoffs(crew) == 3
    assert states(tmp_path) == {"succeeded": 2, "stale": 1}
    stale = export(tmp_path)[1]
    assert (stale["budget"], stale["output"], stale["batchcrew_state"]) == ("99", None, "stale")
    assert stale["stale_inputs"]["budget"] == "2"
    assert stale["stale_output"]
    header = call(tmp_path, "export", "l", "-f", "csv").stdout.splitlines()[0]
    assert header.endswith("stale_output,stale_inputs")
    run(tmp_path, code=1)
    assert kickoffs(crew) == 3


def test_rerun_changed_pays_for_the_stale_ones_once(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    written = rows(3)
    write(tmp_path, written)
    run(tmp_path)
    written[1]["budget"] = "99"
    write(tmp_path, written)
    run(tmp_path, "--rerun-changed")
    assert kickoffs(crew) == 4
    run(tmp_path, "--rerun-changed")
    assert kickoffs(crew) == 4
    assert "stale_output" not in export(tmp_path)[1]


def test_on_change_rerun_pays_for_it(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url, run="on_change: rerun")
    written = rows(3)
    write(tmp_path, written)
    run(tmp_path)
    written[1]["budget"] = "99"
    write(tmp_path, written)
    run(tmp_path)
    assert kickoffs(crew) == 4


def test_reverting_the_edit_restores_the_answer(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    written = rows(3)
    write(tmp_path, written)
    run(tmp_path)
    before = export(tmp_path)
    write(tmp_path, [written[0], {**written[1], "budget": "99"}, written[2]])
    run(tmp_path, code=1)
    write(tmp_path, written)
    run(tmp_path)
    assert kickoffs(crew) == 3
    assert [row["output"] for row in export(tmp_path)] == [row["output"] for row in before]
    # and once more after the changed inputs were paid for
    write(tmp_path, [written[0], {**written[1], "budget": "99"}, written[2]])
    run(tmp_path, "--rerun-changed")
    write(tmp_path, written)
    run(tmp_path)
    assert kickoffs(crew) == 4
    assert [row["output"] for row in export(tmp_path)] == [row["output"] for row in before]


def test_keep_declares_the_answer_valid(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    written = rows(4)
    write(tmp_path, written)
    run(tmp_path)
    for row in written[1:]:
        row["budget"] += "0"
    write(tmp_path, written)
    run(tmp_path, code=1)
    assert call(tmp_path, "keep", "l", "j2").returncode == 0
    assert states(tmp_path) == {"succeeded": 2, "stale": 2}
    assert call(tmp_path, "keep", "l", "nobody").returncode == 2
    assert call(tmp_path, "keep", "l", "j1").returncode == 2
    assert call(tmp_path, "keep", "l").returncode == 0
    run(tmp_path)
    assert kickoffs(crew) == 4
    # its new inputs are its inputs now: under another id they cost nothing, and neither do the former ones
    write(tmp_path, [{**row, "id": f"new-{row['id']}"} for row in written])
    run(tmp_path)
    assert kickoffs(crew) == 4
    write(tmp_path, rows(4))
    run(tmp_path)
    assert kickoffs(crew) == 4


def test_meta_order_and_unsent_columns_change_nothing(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    written = rows(3)
    write(tmp_path, written)
    run(tmp_path)
    job_file(tmp_path, crew.url, entry='meta: {who: "{{ id }}"}')
    write(tmp_path, [{**row, "notes": "call back"} for row in reversed(written)])
    said = run(tmp_path)
    assert "notes" in said
    assert kickoffs(crew) == 3
    assert states(tmp_path) == {"succeeded": 3}
    assert [row["id"] for row in export(tmp_path)] == ["j3", "j2", "j1"]
    assert {row["notes"] for row in export(tmp_path)} == {"call back"}


def test_a_renamed_crew_is_the_same_crew_and_so_is_one_that_moved(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    text = (tmp_path / "l.yaml").read_text()
    (tmp_path / "l.yaml").write_text(re.sub(r"crew: (\{.*\})", r"crews: {prod: \1}", text))
    run(tmp_path)
    assert kickoffs(crew) == 3
    (tmp_path / "elsewhere").mkdir()
    other = Crew(tmp_path / "elsewhere", "--execution-time", "1ms")
    try:
        (tmp_path / "l.yaml").write_text((tmp_path / "l.yaml").read_text().replace(crew.url, other.url))
        said = run(tmp_path)
        assert "3 answers" in said
        command = re.search(r"batchcrew retry l --from-url \S+", said)
        assert command is not None
        assert kickoffs(other) == 0
        assert call(tmp_path, *command[0].split()[1:]).returncode == 0
        run(tmp_path)
        assert (kickoffs(crew), kickoffs(other)) == (3, 3)
    finally:
        other.stop()


def test_another_crew_at_another_address_makes_the_answers_stale(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    other = Crew(tmp_path / "elsewhere", "--execution-time", "1ms")
    try:
        text = (tmp_path / "l.yaml").read_text().replace(crew.url, other.url)
        (tmp_path / "l.yaml").write_text(re.sub(r"crew: (\{.*\})", r"crews: {prod: \1}", text))
        run(tmp_path, code=1)
        assert states(tmp_path) == {"stale": 3}
        assert (kickoffs(crew), kickoffs(other)) == (3, 0)
        run(tmp_path, "--rerun-changed")
        assert (kickoffs(crew), kickoffs(other)) == (3, 3)
        job_file(tmp_path, crew.url)
        run(tmp_path)
        assert (kickoffs(crew), kickoffs(other)) == (3, 3)
    finally:
        other.stop()


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda row: {**row, "id": f"new-{row['id']}"}, id="ids renumbered"),
        pytest.param(
            lambda row: {"lead": row["id"], **{name: value for name, value in row.items() if name != "id"}},
            id="id column renamed",
        ),
    ],
)
def test_the_same_inputs_under_another_id_cost_nothing(tmp_path: Path, crew: Crew, edit: Any) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(12))
    run(tmp_path)
    answers = [row["output"] for row in export(tmp_path)]
    write(tmp_path, map(edit, rows(12)))
    run(tmp_path)
    assert kickoffs(crew) == 12
    assert [row["output"] for row in export(tmp_path)] == answers


def test_a_row_inserted_into_numbered_rows_costs_one_kickoff(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(12))
    run(tmp_path)
    answers = {row["budget"]: row["output"] for row in export(tmp_path)}
    shifted = rows(13)
    for number, row in enumerate(shifted):
        row["budget"] = "new" if number == 4 else str(number if number > 4 else number + 1)
    write(tmp_path, shifted)
    run(tmp_path)
    assert kickoffs(crew) == 13
    assert {row["budget"]: row["output"] for row in export(tmp_path) if row["budget"] != "new"} == answers


def test_rows_that_change_places_cost_nothing(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    run(tmp_path)
    answers = {row["budget"]: row["output"] for row in export(tmp_path)}
    swapped = rows(3)
    swapped[0]["budget"], swapped[2]["budget"] = "3", "1"
    write(tmp_path, swapped)
    run(tmp_path)
    assert kickoffs(crew) == 3
    assert {row["budget"]: row["output"] for row in export(tmp_path)} == answers


def test_a_sheet_without_ids_that_gained_a_column_costs_nothing(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, without_ids(rows(12)))
    run(tmp_path)
    write(tmp_path, without_ids(rows(12, notes="x")))
    run(tmp_path)
    assert kickoffs(crew) == 12
    assert states(tmp_path) == {"succeeded": 12}


def test_equal_rows_are_a_kickoff_each(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, [{"id": f"a{n}", **INPUTS} for n in range(3)])
    run(tmp_path)
    assert kickoffs(crew) == 3
    write(tmp_path, [{"id": f"b{n}", **INPUTS} for n in range(5)])
    run(tmp_path)
    assert kickoffs(crew) == 5


def test_reuse_off_pays(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url, run="reuse: off")
    write(tmp_path, rows(3))
    run(tmp_path)
    write(tmp_path, [{**row, "id": f"new-{row['id']}"} for row in rows(3)])
    run(tmp_path)
    assert kickoffs(crew) == 6


def test_an_export_saved_over_the_file_costs_nothing(tmp_path: Path, crew: Crew) -> None:
    for written in (rows(3), without_ids(rows(3))):
        folder = tmp_path / f"f{len(written[0])}"
        folder.mkdir()
        before = kickoffs(crew)
        job_file(folder, crew.url)
        write(folder, written)
        run(folder)
        for _ in range(2):
            assert call(folder, "export", "l", "-f", "csv", "-o", "l.csv").returncode == 0
            run(folder)
        assert kickoffs(crew) == before + 3
        names = (folder / "l.csv").read_text().splitlines()[0].split(",")
        assert len(names) == len(written[0]) + 9


def test_an_export_saved_over_a_file_without_ids_takes_new_and_changed_rows(tmp_path: Path, crew: Crew) -> None:
    """The export's `job_id` does not identify a job: a new row has none, and a changed row is another job."""
    before = kickoffs(crew)
    job_file(tmp_path, crew.url)
    write(tmp_path, without_ids(rows(3)))
    run(tmp_path)
    assert call(tmp_path, "export", "l", "-f", "csv", "-o", "l.csv").returncode == 0
    header, first, *others = list(csv.reader((tmp_path / "l.csv").read_text().splitlines()))
    assert "job_id" in header
    budget = header.index("budget")
    first[budget] = "changed"
    new = [*others[0][: header.index("batchcrew_state")], *[""] * 9]
    new[budget] = "new"
    with (tmp_path / "l.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, first, *others, new])
    run(tmp_path)
    assert kickoffs(crew) == before + 3 + 2


def test_a_job_changed_while_in_progress_is_stale_with_the_inputs_that_were_sent(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        job_file(tmp_path, crew.url)
        write(tmp_path, rows(2))
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(2, process)
        process.send_signal(2)
        process.communicate()
        written = rows(2)
        written[0]["budget"] = "99"
        write(tmp_path, written)
        crew.release()
        run(tmp_path, code=1)
        assert crew.kickoffs == 2
    changed = export(tmp_path)[0]
    assert (changed["batchcrew_state"], changed["budget"], changed["output"]) == ("stale", "99", None)
    assert changed["stale_inputs"]["budget"] == "1"


def test_executions_in_progress_follow_their_inputs_to_other_ids(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        job_file(tmp_path, crew.url)
        write(tmp_path, rows(6))
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(6, process)
        process.send_signal(2)
        process.communicate()
        shifted = rows(7)
        for number, row in enumerate(shifted):
            row["budget"] = str(number)
        write(tmp_path, shifted)
        crew.release()
        run(tmp_path)
        assert crew.kickoffs == 7
    assert states(tmp_path) == {"succeeded": 7}


def test_replacing_most_rows_without_ids_stops_before_the_first_kickoff(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, without_ids(rows(20)))
    run(tmp_path)
    edited = without_ids({**row, "interests": "y"} for row in rows(20))
    write(tmp_path, edited)
    said = run(tmp_path, code=3)
    assert "--accept-changes" in said
    assert kickoffs(crew) == 20
    assert states(tmp_path) == {"succeeded": 20}
    assert call(tmp_path, "check", "l.yaml").returncode == 3
    run(tmp_path, "--accept-changes")
    assert kickoffs(crew) == 40


def test_a_refused_plan_still_takes_the_answers_that_are_paid_for(tmp_path: Path) -> None:
    with HeldCrew() as crew:
        job_file(tmp_path, crew.url)
        write(tmp_path, without_ids(rows(20)))
        process = start(tmp_path, "run", "l.yaml", "--concurrency", "20", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(20, process)
        crew.finish()
        process.communicate()
        write(tmp_path, without_ids(rows(22)))
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        crew.wait_for_kickoffs(22, process)
        process.send_signal(2)
        process.communicate()
        write(tmp_path, without_ids({**row, "interests": "y"} for row in rows(22)))
        crew.release()
        run(tmp_path, code=3)
        assert crew.kickoffs == 22
    assert states(tmp_path) == {"succeeded": 22}


@pytest.mark.parametrize("guard", ["off", "50%"])
def test_the_guard_can_be_moved(tmp_path: Path, crew: Crew, guard: str) -> None:
    job_file(tmp_path, crew.url, run=f"plan_guard: {guard}")
    write(tmp_path, without_ids(rows(24)))
    run(tmp_path)
    write(tmp_path, without_ids({**row, "interests": "y" if n < 12 else "x"} for n, row in enumerate(rows(24))))
    run(tmp_path)
    assert kickoffs(crew) == 36


def test_rerun_on_a_large_scale_stops_too(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url, run="on_change: rerun")
    write(tmp_path, rows(20))
    run(tmp_path)
    write(tmp_path, rows(20, interests="y"))
    run(tmp_path, code=3)
    assert kickoffs(crew) == 20
    run(tmp_path, "--accept-changes")
    assert kickoffs(crew) == 40


def test_jobs_without_a_required_input_fail_unpaid(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    lines = [json.dumps(row) for row in rows(4)]
    incomplete = {**rows(5)[4], "Budget": "5"}
    del incomplete["budget"]
    (tmp_path / "l.jsonl").write_text("\n".join([*lines, json.dumps(incomplete)]) + "\n")
    text = (tmp_path / "l.yaml").read_text().replace("l.csv", "l.jsonl")
    (tmp_path / "l.yaml").write_text(text)
    checked = json.loads(call(tmp_path, "check", "l.yaml", "--json").stdout)
    assert (checked["to_kick_off"], checked["kickoffs"]["least"]) == (4, 4)
    said = run(tmp_path, code=1)
    assert kickoffs(crew) == 4
    assert "'budget'" in said
    assert "'Budget'" in said


def test_a_file_in_which_most_jobs_miss_an_input_starts_nothing(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, [{"Budget": row.pop("budget"), **row} for row in rows(4)])
    said = run(tmp_path, code=2)
    assert "'Budget'" in said
    assert kickoffs(crew) == 0
    write(tmp_path, rows(4))
    run(tmp_path)
    assert kickoffs(crew) == 4


def test_check_and_dry_run_show_what_a_run_pays(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(6, notes="x"))
    run(tmp_path, "--limit", "3", code=3)
    edited = rows(8)[1:]
    edited[3]["budget"] += "0"  # of a job that is pending
    edited.append({**rows(1)[0], "id": "moved"})
    write(tmp_path, edited)
    plan = json.loads(call(tmp_path, "check", "l.yaml", "--json").stdout)
    again = json.loads(call(tmp_path, "run", "l.yaml", "--dry-run", "--json").stdout)
    assert plan == again
    before = kickoffs(crew)
    run(tmp_path)
    assert kickoffs(crew) - before == plan["to_kick_off"] == plan["kickoffs"]["least"] == 5
    assert plan["reused"] == 1


def test_a_rerun_that_is_called_off_restores_the_answers_that_were_not_replaced(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    written = rows(3)
    write(tmp_path, written)
    run(tmp_path)
    write(tmp_path, [{**row, "budget": row["budget"] + "x"} for row in written])
    run(tmp_path, "--rerun-changed", "--limit", "1", code=3)
    write(tmp_path, written)
    assert json.loads(call(tmp_path, "check", "l.yaml", "--json").stdout)["to_kick_off"] == 0
    run(tmp_path)
    assert kickoffs(crew) == 4
    assert all(row["budget"] in row["output"] for row in export(tmp_path))


def test_the_guard_also_stops_a_rerun_of_a_file_that_has_not_changed_since(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url, run="on_change: rerun")
    written = rows(12)
    write(tmp_path, written)
    run(tmp_path)
    write(tmp_path, [{**row, "budget": row["budget"] + "x"} for row in written])
    run(tmp_path, "--on-change", "keep", code=1)
    assert "--accept-changes" in run(tmp_path, code=3)
    assert kickoffs(crew) == 12
    run(tmp_path, "--accept-changes")
    assert kickoffs(crew) == 24


def plan(folder: Path, *words: str) -> tuple[int, tuple[int, int], str]:
    """Call `run --dry-run` with these options; returns jobs to kick off, least and most kickoffs, cost."""
    ended = call(folder, "run", "l.yaml", "--dry-run", "--json", *words)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    return said["to_kick_off"], (said["kickoffs"]["least"], said["kickoffs"]["most"]), said["cost"]


TWO_CREWS = """
crews:
  a: {{url: "{a}", token: "${{CREW_TOKEN}}", price_per_kickoff: 1 USD}}
  b: {{url: "{b}", token: "${{CREW_TOKEN}}", price_per_kickoff: 10 USD}}
run: {{poll: {{initial: 20ms, max: 100ms}}, retry: {{attempts: 2}}{run}}}
jobs: [{{rows: l.csv, crew: a}}, {{id: z, crew: b, inputs: {{budget: "{budget}", interests: i, duration: d, age: x}}}}]
"""


def test_the_price_of_stale_jobs_is_their_crews(tmp_path: Path, crew: Crew) -> None:
    def job_file(budget: str, run: str = "") -> None:
        text = TWO_CREWS.format(a=crew.url, b=crew.url + "/", budget=budget, run=run)
        (tmp_path / "l.yaml").write_text(text, encoding="utf-8")

    job_file("1")
    write(tmp_path, rows(2))
    assert plan(tmp_path) == (3, (3, 6), "12.00 to 24.00 USD")
    run(tmp_path)
    job_file("2")
    assert plan(tmp_path, "--rerun-changed") == (1, (1, 2), "10.00 to 20.00 USD")
    assert "10.00 to 20.00 USD" in run(tmp_path, code=1)
    assert "10.00 to 20.00 USD" in run(tmp_path, "--rerun-changed")
    assert kickoffs(crew) == 4


def test_a_dry_run_counts_the_failed_jobs_that_are_put_back(tmp_path: Path) -> None:
    failing = Crew(tmp_path, "--execution-time", "1ms", "--no-idempotency", "--fail-rate", "100%")
    try:
        job_file(tmp_path, failing.url)
        write(tmp_path, rows(3))
        run(tmp_path, code=1)
        assert plan(tmp_path) == (0, (0, 0), "0.00 USD")
        assert plan(tmp_path, "--retry-failed") == (3, (3, 3), "1.50 USD")
        run(tmp_path, "--retry-failed", code=1)
        assert kickoffs(failing) == 6
    finally:
        failing.stop()


def test_a_dry_run_counts_a_job_in_progress_that_will_run_again(tmp_path: Path) -> None:
    with HeldCrew() as held:
        job_file(tmp_path, held.url, run="on_change: rerun")
        written: list[dict[str, str]] = rows(2)
        write(tmp_path, written)
        process = start(tmp_path, "run", "l.yaml", CREW_TOKEN=TOKEN)
        held.wait_for_kickoffs(2, process)
        process.send_signal(2)
        process.communicate()
        written[0]["budget"] = "99"
        write(tmp_path, written)
        assert plan(tmp_path) == (0, (1, 1), "0.50 USD")
        held.release()
        run(tmp_path)
        assert held.kickoffs == 3


def test_check_needs_only_the_crews_that_have_work(tmp_path: Path, crew: Crew) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Crew(tmp_path / "elsewhere", "--execution-time", "1ms")
    text = TWO_CREWS.format(a=crew.url, b=other.url, budget="1", run="")
    (tmp_path / "l.yaml").write_text(text, encoding="utf-8")
    write(tmp_path, rows(1))
    run(tmp_path)
    other.stop()
    write(tmp_path, rows(2))
    assert plan(tmp_path) == (1, (1, 2), "1.00 to 2.00 USD")
    run(tmp_path)
    assert kickoffs(crew) == 2


def test_commands_are_printed_whole_however_long_they_are(tmp_path: Path, crew: Crew) -> None:
    folder = tmp_path / ("a long  name" * 15) / ("o'brien " * 20)
    folder.mkdir(parents=True)
    (folder / "elsewhere").mkdir()
    job_file(folder, crew.url)
    write(folder, rows(1))
    where = (str(folder / "l.yaml"), "--ledger", str(folder / "ledger of the batch.db"), "--encoding", "utf-8")
    assert call(tmp_path, "run", *where).returncode == 0
    job_file(folder, crew.url + "/")
    write(folder, [{**rows(1)[0], "budget": "9"}])
    for quiet in (["--quiet"], []):  # a warning that lasts is printed only once by --quiet
        said = call(tmp_path, "run", *where, *quiet).stderr
        found = re.search(r"batchcrew (run .* --rerun-changed.*); .* batchcrew (keep .*)", said)
        assert found is not None, said
        words = subprocess.run(
            ["bash", "-c", f"printf '%s\\n' {found[1]}"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert words[:2] == ["run", where[0]]
        assert {"--rerun-changed", where[2]} <= set(words)
        assert found[2].endswith("/ledger of the batch.db'")
        assert "…" not in said


def test_a_dry_run_knows_the_limit_of_the_run(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(3))
    assert plan(tmp_path, "--limit", "2")[0] == 2
    assert plan(tmp_path, "--watch-only")[0] == 0


def test_check_says_when_keep_knows_of_a_stale_job(tmp_path: Path, crew: Crew) -> None:
    job_file(tmp_path, crew.url)
    write(tmp_path, rows(1))
    run(tmp_path)
    write(tmp_path, [{**rows(1)[0], "budget": "9"}])
    assert "after the next run: batchcrew keep" in call(tmp_path, "check", "l.yaml").stdout
    run(tmp_path, code=1)
    known = call(tmp_path, "check", "l.yaml").stdout
    assert "batchcrew keep" in known
    assert "after the next run" not in known
