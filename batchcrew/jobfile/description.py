"""Describe how a rows file is read: rows, encoding, delimiter, sheet, columns."""

import codecs
from dataclasses import dataclass

from batchcrew.jobfile.rows.rows_file import RowsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsDescription:
    """A description of how a rows file is read, with its rows and columns."""

    name: str
    """The name of the file in messages."""
    rows: int | None
    """Number of rows, including those that `where` excludes; None until all its jobs were read."""
    encoding: str | None
    """`UTF-8`, or the encoding as the job file or the command line names it; None if the format is not text."""
    delimiter: str | None
    """The delimiter in use; None if the format has none, or the file cannot be read."""
    sheet: str | None = None
    """The sheet of a workbook; None until its jobs were read, and for other files."""
    columns: tuple[str, ...]
    """The header of a CSV or TSV file; else the keys of the first row (empty until its jobs were read)."""


def describe(file: RowsFile) -> RowsDescription:
    """Describe a rows file. Reads the beginning of a CSV or TSV file, and nothing of others."""
    opening = file.opening()
    return RowsDescription(
        name=file.name,
        rows=file.found.rows,
        encoding=_encoding(file),
        delimiter=opening.delimiter if opening else None,
        sheet=file.found.sheet or None,
        columns=opening.header if opening else file.found.columns,
    )


def _encoding(file: RowsFile) -> str | None:
    if file.format.binary:
        return None
    given = file.encoding if file.format.has_encoding else None
    if given is None or codecs.lookup(given).name in {"utf-8", "utf-8-sig"}:
        return "UTF-8"
    return given
