"""Workbooks as rows files: what each cell becomes, which sheet is read, mistakes, and hostile files."""

import datetime as dt
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from workbook_files import row_xml, sheet_xml, write_workbook

from batchcrew.base.xlsx import package, shared_strings
from batchcrew.base.xlsx.number_formats import read_format
from batchcrew.base.xlsx.places import cell_place
from batchcrew.jobfile import Problems
from batchcrew.jobfile.rows.questions import questions_about
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.jobfile.rows.unfinished import CHANGED

HEADER = row_xml(1, "id", "a")


def read(path: Path, **options: Any) -> tuple[list[dict[str, Any]], list[str], RowsFile]:
    file = RowsFile(path=path, name=path.name, **options)
    problems = Problems()
    rows = [row for _, row in file.read(problems)]
    return rows, [str(problem) for problem in problems], file


def cell(tmp_path: Path, xml: str, **parts: Any) -> str:
    """Return what a cell of column `a` becomes, or the problem."""
    path = write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(HEADER + row_xml(2, "1", xml))}, **parts)
    rows, problems, _ = read(path)
    return str(rows[0]["a"]) if rows else problems[0]


def test_the_types_of_a_workbook_become_text(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "text", "whole", "part", "moment", "day", "yes", "time", "lasts", "zip", "empty"])
    early, noon = dt.datetime(2026, 1, 31), dt.datetime(2026, 1, 31, 8, 30)  # noqa: DTZ001 - of no time zone
    lasts = dt.timedelta(hours=36.5)
    sheet.append(["007", "  x ", 34, 0.1, noon, dt.date(1900, 2, 28), True, dt.time(8, 30), lasts, 1234, None, None])
    sheet.append(["b", "=x", -3.0, 1e-7, early, dt.date(1900, 3, 1), False, dt.time(0)])
    sheet["B3"].data_type = "s"
    sheet["J2"].number_format = "00000"
    book.save(tmp_path / "x.xlsx")
    rows, problems, file = read(tmp_path / "x.xlsx")
    assert problems == []
    assert [list(row.values()) for row in rows] == [
        ["007", "  x ", "34", "0.1", "2026-01-31T08:30:00", "1900-02-28", "true", "08:30:00", "36:30:00", "01234", ""],
        ["b", "=x", "-3", "1e-07", "2026-01-31T00:00:00", "1900-03-01", "false", "00:00:00", "", "", ""],
    ]
    assert file.found.quoting == "..nnDdbt..."
    assert (file.found.rows, file.found.sheet) == (2, "Sheet")


DATES = (
    '<numFmts><numFmt numFmtId="170" formatCode="dd/mm/yyyy"/></numFmts>'
    '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="170"/></cellXfs>'
)


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        ("<c><v>34.0</v></c>", "34"),
        ("<c><v>1.1000000000000001</v></c>", "1.1"),
        ("<c><v>1.2345678901234567E+19</v></c>", "12345678901234567000"),
        ("<c><v>-0</v></c>", "0"),
        ("<c><f>1+1</f><v>2</v></c>", "2"),
        ('<c t="str"><f>""</f><v></v></c>', ""),
        ('<c t="str"><f>A1</f><v>x</v></c>', "x"),
        ('<c t="b"><v>0</v></c>', "false"),
        ('<c t="d"><v>2026-01-31T00:00:00</v></c>', "2026-01-31T00:00:00"),
        ('<c t="s"><v>1</v></c>', "two"),
        ('<c t="s"><v>2</v></c>', "rich text"),
        ('<c t="inlineStr"><is><t>a_x000D__x005F_x000D_&#10;</t></is></c>', "a\r_x000D_\n"),
        ('<c s="1"><v>46053</v></c>', "2026-01-31"),
        ('<c s="1"><v>46053.5</v></c>', "2026-01-31T12:00:00"),
        ('<c s="1"><v>-1</v></c>', "-1"),
        ('<c s="9"><v>1</v></c>', "1"),
    ],
)
def test_what_a_cell_becomes(tmp_path: Path, xml: str, text: str) -> None:
    shared = "<si><t>one</t></si><si><t>two</t></si><si><r><t>rich</t></r><r><t> text</t></r><rPh><t>no</t></rPh></si>"
    assert cell(tmp_path, xml, strings=shared, styles=DATES) == text


