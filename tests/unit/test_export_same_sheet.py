"""An export of a CSV file has the bytes of the file's own columns, whatever the file looks like."""

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spreadsheets import SHEETS, records

from batchcrew.base.errors import UsageError
from batchcrew.jobfile import Problems
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.model.job import JobState
from batchcrew.model.sheets import RowsLayout, SheetStyle
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.sheet_options import SheetOptions, sheet_style
from batchcrew.reports.export.table import build_table, own_column, select_columns

OUTPUT = 'He said "hi";\tand, then\nleft'


def read(path: Path, **options: Any) -> tuple[list[ResultRow], RowsLayout]:
    """Read a file as a run does, and return rows as the ledger does."""
    problems, file = Problems(), RowsFile(path=path, name=path.name, **options)
    rows = [
        ResultRow(job_id="j", crew="c", row=row, state=JobState.SUCCEEDED, output=OUTPUT, quoting=file.found.quoting)
        for _, row in file.read(problems)
    ]
    assert not list(problems), [str(problem) for problem in problems]
    return rows, RowsLayout(file=path.name, format=path.suffix[1:], layout=file.found.layout)


def exported(
    rows: list[ResultRow],
    layout: RowsLayout,
    *,
    format: str = "csv",  # noqa: A002 - its name
    options: SheetOptions | None = None,
    own: bool = False,
) -> bytes:
    """Return the export of the rows.

    Args:
        own: whether to export the file's own columns only.
    """
    style = sheet_style((layout,), format, options or SheetOptions())
    columns = [own_column(name, header=header.text) for name, header in style.headers.items()]
    table = replace(build_table(columns), style=style)
    if own:
        table = select_columns(table, list(style.headers))

    async def stream() -> AsyncIterator[ResultRow]:
        for row in rows:
            yield row

    out = io.BytesIO()
    asyncio.run(export(stream(), table, format=format, path=None, stdout=out))
    return out.getvalue()


@pytest.mark.parametrize(("content", "options"), SHEETS.values(), ids=SHEETS)
def test_the_files_own_columns_are_byte_for_byte_the_same(
    tmp_path: Path, content: bytes, options: dict[str, str]
) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    rows, layout = read(path, **options)
    assert exported(rows, layout, own=True) == content
    style = SheetStyle.from_json(layout.layout)
    number = len(style.headers)
    text = exported(rows, layout).decode(style.encoding)
    ours, theirs = (records(sheet, style.delimiter) for sheet in (text, content.decode(style.encoding)))
    if style.sep_line is not None:
        assert ours.pop(0) == theirs.pop(0) == style.sep_line
    for record, own in zip(ours, theirs, strict=True):
        assert record.startswith(own + style.delimiter)
    header, *table = csv.reader(io.StringIO(text, newline=""), delimiter=style.delimiter, strict=True)
    if style.sep_line is not None:
        header = table.pop(0)
    assert header[number : number + 3] == ["batchcrew_state", "job_id", "output"]
    assert {row[number + 2] for row in table} == {OUTPUT}


@pytest.mark.parametrize("name", [name for name in SHEETS if name not in {"columns without a name, or with the same"}])
def test_other_programs_read_the_same_cells(tmp_path: Path, name: str) -> None:
    content, options = SHEETS[name]
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    rows, layout = read(path, **options)
    style = SheetStyle.from_json(layout.layout)
    out = tmp_path / "out.csv"
    out.write_bytes(exported(rows, layout))
    skip = 0 if style.sep_line is None else 1
    expected = [list(map(str, row.row.values())) for row in rows]
    columns = len(style.headers)
    read_text = {"sep": style.delimiter, "encoding": options.get("encoding", "utf-8-sig"), "skiprows": skip}
    frame = pd.read_csv(out, dtype=str, keep_default_na=False, **read_text)
    assert frame.iloc[:, :columns].to_numpy().tolist() == expected
    assert set(frame["output"]) == {OUTPUT}
    if style.encoding == "utf-8" and style.line_end != "\r":
        found = duckdb.read_csv(str(out), all_varchar=True, delimiter=style.delimiter, skiprows=skip, quotechar='"',
                                escapechar='"', header=True, na_values="\\N", strict_mode=False).fetchall()  # fmt: skip
        assert [[cell or "" for cell in row[:columns]] for row in found] == expected


