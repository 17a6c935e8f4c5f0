"""Excel workbooks: run, exported and run again; as the inbox; and as the template of `init`."""

import csv
import datetime as dt
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from cli_process import INPUTS, Crew, call
from plain_crew import PlainCrew
from test_people import answers, counts, inbox, job_file, waiting

HEADER = ["id", "zip", "n", "part", "day", "at", "ok", "card", "formula"]
MOMENT, DAY = dt.datetime(2026, 1, 31, 8, 30), dt.date(2026, 1, 31)  # noqa: DTZ001 - a cell has no time zone
ROWS: list[list[Any]] = [
    ["a", "00123", 34, 0.15, DAY, MOMENT, True, "4111111111111111", "=C2*2"],
    ["007", " x ", -3, 1e-7, None, None, False, "0" * 20, "=C3*2"],
]
JOBS = """
crew: {{url: embedded}}
run: {{poll: {{initial: 10ms, max: 50ms}}}}
jobs: [{{rows: leads.xlsx, inputs: {inputs}}}]
"""
HOSTILE = "=cmd|'/c calc'!A1\0\x1b[2J\u202e<script>"


def write(path: Path, rows: list[list[Any]]) -> None:
    """Write a workbook whose formulas have cached values, as Excel does."""
    book = openpyxl.Workbook()
    book.active.title = "Leads"
    for row in rows:
        book.active.append(row)
    book.save(path)
    with_values(path)


def with_values(path: Path) -> None:
    """Give the formulas of a workbook their values, which openpyxl does not calculate."""
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    for formula, value in (("C2*2", "68"), ("C3*2", "-6")):
        sheet = re.sub(rf"{re.escape(formula)}</f><v ?(?:/>|></v>)", f"{formula}</f><v>{value}</v>", sheet)
    parts["xl/worksheets/sheet1.xml"] = sheet.encode()
    with zipfile.ZipFile(path, "w") as package:
        for name, data in parts.items():
            package.writestr(name, data)


def test_a_workbook_comes_back_with_its_answers(tmp_path: Path) -> None:
    write(tmp_path / "leads.xlsx", [HEADER, *ROWS])
    (tmp_path / "jobs.yaml").write_text(JOBS.format(inputs=json.dumps(INPUTS)))
    ended = call(tmp_path, "run", "jobs.yaml")
    assert ended.returncode == 0, ended.stderr
    assert call(tmp_path, "export", "jobs", "-o", "out.xlsx").returncode == 0
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    assert book.sheetnames == ["Leads", "Summary"]
    header, *rows = ([cell.value for cell in row] for row in book["Leads"])
    assert header[:9] == HEADER
    assert (rows[0][4].date(), rows[0][4].time(), rows[1][4]) == (DAY, dt.time(), None)
    assert [row[:4] + row[5:8] for row in rows] == [row[:4] + row[5:8] for row in ROWS]
    assert [row[8] for row in rows] == [68, -6]
    assert [row[header.index("batchcrew_state")] for row in rows] == ["succeeded", "succeeded"]
    frame = pd.read_excel(tmp_path / "out.xlsx", dtype={"zip": str, "card": str})
    assert list(frame["zip"]) == ["00123", " x "]
    assert list(frame["card"]) == ["4111111111111111", "0" * 20]
    assert frame["at"][0] == pd.Timestamp(MOMENT)
    ended = call(tmp_path, "export", "jobs", "-f", "csv")
    first, second = list(csv.reader(io.StringIO(ended.stdout)))[1:]
    assert first[:9] == [
        "a",
        "00123",
        "34",
        "0.15",
        "2026-01-31",
        "2026-01-31T08:30:00",
        "true",
        "4111111111111111",
        "68",
    ]
    assert second[:9] == ["007", " x ", "-3", "1e-07", "", "", "false", "0" * 20, "-6"]


@pytest.fixture
def plain() -> Iterator[PlainCrew]:
    with PlainCrew(404) as made:
        yield made


@pytest.mark.crash
def test_an_export_saved_over_the_workbook_costs_nothing(tmp_path: Path, plain: PlainCrew) -> None:
    plain.output = lambda kickoff_id: HOSTILE  # type: ignore[method-assign]
    write(tmp_path / "leads.xlsx", [HEADER, *ROWS])
    jobs = "jobs: [{rows: leads.xlsx, sheet: Leads}]\nrun: {poll: {initial: 10ms}}\n"
    (tmp_path / "jobs.yaml").write_text(f'crew: {{url: "{plain.url}", token: t}}\n{jobs}')
    for _ in range(3):
        ended = call(tmp_path, "run", "jobs.yaml")
        assert ended.returncode == 0, ended.stderr
        assert call(tmp_path, "export", "jobs", "-o", "leads.xlsx").returncode == 0
    assert len(plain.sent) == 2
    sheet = openpyxl.load_workbook(tmp_path / "leads.xlsx").worksheets[0]
    header, *rows = sheet.iter_rows()
    names = [cell.value for cell in header]
    assert names[:9] == HEADER
    assert names.count("batchcrew_state") == 1
    output = names.index("output")
    assert [row[output].value for row in rows] == [HOSTILE.replace("\0", "").replace("\x1b", "")] * 2
    assert {cell.data_type for row in rows for cell in row} <= {"s", "n", "d", "b"}


