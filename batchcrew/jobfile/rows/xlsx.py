"""Excel workbooks as rows files. What reads them is only imported for a workbook: most runs read none."""

from collections.abc import Iterator

from batchcrew.jobfile.problems import Problems
from batchcrew.jobfile.rows.data_like import Record
from batchcrew.jobfile.rows.row_format import Row, RowFormat, RowsSource


def _read(source: RowsSource, problems: Problems) -> Iterator[Row]:
    from batchcrew.jobfile.rows import workbook

    return workbook.read(source, problems)


def _records(source: RowsSource, most: int) -> list[Record]:
    from batchcrew.jobfile.rows import workbook

    return workbook.records(source, most)


XLSX = RowFormat(
    suffixes=(".xlsx", ".xlsm"),
    read=_read,
    is_batch=True,
    binary=True,
    textual=True,
    has_sheets=True,
    records=_records,
)