def test_dates_that_count_from_1904(tmp_path: Path) -> None:
    xml = '<c s="1"><v>44591</v></c>'
    assert cell(tmp_path, xml, styles=DATES, properties='<workbookPr date1904="1"/>') == "2026-01-31"


@pytest.mark.parametrize(
    ("xml", "place"),
    [
        ("<c><f>1+1</f></c>", "formula"),
        ("<c><f>1+1</f><v></v></c>", "formula"),
        ('<c t="e"><v>#N/A</v></c>', "#N/A"),
        ("<c><v>x</v></c>", "'x'"),
        ("<c><v>1e999</v></c>", "'1e999'"),
        ('<c t="s"><v>7</v></c>', "shared text 7"),
    ],
)
def test_a_cell_without_a_value_is_a_mistake(tmp_path: Path, xml: str, place: str) -> None:
    found = cell(tmp_path, xml, strings="<si><t>one</t></si>")
    assert found.startswith("x.xlsx")
    assert place in found
    assert "shared" in place or found.startswith("x.xlsx:S!B2: ")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", "n"),
        ('0.00" days"', "n"),
        ("#,##0.00 [$€-407]", "n"),
        ("[Red]0%", "n"),
        ("mmm-yy", "d"),
        ("[$-409]d\\-mmm\\-yy;@", "d"),
        ("yyyy-mm-dd hh:mm", "D"),
        ("h:mm AM/PM", "t"),
        ("mm:ss.0", "t"),
        ("[h]:mm:ss", "u"),
    ],
)
def test_number_formats(code: str, kind: str) -> None:
    assert read_format(code).kind == kind


def test_rows_and_columns_without_a_value_are_left_out(tmp_path: Path) -> None:
    styled = '<c r="C{n}" s="1"/>'
    rows = row_xml(1, "<c/>") + row_xml(3, "id", "a") + row_xml(4, " ") + row_xml(7, "1", "x", styled.format(n=7))
    path = write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(rows + row_xml(9, styled.format(n=9)))})
    rows_, problems, _ = read(path)
    assert (rows_, problems) == ([{"id": "1", "a": "x"}], [])


def test_the_first_visible_sheet_is_read_unless_one_is_named(tmp_path: Path) -> None:
    sheets = {
        "Old": sheet_xml(HEADER + row_xml(2, "1", "old")),
        "My leads": sheet_xml(HEADER + row_xml(2, "1", "new")),
        "Empty": sheet_xml(""),
        "More": sheet_xml(HEADER + row_xml(2, "1", "more")),
    }
    path = write_workbook(tmp_path / "x.xlsx", sheets, hidden=("Old",))
    rows, problems, file = read(path)
    assert (rows[0]["a"], problems, file.found.sheet) == ("new", [], "My leads")
    (note,) = file.found.notes
    assert [word for word in ("'My leads'", "`Old`", "`More`", "--sheet") if word not in note] == []
    assert "Empty" not in note
    rows, problems, file = read(path, sheet="more")
    assert (rows[0]["a"], problems, file.found.notes) == ("more", [], ())
    rows, (problem,), _ = read(path, sheet="Mores")
    assert (rows, "'Mores'" in problem, "`More`" in problem or "'More'" in problem) == ([], True, True)
    rows, (problem,), _ = read(path, sheet="Empty")
    assert (rows, "empty" in problem) == ([], True)


