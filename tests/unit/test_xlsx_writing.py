"""Workbooks as XlsxWriter writes them: what comes back, and what becomes of temporary files."""

import asyncio
import contextlib
import datetime as dt
import errno
import io
import os
import re
import stat
import sys
import tempfile
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_export_rows import result, stream

from batchcrew.base.errors import OutputError, UsageError
from batchcrew.base.xlsx.cells import number_text
from batchcrew.base.xlsx.new_cells import EMPTY, Cell, number_cell, text_cell, typed_cell
from batchcrew.base.xlsx.number_formats import DATE, DATETIME, TIME
from batchcrew.base.xlsx.writing import SheetColumn, WorkbookWriter
from batchcrew.jobfile import Problems
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.output import FileTarget, StreamTarget
from batchcrew.reports.export.rows import export
from batchcrew.reports.export.table import build_table


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def written() -> Iterator[tuple[WorkbookWriter, io.BytesIO]]:
    """Provide a workbook, and where its file is after `close`."""
    out = io.BytesIO()
    target = StreamTarget(out)
    try:
        yield WorkbookWriter(target), out
    finally:
        target.close()


def test_a_list_of_choices() -> None:
    with written() as (book, out):
        book.begin_sheet("S & T", [SheetColumn("a", 10), SheetColumn("b", 10, ("yes", "no"))])
        book.row([text_cell("x"), EMPTY])
        book.row([text_cell("y"), EMPTY])
        book.close()
    (sheet,) = openpyxl.load_workbook(out)
    (rule,) = sheet.data_validations.dataValidation
    assert (sheet.auto_filter.ref, "Filter" in str(list(sheet.defined_names))) == ("A1:B3", False)  # it is hidden
    assert (sheet.title, str(rule.sqref), rule.formula1) == ("S & T", "B2:B3", '"yes,no"')
    with zipfile.ZipFile(out) as package:
        assert package.testzip() is None


def test_names_of_sheets() -> None:
    with written() as (book, out):
        for name in ("a/b", "AB", "x" * 40, "x" * 40, "", "\x1b'", "😀" * 20, "y" * 30 + "'z", "it's"):
            book.begin_sheet(name, [SheetColumn("a", 10)])
        book.close()
    names = openpyxl.load_workbook(out).sheetnames
    assert names[:6] == ["ab", "AB 2", "x" * 31, "x" * 29 + " 2", "Sheet", "Sheet 2"]
    assert names[6:] == ["😀" * 15, "y" * 30, "it's"]


@pytest.mark.parametrize("text", ["1e999", "0x1", "1_000", "NaN", "٣", "-", "1234567890123456"])
def test_what_is_not_a_number_is_text(text: str) -> None:
    assert number_cell(text) == text_cell(text)


def read_again(cells: Sequence[Cell]) -> list[str]:
    """Return the cells of a row as batchcrew reads them."""
    with written() as (book, out), tempfile.TemporaryDirectory() as folder:
        book.begin_sheet("S", [SheetColumn(f"c{number}", 10) for number in range(len(cells))])
        book.row(cells)
        book.close()
        path = Path(folder) / "x.xlsx"
        path.write_bytes(out.getvalue())
        ((_, row),) = RowsFile(path=path, name="x").read(Problems())
    return list(row.values())


@settings(max_examples=25, deadline=None)
@given(st.dates(min_value=dt.date(1900, 1, 1)), st.times())
def test_dates_and_times_come_back(day: dt.date, time: dt.time) -> None:
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    texts = [day.isoformat(), (moment := dt.datetime.combine(day, time)).isoformat(), time.isoformat()]
    kinds = (DATE, DATETIME, TIME)
    found = read_again([typed_cell(text, kind) for text, kind in zip(texts, kinds, strict=True)])
    assert found[0] == texts[0]
    assert dt.datetime.fromisoformat(found[1]) == moment
    assert dt.time.fromisoformat(found[2]) == time


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=20))
def test_numbers_come_back_with_all_their_digits(numbers: list[float]) -> None:
    texts = [number_text(repr(number)) for number in numbers]
    assert read_again([typed_cell(text, "n") for text in texts]) == texts


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_every_text_comes_back(texts: list[str]) -> None:
    cells = [text_cell("x"), *map(text_cell, texts)]
    assert read_again(cells)[1:] == [_LOST.sub("", _SURROGATES.sub("\ufffd", text)) for text in texts]


