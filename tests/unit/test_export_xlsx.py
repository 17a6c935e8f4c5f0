"""Exports as Excel workbooks, read with openpyxl and with batchcrew's own reader."""

import asyncio
import datetime as dt
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from test_export_rows import DONE, result, stream

from batchcrew.base.xlsx import writing
from batchcrew.base.xlsx.new_cells import MAX_TEXT, fitting
from batchcrew.jobfile import Problems
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.model.views import ResultRow
from batchcrew.reports.export import xlsx_format
from batchcrew.reports.export.flatten import FlatAnswers
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.table import ExtraSheet, Table, build_table

HOSTILE = "=cmd|'/c calc'!A1"


async def book_of(rows: Iterable[ResultRow], table: Table) -> Any:
    out = io.BytesIO()
    await export(stream(rows), table, format="xlsx", path=None, stdout=out)
    return openpyxl.load_workbook(out)


async def cells_of(rows: Sequence[ResultRow], columns: Sequence[str] = ("a",)) -> list[list[Any]]:
    book = await book_of(rows, build_table(list(columns)))
    return [[cell.value for cell in row] for row in book["Results"]]


async def test_the_cells_of_a_csv_stay_text_and_ours_are_typed() -> None:
    rows = [result({"zip": "007", "n": "12345678901234567890", "day": "2026-01-31"}, **DONE)]
    book = await book_of(rows, build_table(["zip", "n", "day"]))
    sheet = book["Results"]
    header, row = ([cell.value for cell in line] for line in sheet)
    found = dict(zip(header, row, strict=True))
    assert (found["zip"], found["n"], found["day"]) == ("007", "12345678901234567890", "2026-01-31")
    assert [cell.number_format for cell in sheet[2][:3]] == ["@", "@", "@"]
    assert (found["attempts"], found["execution_time"]) == (2, 108.5)
    assert found["started_at"] == dt.datetime(2026, 2, 3, 4, 5, 6)  # noqa: DTZ001 - a cell has no time zone
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:L2")
    output = sheet["F2"]
    assert (header[5], output.alignment.wrap_text, output.number_format) == ("output", True, "@")
    assert sheet["A1"].font.bold


async def test_the_cells_of_a_workbook_come_back_as_they_were() -> None:
    kinds = {"t": ".", "n": "n", "d": "d", "m": "D", "h": "t", "l": "u", "b": "b", "e": ".", "long": "n"}
    values = [
        "007",
        "0.15",
        "1900-02-28",
        "2026-01-31T08:30:00",
        "08:30:00",
        "36:30:00",
        "true",
        "",
        "1234567890123457000",
    ]
    row = result(dict(zip(kinds, values, strict=True)), quoting="".join(kinds.values()))
    found = (await cells_of([row], list(kinds)))[1][:9]
    moment, day = dt.datetime(2026, 1, 31, 8, 30), dt.datetime(1900, 2, 28)  # noqa: DTZ001 - a cell has no time zone
    lasts = dt.timedelta(hours=36.5)
    assert found == ["007", 0.15, day, moment, dt.time(8, 30), lasts, True, None, 1234567890123457000]
    wrong = result({"a": "12x", "b": "2026-13-01", "c": "x"}, quoting="ndu")
    assert (await cells_of([wrong], ["a", "b", "c"]))[1][:3] == ["12x", "2026-13-01", "x"]


async def test_values_of_json_rows_keep_their_types() -> None:
    row = result({"i": 7, "f": 0.5, "b": True, "l": [1], "n": None, "big": 2**60, "huge": 1e300})
    assert (await cells_of([row], list(row.row)))[1][:7] == [7, 0.5, True, "[1]", None, str(2**60), 1e300]