def test_the_further_sheets_of_an_export_are_not_reported(tmp_path: Path) -> None:
    sheets = {name: sheet_xml(row_xml(1, "id", "batchcrew_state") + row_xml(2, "1", "x")) for name in ("S", "Summary")}
    assert read(write_workbook(tmp_path / "x.xlsx", sheets))[2].found.notes == ()
    sheets["S 2"] = sheets["S"]
    (note,) = read(write_workbook(tmp_path / "x.xlsx", sheets))[2].found.notes
    assert ("`S 2`" in note, "Summary" in note) == (True, False)


def test_hidden_rows_hidden_columns_merged_cells_and_long_numbers_are_reported(tmp_path: Path) -> None:
    rows = HEADER + row_xml(2, "1", "x") + row_xml(3, "2", "<c><v>1234567890123450000</v></c>", attributes='hidden="1"')
    xml = sheet_xml(
        rows,
        before='<cols><col min="2" max="2" hidden="1"/></cols>',
        after='<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>',
    )
    rows_, problems, file = read(write_workbook(tmp_path / "x.xlsx", {"S": xml}))
    assert (len(rows_), problems) == (2, [])
    assert [note.partition(": ")[0] for note in file.found.notes] == [
        "x.xlsx:S!A3",
        "x.xlsx:S!B1",
        "x.xlsx",
        "x.xlsx:S!B3",
    ]
    assert "A2:A3" in file.found.notes[2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (row_xml(1, "Leads of May") + row_xml(3, "id", "a"), "x.xlsx:S!A1: 'Leads of May' looks like a title"),
        (HEADER + row_xml(2, "1", "2", "3"), "x.xlsx:S!C2: '3' is in a column without a name"),
        (HEADER, "x.xlsx:S!A1: the sheet has a header but no rows"),
        (row_xml(1, '<c t="e"><v>#REF!</v></c>'), "x.xlsx:S!A1: in the header, #REF!"),
        ("", "x.xlsx: the sheet 'S' is empty"),
    ],
)
def test_mistakes(tmp_path: Path, rows: str, message: str) -> None:
    found, problems, _ = read(write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(rows)}))
    assert found == []
    assert problems[0].startswith(message)


def test_columns_without_a_name_or_with_the_same_name_get_one(tmp_path: Path) -> None:
    rows = row_xml(1, '<c r="B1" t="str"><v> id </v></c>', '<c r="D1" t="str"><v>id</v></c>')
    path = write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(rows + row_xml(2, "<c/>", "1", "2", "3"))})
    found, problems, file = read(path)
    assert (found, problems) == ([{"id": "1", "column_2": "2", "id_2": "3"}], [])
    assert file.found.layout == {
        "sheet": "S",
        "headers": {"id": [" id ", False], "column_2": ["", False], "id_2": ["id", False]},
    }
    assert [note.partition(": ")[0] for note in file.found.notes] == ["x.xlsx:S!C1", "x.xlsx:S!D1"]


def test_the_same_mistake_in_many_cells_is_one_problem(tmp_path: Path) -> None:
    rows = HEADER + "".join(row_xml(number, "1", '<c t="e"><v>#N/A</v></c>') for number in range(2, 50))
    found, problems, _ = read(write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(rows)}))
    assert (found, len(problems)) == ([], 1)
    assert problems[0].startswith("x.xlsx:S!B2: ")


def test_a_header_that_looks_like_a_row_is_a_question(tmp_path: Path) -> None:
    rows = "".join(row_xml(number, f"<c><v>{number}</v></c>", f"x{number}@example.com") for number in range(1, 9))
    (question,) = questions_about(
        RowsFile(path=write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(rows)}), name="x.xlsx")
    )
    assert str(question).startswith("x.xlsx:S!A1: ")
    misread = HEADER + row_xml(2, "1", "MÃ¼ller")
    (question,) = questions_about(
        RowsFile(path=write_workbook(tmp_path / "y.xlsx", {"S": sheet_xml(misread)}), name="y.xlsx")
    )
    assert str(question).startswith("y.xlsx:S!A2: ")