_LOST, _SURROGATES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"), re.compile("[\ud800-\udfff]")


def test_xlsxwriter_does_not_keep_the_rows_that_it_has_written() -> None:
    with written() as (book, _):
        book.begin_sheet("S", [SheetColumn("a", 10)])
        for _ in range(100):
            book.row([text_cell("x")], height=30)
        sheet = book._sheet
        assert [len(kept) for kept in (sheet.row_info, sheet.row_sizes, sheet.table)] == [1, 1, 1]


async def test_without_the_library_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "xlsxwriter"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(UsageError) as caught:
        await export(stream([]), build_table(["a"]), format="xlsx", path=tmp_path / "x.xlsx", stdout=io.BytesIO())
    assert caught.value.lines == ("Excel workbooks require XlsxWriter: pip install 'batchcrew[excel]'",)
    assert names(tmp_path) == []


def test_temporary_files_are_private_and_removed(tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "x.xlsx")
    target.open()
    book = WorkbookWriter(target)
    book.begin_sheet("S", [SheetColumn("a", 10)])
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    book.close()
    target.finish()
    target.close()
    assert names(tmp_path) == ["x.xlsx"]


async def test_a_cancelled_export_leaves_nothing(tmp_path: Path) -> None:
    written_first = asyncio.Event()

    async def rows() -> AsyncIterator[ResultRow]:
        for number in range(1000):
            yield result({"a": str(number)})
        written_first.set()
        await asyncio.Event().wait()

    path = tmp_path / "x.xlsx"
    task = asyncio.create_task(export(rows(), build_table(["a"]), format="xlsx", path=path, stdout=io.BytesIO()))
    await written_first.wait()
    assert len(names(tmp_path)) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(tmp_path) == []


def test_a_workbook_that_is_being_packed_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packing, stopping, pieces = threading.Event(), threading.Event(), []

    def write(_: FileTarget, data: str | bytes) -> None:
        pieces.append(data)
        packing.set()
        stopping.wait()

    monkeypatch.setattr(FileTarget, "write", write)
    monkeypatch.setattr(WorkbookWriter, "discard", discarding(WorkbookWriter.discard, stopping))
    target = FileTarget(tmp_path / "x.xlsx")
    target.open()
    book = WorkbookWriter(target)
    book.begin_sheet("S", [SheetColumn("a", 10)])
    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(book.close)
        packing.wait()
        target.close()
        assert isinstance(ending.exception(), OutputError)
    assert len(pieces) == 1
    assert names(tmp_path) == []
    book.row([text_cell("x")])  # a thread that comes late writes nothing
    book.begin_sheet("T", [])
    book.close()


Discard = Callable[[WorkbookWriter], None]


def discarding(discard: Discard, stopping: threading.Event) -> Discard:
    """Return `discard`, after whose first step the thread that writes continues."""

    def stop(self: WorkbookWriter) -> None:
        self._sink.stop()
        stopping.set()
        discard(self)

    return stop


async def test_a_target_that_cannot_be_written_names_its_error() -> None:
    class Closed(io.BytesIO):
        def write(self, _: Any, /) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await export(stream([]), build_table(["a"]), format="xlsx", path=None, stdout=Closed())


async def test_a_full_disk_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for method in ("workbook.Workbook._store_workbook", "worksheet.Worksheet.write_string"):
        monkeypatch.setattr(f"xlsxwriter.{method}", full)
        with pytest.raises(OutputError, match="No space left on device"):
            await export(stream([]), build_table(["a"]), format="xlsx", path=tmp_path / "x.xlsx", stdout=io.BytesIO())
        assert names(tmp_path) == []
        monkeypatch.undo()
