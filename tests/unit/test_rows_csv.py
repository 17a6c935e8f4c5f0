"""CSV and TSV: text stays text, and errors are reported with their line."""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mistakes import Expected, fits

from batchcrew.base.errors import MAX_PROBLEMS
from batchcrew.jobfile import Problems
from batchcrew.jobfile.rows.csv import MAX_CELL, find_delimiter
from batchcrew.jobfile.rows.rows_file import RowsFile


def read(path: Path, content: str | bytes, **options: Any) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """The rows with their lines, and the messages."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = Problems()
    rows = list(RowsFile(path=path, name=path.name, **options).read(problems))
    return rows, [str(problem) for problem in problems]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.csv"


RIGHT: dict[str, tuple[str | bytes, list[tuple[int, dict[str, str]]]]] = {
    "text stays text": (
        "id,a,b,c\n007,1e5,=1+1, x \n",
        [(2, {"id": "007", "a": "1e5", "b": "=1+1", "c": " x "})],
    ),
    "byte order mark": (b"\xef\xbb\xbfid,a\n1,2\n", [(2, {"id": "1", "a": "2"})]),
    "quoted newlines": (
        'id,a\n1,"x\ny"\n\n2,"""q"", r"\n',
        [(2, {"id": "1", "a": "x\ny"}), (5, {"id": "2", "a": '"q", r'})],
    ),
    "CRLF": ('id,a\r\n1,"x\r\ny"\r\n2,z\r\n', [(2, {"id": "1", "a": "x\r\ny"}), (4, {"id": "2", "a": "z"})]),
    "lone CR": ("id,a\r1,2\r", [(2, {"id": "1", "a": "2"})]),
    "no newline at the end": ("id,a\n1,2", [(2, {"id": "1", "a": "2"})]),
    "blank lines before the header": ("\n\nid,a\n1,2\n", [(4, {"id": "1", "a": "2"})]),
    "blank and empty rows": ("id,a\n\n1,2\n,\n   \n", [(3, {"id": "1", "a": "2"})]),
    "blanks around names": (" id , a \n1,2\n", [(2, {"id": "1", "a": "2"})]),
    "one column": ('name\n"a, b"\nc\n', [(2, {"name": "a, b"}), (3, {"name": "c"})]),
    "semicolon": ("id;name, first\n1;a, b\n", [(2, {"id": "1", "name, first": "a, b"})]),
    "tab": ("id\ta\n1\t2,3\n", [(2, {"id": "1", "a": "2,3"})]),
    "bar": ("id|a\n1|2\n", [(2, {"id": "1", "a": "2"})]),
    "names again, and none": (
        "a,a, a ,,a_2,\n1,2,3,4,5,6\n",
        [(2, {"a": "1", "a_3": "2", "a_4": "3", "column_4": "4", "a_2": "5", "column_6": "6"})],
    ),
    "Excel's sep line": ("sep=;\r\nid;a\r\n1;2\r\n", [(3, {"id": "1", "a": "2"})]),
}


@pytest.mark.parametrize(("content", "rows"), RIGHT.values(), ids=RIGHT)
def test_right(path: Path, content: str | bytes, rows: list[tuple[int, dict[str, str]]]) -> None:
    assert read(path, content) == (rows, [])


def test_columns_without_a_name_or_with_the_same_are_noted(path: Path) -> None:
    path.write_text("a,a,,\n1,2,3,4\n")
    file = RowsFile(path=path, name=path.name)
    list(file.read(Problems()))
    unnamed, again = file.found.notes
    assert unnamed.startswith("r.csv:1: ")
    assert "`column_3`, `column_4`" in unnamed
    assert "'a' (columns 1, 2)" in again
    assert "`a_2`" in again