TEXT = st.text(st.sampled_from("ab\"',;\t \n\r=é"), max_size=5)


@st.composite
def sheets(draw: st.DrawFn) -> tuple[bytes, str]:
    """Files with all kinds of quoting, and their delimiters. The first column is not blank, so that no row is."""
    delimiter, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n"]))
    columns = draw(st.integers(1, 3))
    always = draw(st.booleans())

    def cell(first: bool) -> str:
        text = ("x" if first else "") + draw(TEXT)
        special = any(character in text for character in f"\r\n{delimiter}") or text.startswith('"')
        quoted = special or always or draw(st.booleans())
        return '"' + text.replace('"', '""') + '"' if quoted else text

    header = delimiter.join(f"c{number}" for number in range(columns))
    lines = [header, *(delimiter.join(cell(number == 0) for number in range(columns))
                       for _ in range(draw(st.integers(1, 6))))]  # fmt: skip
    return (end.join(lines) + (end if draw(st.booleans()) else "")).encode(), delimiter


@settings(max_examples=60)
@given(sheets())
def test_every_file_comes_back(sheet: tuple[bytes, str]) -> None:
    content, delimiter = sheet
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.csv"
        path.write_bytes(content)
        rows, layout = read(path, delimiter=delimiter)
        assert exported(rows, layout, own=True) == content


# options ------------------------------------------------------------------------------------------------------------


def layout_of(tmp_path: Path, name: str = "r.csv", content: bytes = b"sep=;\r\nid;n\r\n1;\xfc\r\n") -> RowsLayout:
    path = tmp_path / name
    path.write_bytes(content)
    return read(path, encoding="cp1252")[1]


def test_options_change_what_they_name_and_nothing_else(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    given = sheet_style((layout,), "csv", SheetOptions())
    assert (given.delimiter, given.encoding, given.bom, given.line_end) == (";", "cp1252", False, "\r\n")
    assert sheet_style((layout,), "csv", SheetOptions(delimiter=",")) == replace(given, delimiter=",", sep_line="sep=,")
    utf8 = sheet_style((layout,), "csv", SheetOptions(encoding="utf8", bom=True))
    assert utf8 == replace(given, encoding="utf-8", bom=True)
    utf16 = sheet_style((layout,), "csv", SheetOptions(encoding="utf-16"))
    assert utf16 == replace(given, encoding="utf-16-le", bom=True)
    assert sheet_style((layout,), "tsv", SheetOptions()).delimiter == "\t"
    assert sheet_style((), "csv", SheetOptions()) == SheetStyle()
    tabs = layout_of(tmp_path, "r.tsv", b"id\tn\n1\tx\n")
    assert [sheet_style((tabs,), name, SheetOptions()).delimiter for name in ("csv", "tsv")] == [",", "\t"]


def test_excel_opens_it_with_a_double_click(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(b"sep=,\nid,n\n1,\xc3\xbc\n")
    rows, layout = read(path)
    data = exported(rows, layout, options=SheetOptions(excel=True))
    assert data.startswith(b"\xff\xfe")
    text = data.decode("utf-16")
    assert text.startswith("id\tn\tbatchcrew_state\t")
    assert "\r\n1\tü\tsucceeded\t" in text


@pytest.mark.parametrize("options", [SheetOptions(encoding="hex"), SheetOptions(encoding="x"), SheetOptions(bom=True)])
def test_an_encoding_that_does_not_fit_is_refused(tmp_path: Path, options: SheetOptions) -> None:
    with pytest.raises(UsageError):
        sheet_style((layout_of(tmp_path),), "csv", options)