async def test_json_answers_are_typed_when_they_are_flattened() -> None:
    answer = (
        '{"score": 7, "part": 0.5, "yes": true, "id": "007", '
        '"day": "2026-01-31", "at": "2026-01-31T08:30", "z": "2026-01-31T08:30Z"}'
    )
    rows = [result({"a": "1"}, output=answer, result_json=None)]
    flat = FlatAnswers()
    for row in rows:
        flat.see(row)
    book = await book_of(rows, build_table(["a"], groups=flat.columns()))
    header, values = ([cell.value for cell in line] for line in book["Results"])
    found = {name.removeprefix("output."): value for name, value in zip(header, values, strict=True)}
    assert (found["score"], found["part"], found["yes"], found["id"]) == (7, 0.5, True, "007")
    assert (found["day"], found["at"]) == (dt.datetime(2026, 1, 31), dt.datetime(2026, 1, 31, 8, 30))  # noqa: DTZ001
    assert found["z"] == "2026-01-31T08:30Z"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (HOSTILE, HOSTILE),
        ("+1-2", "+1-2"),
        ("@SUM(A1)", "@SUM(A1)"),
        ("a\0b\x1b[2J\x08", "ab[2J"),
        ("\ud800x\ufffe", "\ufffdx"),
        ("<script>&amp;</script>]]>", "<script>&amp;</script>]]>"),
        ("\u202eright", "\u202eright"),
        ("<r><t>x</t></r></is></c><c r='Z9'><f>1+1</f></c><r></r>",) * 2,
        ("<r></r>", "<r></r>"),
        (" \n x ", " \n x "),
        ("http://x.example", "http://x.example"),
        ("#N/A", "#N/A"),
    ],
)
async def test_hostile_texts_are_text(text: str, read: str) -> None:
    book = await book_of([result({"a": text}, output=text, reason=text)], build_table(["a"]))
    row = next(book["Results"].iter_rows(min_row=2))
    cells = [cell for cell in row if cell.value == read]
    assert len(cells) == 3
    assert {cell.data_type for cell in cells} == {"s"}
    assert not any(cell.hyperlink for cell in row)


async def test_the_lines_of_an_answer_end_as_cells_do() -> None:
    text = "a\r\nb\rc"
    row = (await cells_of([result({"a": text}, output=text)]))[1]
    assert (row[0], row[3]) == ("a_x000D_\nb_x000D_c", "a\nb_x000D_c")  # openpyxl shows the escapes


async def test_a_text_that_excel_would_unescape_comes_back(tmp_path: Path) -> None:
    path, text = tmp_path / "x.xlsx", "_x0041_ and _x005F_"
    await export(
        stream([result({"id": "1", "a": text})]),
        build_table(["id", "a"]),
        format="xlsx",
        path=path,
        stdout=io.BytesIO(),
    )
    ((_, row),) = await asyncio.to_thread(lambda: list(RowsFile(path=path, name="x").read(Problems())))
    assert row["a"] == text


@pytest.mark.parametrize("character", ["x", "é", "😀"])
async def test_a_long_text_is_cut_with_a_note(character: str) -> None:
    fits = character * (MAX_TEXT // len(character.encode("utf-16-le")) * 2)
    assert fitting(fits, "note") == fits
    ((_, value),) = [row[2:4] for row in (await cells_of([result({"a": "1"}, output=character * 5_000_000)]))[1:]]
    assert len(value.encode("utf-16-le")) // 2 <= MAX_TEXT
    assert value.startswith(character * 10_000)
    assert "5,000,000 characters" in value


async def test_rows_beyond_a_sheet_go_to_further_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_ROWS", 4)
    monkeypatch.setattr(xlsx_format, "MAX_ROWS", 4)
    book = await book_of([result({"a": str(number)}) for number in range(7)], build_table(["a"]))
    assert book.sheetnames == ["Results", "Results 2", "Results 3"]
    assert [[row[0].value for row in sheet] for sheet in book] == [
        ["a", "0", "1", "2"],
        ["a", "3", "4", "5"],
        ["a", "6"],
    ]


async def test_rows_beyond_the_size_of_a_sheet_go_to_further_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_MOST_BYTES", 5000)
    monkeypatch.setattr(writing, "_LOOK", 1000)
    book = await book_of([result({"a": f"{number}" * 1000}) for number in range(9)], build_table(["a"]))
    assert len(book.sheetnames) > 1
    assert [row[0].value[0] for sheet in book for row in sheet.iter_rows(min_row=2)] == [str(n) for n in range(9)]


async def test_further_sheets_come_after_the_results() -> None:
    summary = ExtraSheet(name="Summary", header=("fact", "value"), rows=(("jobs", 2), ("batch", HOSTILE)))
    table = Table(columns=build_table(["a"]).columns, sheets=(summary,))
    book = await book_of([result({"a": "1"})], table)
    assert book.sheetnames == ["Results", "Summary"]
    assert [[cell.value for cell in row] for row in book["Summary"]] == [
        ["fact", "value"],
        ["jobs", 2],
        ["batch", HOSTILE],
    ]
    assert (await book_of([], table)).sheetnames == ["Results", "Summary"]


async def test_headers_are_those_of_the_file() -> None:
    header = (await cells_of([result({"output": "own"}, output="ours")], ["output"]))[0]
    assert (header[0], header[3]) == ("output", "batchcrew_output")


async def test_the_export_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        await export(
            stream([result({"a": "1"})]), build_table(["a"]), format="xlsx", path=tmp_path / name, stdout=io.BytesIO()
        )
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