WRONG: dict[str, tuple[str | bytes, int, list[Expected]]] = {
    "empty": ("", 0, ["r.csv: the file is empty; its first line must name the columns"]),
    "blank": ("\n\n", 0, [("r.csv", "empty")]),
    "header alone": ("\nid,a\n\n,\n", 0, ["r.csv:2: the file has a header but no rows"]),
    "ragged": (
        "id,a\n1,2\n3\n4,5,6\n7,8\n",
        2,
        [
            "r.csv:3: 1 cell where the header has 2 columns",
            "r.csv:4: 3 cells where the header has 2 columns; a cell that contains ',' needs quotes",
        ],
    ),
    "open quote": ('id,a\n1,"x\n2,y\n', 0, ["r.csv:2: a quote that opens in this row is never closed"]),
    "text after a quote": (
        'id,a\n1,"x"y\n2,z\n',
        1,
        ['r.csv:2: there is text after a closing quote; a quote inside a quoted cell is written twice, as ""'],
    ),
    "text after a quote that began before": (
        'id,a\n1,"x\n2,"y"\n3,z\n',
        1,
        [
            ("r.csv:2", "after a closing quote", "line 3"),
        ],
    ),
    "NUL": ("id,a\n1,x\0y\n2,z\n", 1, ["r.csv:2: this row contains a NUL byte; is this a text file?"]),
    "NUL in the header": ("id,a\0\n1,2\n", 0, [("r.csv:1", "header", "NUL byte")]),
    "latin-1": (
        "id,a\n1,x\n2,é\n".encode("latin-1"),
        0,
        [
            "r.csv:3: a byte in this line is not UTF-8; save the file as UTF-8, or set its encoding "
            "(`encoding: cp1252`, or --encoding cp1252)"
        ],
    ),
    "utf-16": (
        "id,a\n1,2\n".encode("utf-16"),
        0,
        ["r.csv: the text is UTF-16; save it as UTF-8, or set `encoding: utf-16`"],
    ),
    "workbook": (
        b"PK\x03\x04\x14\x00",
        0,
        ["r.csv: this is an Excel workbook (or another zip file); rename it to .xlsx, or save it as CSV UTF-8"],
    ),
    "old workbook": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        0,
        [("r.csv", "old Excel workbook", "CSV UTF-8")],
    ),
    "gzip": (b"\x1f\x8b\x08\x00", 0, ["r.csv: this is compressed with gzip; unpack it first"]),
    "no line": ("x" * 100_000, 0, ["r.csv:1: no line ends in the first 65,536 characters; is this a CSV file?"]),
    "endless cell": (
        'id,a\n1,"' + "x\n" * (MAX_CELL // 2 + 2),
        0,
        [f"r.csv:2: a cell is longer than {MAX_CELL:,} characters; is a quote not closed?"],
    ),
}


@pytest.mark.parametrize(("content", "rows", "messages"), WRONG.values(), ids=WRONG)
def test_wrong(path: Path, content: str | bytes, rows: int, messages: list[Expected]) -> None:
    found, said = read(path, content)
    for text, message in zip(said[:2], messages, strict=True):
        assert fits(text, message)
    assert len(found) == rows


def test_a_long_prompt_fits_into_a_cell(path: Path) -> None:
    text = "word " * 100_000
    assert read(path, f"id,a\n1,{text}\n")[0] == [(2, {"id": "1", "a": text})]


def test_tsv_is_separated_by_tabs_whatever_it_holds(tmp_path: Path) -> None:
    assert read(tmp_path / "r.tsv", "id,x\ta,y\n1,2\t3,4\n") == ([(2, {"id,x": "1,2", "a,y": "3,4"})], [])


def test_encoding(path: Path) -> None:
    rows = [(2, {"id": "1", "a": "é"})]
    assert read(path, "id,a\n1,é\n".encode("cp1252"), encoding="cp1252") == (rows, [])
    assert read(path, "id,a\n1,é\n".encode("utf-16"), encoding="utf-16") == (rows, [])
    assert read(path, "\ufeffid,a\n1,é\n", encoding="utf-8") == (rows, [])


def test_a_wrong_byte_far_into_the_file_is_found(path: Path) -> None:
    content = b"id,a\n" + b"1,abcdefgh\n" * 20_000 + b"2,\xe9\n"
    rows, messages = read(path, content)
    assert fits(messages[0], ("r.csv:20002", "a byte", "UTF-8"))
    assert rows[0] == (2, {"id": "1", "a": "abcdefgh"})