def test_places() -> None:
    assert cell_place("S", 5, 28) == "S!AB5"
    assert cell_place("Tim's leads", 5) == "'Tim''s leads'!A5"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"id,a\n1,2\n", "rename it to .csv"),
        (b"", "damaged"),
        (b"PK\x03\x04\x14\x00", "damaged"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), ".xls"),
        (b"\xd0\xcf\x11\xe0" + bytes(600) + "EncryptedPackage".encode("utf-16-le"), "password"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(content)
    rows, (problem,), file = read(path)
    assert (rows, word in problem, questions_about(file)) == ([], True, ())


def test_a_damaged_workbook_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    rows = HEADER + "".join(row_xml(number, str(number), "x" * 50) for number in range(2, 400))
    whole = write_workbook(tmp_path / "whole.xlsx", {"S": sheet_xml(rows)}, strings="<si><t>a</t></si>").read_bytes()
    path = tmp_path / "x.xlsx"
    for end in range(1, len(whole), 97):
        path.write_bytes(whole[:end])
        assert len(read(path)[1]) == 1, end
    for place in range(0, len(whole), 61):  # no damage raises; what the checksums do not cover may be harmless
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        read(path)


def test_other_zip_files_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as other:
        other.writestr("content.xml", "<a/>")
    assert "not an Excel workbook" in read(tmp_path / "x.xlsx")[1][0]


def test_document_types_and_entities_are_refused(tmp_path: Path) -> None:
    attack = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + sheet_xml(HEADER + row_xml(2, "1", "&e;"))
    rows, (problem,), _ = read(write_workbook(tmp_path / "x.xlsx", {"S": attack}))
    assert (rows, "document type" in problem) == ([], True)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = " " * (package.MAX_PART + 1)
    bomb = write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(HEADER, after=spaces)})
    assert "times its size" in read(bomb)[1][0]
    bomb = write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(HEADER)}, styles=spaces)
    assert "MiB" in read(bomb)[1][0]
    monkeypatch.setattr(shared_strings, "MAX_CELL", 10)
    bomb = write_workbook(
        tmp_path / "x.xlsx",
        {"S": sheet_xml(HEADER + row_xml(2, '<c t="s"><v>0</v></c>'))},
        strings="<si><t>" + "x" * 11 + "</t></si>",
    )
    assert "longer than 10 characters" in read(bomb)[1][0]


@pytest.mark.parametrize(
    "rows",
    [row_xml(2, "1") + row_xml(2, "2"), row_xml(1_048_577, "1"), row_xml(2, '<c r="XFE2"><v>1</v></c>'), "<row><c>"],
)
def test_impossible_rows_and_columns_are_refused(tmp_path: Path, rows: str) -> None:
    _, problems, _ = read(write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(HEADER + rows)}))
    assert "damaged" in problems[-1]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(HEADER + row_xml(2, "1", "x") + row_xml(3, "2", "y"))})
    problems = Problems()
    rows = RowsFile(path=path, name=path.name).read(problems)
    next(rows)
    write_workbook(tmp_path / "new.xlsx", {"S": sheet_xml(HEADER)}).replace(path)
    list(rows)
    assert [str(problem) for problem in problems] == [f"x.xlsx: {CHANGED}"]


def test_shared_texts_beyond_a_chunk_are_read_in_any_order(tmp_path: Path) -> None:
    number = 20_000
    shared = "".join(f"<si><t>text {index}</t></si>" for index in range(number)) + "<si><t/></si>"
    order = [number - 1, 0, number, 12_345]
    rows = HEADER + "".join(
        row_xml(row, str(row), f'<c t="s"><v>{index}</v></c>') for row, index in enumerate(order, start=2)
    )
    found, problems, _ = read(write_workbook(tmp_path / "x.xlsx", {"S": sheet_xml(rows)}, strings=shared))
    assert ([row["a"] for row in found], problems) == (["text 19999", "text 0", "", "text 12345"], [])
