"""`batchcrew report` and `compare`: their formats, their files, and reports that a run writes at its end."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import call
from plain_crew import PlainCrew

JOB_FILE = """
batch: leads
{reports}
crew: {{url: "{url}", token: t, price_per_kickoff: 0.50 USD}}
run: {{concurrency: 4, stop_after_failures: none, poll: {{initial: 1ms, max: 5ms}}, retry: {{attempts: 1}}}}
jobs: [{{rows: leads.csv}}]
"""
HOSTILE = "<script>alert(1)</script> | `x` [a](javascript:b) @octocat \x1b[31m \u202eevil"


@pytest.fixture
def crew() -> Iterator[PlainCrew]:
    with PlainCrew({"inputs": ["topic"]}) as made:
        made.error_of = lambda inputs: HOSTILE if inputs["topic"] == "bad" else None
        yield made


def write(folder: Path, crew: PlainCrew, topics: list[str], *, reports: str = "") -> None:
    text = JOB_FILE.format(url=crew.url, reports=reports and f"reports: {reports}")
    (folder / "leads.yaml").write_text(text, encoding="utf-8")
    rows = "".join(f"job-{number},{topic}\n" for number, topic in enumerate(topics))
    (folder / "leads.csv").write_text(f"id,topic\n{rows}", encoding="utf-8")


def report(folder: Path, *words: str) -> str:
    said = call(folder, "report", *words)
    assert said.returncode == 0, said.stderr
    return said.stdout


def report_json(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(report(folder, "-f", "json"))
    return document


def test_a_report_has_the_figures_of_the_batch(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats", "dogs", "bad"])
    assert call(tmp_path, "run", "leads.yaml").returncode == 1
    found = report_json(tmp_path)
    assert (found["version"], found["batch"], found["good"], found["running"]) == (1, "leads", False, False)
    assert (found["counts"]["succeeded"], found["counts"]["failed"]) == (2, 1)
    assert (found["money"]["spent"], found["money"]["wasted"]) == ("1.50 USD", "0.50 USD")
    duration = found["duration"]
    assert math.isclose(sum(part["seconds"] for part in duration["parts"]), duration["elapsed_seconds"], abs_tol=0.02)
    assert duration["slots_known"]
    assert sum(each["kickoffs"] for each in found["timeline"]["bins"]) == 3
    assert [each["jobs"] for each in found["failures"]] == [1]
    assert [each["kind"] for each in found["timeline"]["marks"]] == ["run_started", "run_ended"]


def test_what_a_crew_says_has_no_effect_in_a_report(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["bad"])
    call(tmp_path, "run", "leads.yaml")
    markdown = report(tmp_path, "-f", "md", "-o", "-")
    row = next(line for line in markdown.splitlines() if "alert(1)" in line)
    assert "``<script>alert(1)</script> \\| `x` [a](javascript:b) @octocat evil``" in row
    assert row.count("|") - row.count("\\|") == 6
    for text in (markdown, report(tmp_path, "-f", "text")):
        assert not {"\x1b", "\u202e"} & set(text)


@pytest.mark.crash
def test_a_text_report_has_80_columns(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats", "bad"])
    call(tmp_path, "run", "leads.yaml")
    lines = report(tmp_path, "-f", "text", "-o", "-").splitlines()
    assert [line for line in lines if len(line) > 80 and "batchcrew" not in line] == []


@pytest.mark.crash
def test_a_report_is_written_to_a_file(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats"])
    call(tmp_path, "run", "leads.yaml")
    assert report(tmp_path, "leads", "-f", "json", "-o", "out.json") == "out.json\n"
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["good"]
    refused = call(tmp_path, "report", "-o", "results/batchcrew.db")
    assert refused.returncode == 2
    assert "belongs to the ledger" in refused.stderr


def test_a_run_writes_the_reports_of_its_job_file(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats", "dogs"], reports="[md, csv, text]")
    summary = json.loads(call(tmp_path, "run", "leads.yaml", "--json", "--limit", "1").stdout)
    assert (summary["exit_code"], summary["counts"]["pending"]) == (3, 1)
    names = ["leads-results.csv", "leads-report.md", "leads-report.txt"]
    assert summary["reports"] == [f"results/{name}" for name in names]
    assert "1 of 2 jobs" in (tmp_path / "results/leads-report.md").read_text(encoding="utf-8")
    ended = call(tmp_path, "run", "leads.yaml")
    assert ended.returncode == 0
    assert [f"report: results/{name}" in ended.stderr for name in names] == [True] * 3
    assert "All 2 jobs succeeded" in (tmp_path / "results/leads-report.md").read_text(encoding="utf-8")
    assert (tmp_path / "results/leads-results.csv").read_text(encoding="utf-8").count("succeeded") == 2
    assert len(crew.sent) == 2


@pytest.mark.crash
def test_a_report_that_cannot_be_written_does_not_change_the_exit_code(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats"], reports="[md, json]")
    (tmp_path / "results" / "leads-report.md").mkdir(parents=True)
    ended = call(tmp_path, "run", "leads.yaml", "--json")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert (summary["reports"], summary["missing_reports"]) == (["results/leads-report.json"], ["md"])
    assert any("report md" in line for line in summary["warnings"])


@pytest.mark.crash
def test_ticks_write_the_reports_when_the_batch_has_ended(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats"], reports="[json]")
    place = tmp_path / "results" / "leads-report.json"
    for _ in range(20):
        assert not place.exists()
        if call(tmp_path, "tick", "leads.yaml").returncode == 0:
            break
    found = json.loads(place.read_text(encoding="utf-8"))
    assert (found["good"], len(crew.sent)) == (True, 1)


def test_an_unknown_report_is_a_mistake_with_its_place(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats"], reports="[htm, csv]")
    refused = call(tmp_path, "run", "leads.yaml")
    assert refused.returncode == 2
    assert "leads.yaml:3:11: unknown report 'htm' (did you mean 'html'?)" in refused.stderr
    assert crew.sent == []


@pytest.mark.crash
def test_two_batches_are_compared_row_by_row(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, ["cats", "dogs", "birds", "bad"])
    call(tmp_path, "run", "leads.yaml")
    write(tmp_path, crew, ["cats", "bad", "fish"])
    text = (tmp_path / "leads.yaml").read_text(encoding="utf-8")
    (tmp_path / "leads.yaml").write_text(text.replace("batch: leads", "batch: today"), encoding="utf-8")
    assert call(tmp_path, "run", "leads.yaml").returncode == 1
    said = call(tmp_path, "compare", "leads", "today", "--json", "--limit", "1")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    rows = found["rows"]
    assert (found["before"]["batch"], found["after"]["batch"], rows["matched"], rows["same_inputs"]) == (
        "leads",
        "today",
        3,
        1,
    )
    assert [(each["before"], each["after"], each["jobs"], each["examples"]) for each in rows["changes"]] == [
        ("succeeded", "failed", 1, ["job-1"])
    ]
    assert (rows["outputs_compared"], rows["outputs_differ"], rows["outputs_differ_with_same_inputs"]) == (2, 1, 0)
    assert (rows["added"], rows["removed"], rows["removed_jobs"]) == (0, 1, ["job-3"])
    assert ([row["job_id"] for row in rows["rows"]], rows["more_rows"]) == (["job-1"], 1)
    for format_ in ("text", "md"):
        shown = call(tmp_path, "compare", "leads", "today", "-f", format_)
        assert shown.returncode == 0, shown.stderr
        assert "job-1" in shown.stdout
        assert not {"\x1b", "\u202e"} & set(shown.stdout)
    assert call(tmp_path, "compare", "leads", "leads").returncode == 2
    assert call(tmp_path, "compare", "leads", "lead").returncode == 2