def test_delimiter(path: Path) -> None:
    assert read(path, "id#a,b\n1#2\n", delimiter="#") == ([(2, {"id": "1", "a,b": "2"})], [])


def test_reading_stops_after_the_problems_that_fit(path: Path) -> None:
    wrong = "".join("1,2,3" + ",4" * number + "\n" for number in range(MAX_PROBLEMS + 5))
    rows, messages = read(path, f"id,a\n{wrong}1,2\n")
    assert not rows
    assert len(messages) == MAX_PROBLEMS


def test_exactly_as_many_problems_as_fit_do_not_stop_it(path: Path) -> None:
    wrong = "".join("1,2,3" + ",4" * number + "\n" for number in range(MAX_PROBLEMS))
    rows, messages = read(path, f"id,a\n{wrong}1,2\n")
    assert len(rows) == 1
    assert len(messages) == MAX_PROBLEMS


def test_the_same_mistake_in_many_rows_is_one_message_that_counts_them(path: Path) -> None:
    rows, messages = read(path, "id,a\n" + "1\n" * 30 + "1,2\n1,2,3\n")
    assert len(rows) == 1
    assert len(messages) == 2
    assert fits(messages[0], ("r.csv:2", "30 times", "2, 3, 4 "))


def test_reading_ends_when_the_same_mistake_is_in_a_thousand_rows(path: Path) -> None:
    rows, messages = read(path, "id,a\n" + "1\n" * 5000 + "1,2\n")
    assert (rows, len(messages)) == ([], 1)
    assert "at least 1003 times" in messages[0]


@pytest.mark.parametrize(
    "above", ["Customers\n", "Customers\n\n", "Customers,,\n\n", "Customers\nas of March\n", "\nCustomers\n"]
)
def test_a_title_above_the_header_is_one_mistake(path: Path, above: str) -> None:
    _, messages = read(path, above + "name,city,age\n" + "Ann,Ulm,3\n" * 30)
    assert len(messages) == 1
    assert fits(messages[0], (f"r.csv:{2 if above[0] == chr(10) else 1}", "'Customers'", "title"))


@pytest.mark.parametrize(
    ("sample", "delimiter"),
    [
        ("id,a\n1,2\n", ","),
        ("id;title;long, very long, text\n1;2;3\n", ";"),
        ('id,"a;b;c;d"\n1,2\n', ","),
        ("id;a|b\n1;2\n", ";"),
        ("interests, hobbies;age\ngames;35\nfood, wine;20\n", ";"),
        ("name\nbob\n", ","),
        ("", ","),
        ("a,b;c\n1,2;3\n", ","),
        ("id,a\n1\n2,3,4\n", ","),
    ],
)
def test_find_delimiter(sample: str, delimiter: str) -> None:
    assert find_delimiter(sample, complete=True) == delimiter


def test_the_cut_end_of_a_sample_is_not_judged() -> None:
    assert find_delimiter("a;b,c\n1;2,3\n4;5,6\n7", complete=False) == ","
    assert find_delimiter("a;b;c\n1;2;3\n4", complete=False) == ";"


CELL = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
NAME = st.text(st.characters(whitelist_categories=["L", "N"]), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    header=st.lists(NAME, min_size=2, max_size=5, unique=True),
    cells=st.lists(st.lists(CELL, min_size=5, max_size=5), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_csv_writes_is_read_back(
    path: Path, header: list[str], cells: list[list[str]], delimiter: str, line_end: str, quoting: Any
) -> None:
    assume(not header[0].casefold().startswith("sep="))
    rows = [row[: len(header)] for row in cells]
    if line_end == "\n":  # then the csv module leaves a lone CR without quotes, and it ends a line for any reader
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    assume(rows)
    text = StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([header, *rows])
    found, messages = read(path, text.getvalue(), delimiter=delimiter)
    assert messages == []
    assert [row for _, row in found] == [dict(zip(header, row, strict=True)) for row in rows]
    lines = text.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert all(1 < line <= len(lines) for line, _ in found)