@pytest.mark.crash
def test_a_sheet_can_be_named_and_a_bare_workbook_is_a_batch(tmp_path: Path, plain: PlainCrew) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "x"])
    book.active.append(["first", "1"])
    other = book.create_sheet("More leads")
    other.append(["id", "x"])
    other.append(["second", "2"])
    book.save(tmp_path / "leads.xlsx")
    ended = call(tmp_path, "run", "leads.xlsx", "--sheet", "more leads", CREW_URL=plain.url)
    assert ended.returncode == 0, ended.stderr
    assert plain.sent == [{"x": "2"}]
    ended = call(tmp_path, "check", "leads.xlsx", "--json", CREW_URL=plain.url)
    (described,) = json.loads(ended.stdout)["rows_files"]
    assert (described["sheet"], described["rows"]) == ("Sheet", 1)
    assert "More leads" in ended.stdout


@pytest.mark.crash
def test_a_mistake_names_its_cell(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "x"])
    book.active.append(["first", "=1+1"])
    book.active.append(["second", "#N/A"])
    book.save(tmp_path / "leads.xlsx")
    (tmp_path / "jobs.yaml").write_text(JOBS.format(inputs=json.dumps(INPUTS)))
    ended = call(tmp_path, "check", "jobs.yaml")
    assert ended.returncode == 2
    assert "leads.xlsx:Sheet!B2: " in ended.stderr
    assert "leads.xlsx:Sheet!B3: " in ended.stderr


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    served = Crew(tmp_path, "--human-rate", "1", "--execution-time", "20ms")
    yield served
    served.process.close()


@pytest.mark.crash
def test_the_inbox_as_a_workbook_answers_each_row_once(tmp_path: Path, crew: Crew) -> None:
    waiting(tmp_path, crew, 3)
    ended = call(tmp_path, "inbox", "jobs", "-o", "inbox.xlsx")
    assert ended.returncode == 0, ended.stderr
    book = openpyxl.load_workbook(tmp_path / "inbox.xlsx")
    sheet = book.active
    header = [cell.value for cell in sheet[1]]
    decision, feedback = header.index("decision") + 1, header.index("feedback") + 1
    assert [row[header.index("wait_id")].value for row in sheet.iter_rows(min_row=2)] == [
        line["wait_id"] for line in inbox(tmp_path)
    ]
    assert sheet.data_validations.dataValidation[0].formula1 == '"approve,reject"'
    sheet.cell(2, decision, "Approve")
    sheet.cell(3, decision, "perhaps")
    book.save(tmp_path / "inbox.xlsx")
    ended = call(tmp_path, "answer", "jobs", "--xlsx", "inbox.xlsx")
    assert ended.returncode == 2
    assert "inbox.xlsx:Inbox!A3: " in ended.stderr
    assert crew.stats()["human_answers"] == 0
    sheet.cell(3, decision, "reject")
    sheet.cell(3, feedback, "shorter,\nand in euros")
    book.save(tmp_path / "inbox.xlsx")
    code, found = answers(tmp_path, "--xlsx", "inbox.xlsx")
    assert (code, found["counts"]["answered"], found["undecided"]) == (0, 2, 1)
    code, found = answers(tmp_path, "--csv", "inbox.xlsx")  # either option takes both
    assert (code, found["counts"]["answered_before"]) == (0, 2)
    assert crew.stats()["human_answers"] == 2
    assert counts(tmp_path) == {"open": 2, "waiting": 1}
    assert (tmp_path / "jobs.yaml").read_text() == job_file(crew)


@pytest.mark.crash
def test_init_writes_a_workbook_that_runs(tmp_path: Path, plain: PlainCrew) -> None:
    ended = call(tmp_path, "init", plain.url, "--input", "topic", "--input", "zip", "--xlsx", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["rows"] == "rows.xlsx"
    book = openpyxl.load_workbook(tmp_path / "rows.xlsx")
    assert [cell.value for cell in book.active[1]] == ["topic", "zip"]
    book.active["B2"] = "00123"
    book.save(tmp_path / "rows.xlsx")
    ended = call(tmp_path, "run", "jobs.yaml")
    assert ended.returncode == 0, ended.stderr
    assert plain.sent == [{"topic": "example topic", "zip": "00123"}]
    assert call(tmp_path, "init", plain.url, "--input", "topic", "--xlsx").returncode == 2
