"""Read the rows of a CSV or TSV file as a stream: memory does not grow with the file, and all values are text."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from itertools import islice
from typing import Any, TextIO

from batchcrew.jobfile.problems import Problems, listed, shown
from batchcrew.jobfile.rows.row_format import Row, RowFormat, RowsRead, RowsSource
from batchcrew.jobfile.rows.sheet_style import Quoting, RawLines, encoding_of, style_of, unique_names
from batchcrew.jobfile.rows.text_encoding import add_undecodable, codec_of
from batchcrew.jobfile.rows.unfinished import CUT, ends_with_line_end
from batchcrew.model.job import Location

MAX_CELL = 16 * 2**20
"""Maximum number of characters of a cell. A quote that is not closed extends its cell up to this size."""
DELIMITERS = ",;\t|"
"""Delimiters that are detected, in this order."""
_SAMPLE = 2**16
"""Number of characters from which the delimiter is detected."""
_SAMPLE_RECORDS = 20
_MOST_TITLE_LINES = 10
"""Lines of titles above a header that are recognized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The beginning of a CSV or TSV file, and its delimiter."""

    sample: str
    """The first characters (up to 65,536), without a line `sep=;`."""
    complete: bool
    """Whether the sample is the complete file; else its last record may be cut."""
    delimiter: str
    skipped: int = 0
    """Number of lines before the sample: 1 if the file begins with `sep=;`."""

    def records(self, limit: int) -> Iterator[tuple[int, list[str]]]:
        """Yield line and cells of the first records that have a cell that is not blank, the header first.

        Ends at a record that is not valid CSV, and before a record that may be cut.

        Args:
            limit: maximum number of records.
        """
        reader = csv.reader(StringIO(self.sample, newline=""), delimiter=self.delimiter, strict=True)
        line, held, found = self.skipped, None, 0
        try:
            for record in reader:
                start, line = line + 1, self.skipped + reader.line_num
                if not any(cell.strip() for cell in record):
                    continue
                if held is not None:
                    yield held
                    found += 1
                    if found == limit:
                        return
                held = start, record
        except csv.Error:  # reported when the file is read
            return
        if held is not None and self.complete:
            yield held

    @property
    def header(self) -> tuple[str, ...]:
        """The column names; empty if there is no header, or it is longer than the sample."""
        for _, record in self.records(1):
            return tuple(unique_names(record))
        return ()


def read_opening(stream: TextIO, delimiter: str | None) -> Opening:
    """Read the beginning of `stream`; a `delimiter` of None is detected."""
    sample = stream.read(_SAMPLE)
    complete = len(sample) < _SAMPLE
    first = StringIO(sample, newline="").readline()
    sep = first.rstrip("\r\n")
    if sep[:4].casefold() == "sep=" and len(sep) == 5:
        return Opening(sample=sample[len(first) :], complete=complete, delimiter=delimiter or sep[4], skipped=1)
    return Opening(sample=sample, complete=complete, delimiter=delimiter or find_delimiter(sample, complete=complete))


def _opening(source: RowsSource, *, default: str | None) -> Opening | None:
    """Read the beginning of a file; return None if it cannot be read or decoded.

    Args:
        default: the delimiter if the source names none; None: it is found from the text.
    """
    try:
        with source.path.open(encoding=codec_of(source.encoding), newline="") as stream:
            return read_opening(stream, source.delimiter or default)
    except (OSError, UnicodeError):  # reported when the file is read
        return None


def _read(source: RowsSource, problems: Problems, *, default: str | None) -> Iterator[Row]:
    """Yield the first line number of each row, and its columns as text.

    Blank lines, and rows whose cells are all empty (Excel writes them at the end), are skipped. A first line `sep=;`
    sets the delimiter.
    """
    # A limit of the csv module for the process; its default of 128 KiB is less than a long prompt.
    # It is never lowered, because other code may have raised it.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
    path, name, codec = source.path, source.name, codec_of(source.encoding)
    try:
        with path.open(encoding=codec, newline="") as stream:
            opening = read_opening(stream, source.delimiter or default)
            if not opening.complete and "\n" not in opening.sample and "\r" not in opening.sample:
                problems.at(Location(name, 1), f"no line ends in the first {_SAMPLE:,} characters; is this a CSV file?")
                return
            stream.seek(0)
            sep_line = stream.readline().rstrip("\r\n") if opening.skipped else None
            sheet = _Sheet(
                source=source,
                opening=opening,
                sep_line=sep_line,
                codec=codec,
                complete=ends_with_line_end(path),
            )
            yield from _records(stream, sheet, problems)
    except UnicodeError:
        add_undecodable(path, name, codec, problems)


def find_delimiter(sample: str, *, complete: bool) -> str:
    """Return which of `, ; tab |` separates the columns; a comma if the sample contains none.

    A delimiter is preferred if all records of the sample have as many columns as the header, then if it is the most
    frequent in the header outside quotes, then if it is not followed by a blank as in prose.

    Args:
        sample: the beginning of the file.
        complete: whether the sample is the complete file; else its last record may be cut and is ignored.
    """
    ranked: list[tuple[bool, int, bool, str]] = []
    for delimiter in DELIMITERS:
        if delimiter not in sample:
            continue
        widths = widths_at(sample, delimiter, complete=complete)
        if widths and widths[0] > 1:
            ranked.append((len(set(widths)) == 1, widths[0], f"{delimiter} " not in sample, delimiter))
    # max() returns the first of equals, and DELIMITERS are in order of likelihood
    return max(ranked, key=lambda entry: entry[:3])[3] if ranked else ","


def widths_at(sample: str, delimiter: str, *, complete: bool) -> list[int]:
    """Return the number of columns of the sample's first records, separated by `delimiter`."""
    widths: list[int] = []
    reader = csv.reader(StringIO(sample, newline=""), delimiter=delimiter)
    try:
        widths.extend(len(record) for record in islice(reader, _SAMPLE_RECORDS + 1) if any(record))
    except csv.Error:
        widths.append(0)  # reported when the file is read; here the delimiter does not fit
    if len(widths) > 1 and (not complete or len(widths) > _SAMPLE_RECORDS):
        widths.pop()
    return widths


@dataclass(slots=True, kw_only=True)
class _Sheet:
    """A file that is being read."""

    source: RowsSource
    opening: Opening
    sep_line: str | None
    codec: str
    complete: bool
    """Whether the file ends with a line end."""

    def quoting(self) -> Quoting:
        opening = self.opening
        return Quoting(opening.sample, opening.delimiter, complete=opening.complete)

    def record_layout(self, quoting: Quoting, header: Sequence[str], names: Sequence[str], raw: str) -> None:
        """Record how the file is written, once its header was read."""
        with self.source.path.open("rb") as stream:
            encoding = encoding_of(self.codec, stream.read(4))
        style = style_of(quoting, self.opening.delimiter, encoding, (header, names, raw))
        style = replace(style, sep_line=self.sep_line, final_line_end=self.complete)
        self.source.found.layout = style.as_json()


def _records(stream: TextIO, sheet: _Sheet, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows below the header."""
    name, found, delimiter = sheet.source.name, sheet.source.found, sheet.opening.delimiter
    lines, quoting = RawLines(stream), sheet.quoting()
    # strict: a quote that is not closed, or text after a closing quote, is an error
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    before = line = sheet.opening.skipped
    header: list[str] = []
    columns = header_line = 0
    empty = True
    cut: tuple[int, int] | None = None  # the first and the last line of the latest row with too few cells
    while True:
        try:
            for record in reader:
                start, line = line + 1, before + reader.line_num
                raw = lines.take()
                if len(record) == columns and any(record) and "\0" not in raw:
                    empty = False
                    found.quoting = quoting.marks(raw, record)
                    yield start, dict(zip(header, record, strict=True))
                elif not any(cell.strip() for cell in record):
                    continue
                elif not header:
                    header = _header(record, Location(name, start), problems, found)
                    columns, header_line = len(header), start
                    if not header:
                        return
                    sheet.record_layout(quoting, record, header, raw)
                else:
                    empty = False
                    where = Location(name, start)
                    if _add_wrong(record, where, header, Location(name, header_line), delimiter, problems):
                        return
                    cut = (start, line) if len(record) < columns else None
            break
        except csv.Error as exc:
            # the reader drops this record and continues with the next line
            lines.take()
            empty = False
            start, line = line + 1, before + reader.line_num
            problems.at(Location(name, start), _broken(exc, start, line))
            cut = (start, line) if "unexpected end of data" in str(exc) else None
            if problems.full or not header or "field larger" in str(exc):
                return  # the text after a cell without an end is not a record
    if cut is not None and cut[1] == line and not sheet.complete:
        problems.at(Location(name, cut[0]), CUT)
    if empty:
        _add_empty(name, header_line, problems)


def _add_empty(name: str, header_line: int, problems: Problems) -> None:
    if header_line:
        problems.at(Location(name, header_line), "the file has a header but no rows")
    else:
        problems.at(Location(name), "the file is empty; its first line must name the columns")


def _header(record: list[str], where: Location, problems: Problems, found: RowsRead) -> list[str]:
    """Return the column names without blanks around them; empty after a problem."""
    header = [cell.strip() for cell in record]
    known = len(problems)
    if len(header) > 2 and header[0] and not any(header[1:]):
        problems.at(where, _title(header[0], f"the other {len(header) - 1} cells of the line are empty"))
        return []
    if any("\0" in column for column in header):
        problems.at(where, "the header contains a NUL byte; is this a text file?")
    names = unique_names(record)
    found.notes = tuple(f"{where.file}:{where.line}: {note}" for note in _notes(header, names))
    return [] if len(problems) > known else names


def _notes(header: list[str], names: list[str]) -> Iterator[str]:
    """Yield which columns are called otherwise than in the header."""
    unnamed = [name for name, column in zip(names, header, strict=True) if not column]
    if unnamed:
        what = "1 column has no name and is" if len(unnamed) == 1 else f"{len(unnamed)} columns have no name and are"
        yield f"{what} called {listed(unnamed)}"
    for column, times in Counter(column for column in header if column).items():
        if times > 1:
            numbers = [number for number, other in enumerate(header) if other == column]
            again = listed([names[number] for number in numbers[1:]])
            places = ", ".join(str(number + 1) for number in numbers)
            yield f"duplicate column {shown(column)} (columns {places}); batchcrew calls the later ones {again}"


def _add_wrong(
    record: list[str], where: Location, header: list[str], top: Location, delimiter: str, problems: Problems
) -> bool:
    """Add the mistake of a record that does not fit the header at `top`; return whether reading ends."""
    if where.line - top.line <= _MOST_TITLE_LINES and _is_title(header, record):
        found = f"line {where.line} has {len(record)} cells"
        quotes = f", or put quotes around a cell that contains {shown(delimiter)}"
        problems.at(top, _title(header[0], found) + quotes)
        return True
    problems.at(where, _wrong(record, len(header), delimiter))
    return problems.full


def _wrong(record: list[str], columns: int, delimiter: str) -> str:
    """Return why the record does not fit a header with this many columns."""
    if len(record) == columns:
        return "this row contains a NUL byte; is this a text file?"
    more = f"; a cell that contains {shown(delimiter)} needs quotes" if len(record) > columns else ""
    cells = "1 cell" if len(record) == 1 else f"{len(record)} cells"
    return f"{cells} where the header has {'1 column' if columns == 1 else f'{columns} columns'}{more}"


def _is_title(header: list[str], record: list[str]) -> bool:
    """Return whether the header is a title above the real one, as a row with more cells shows."""
    return len(header) == 1 < len(record) and not any(delimiter in header[0] for delimiter in DELIMITERS)


def _title(title: str, found: str) -> str:
    """Return the mistake of a title above the header."""
    return f"{shown(title)} looks like a title, not like column names ({found}); delete the lines above the header"


def _broken(exc: csv.Error, first: int, last: int) -> str:
    reason = str(exc)
    if "unexpected end of data" in reason:
        return "a quote that opens in this row is never closed"
    if "field larger" in reason:
        return f"a cell is longer than {MAX_CELL:,} characters; is a quote not closed?"
    if "expected after" in reason:
        seen = f" (seen in line {last})" if last != first else ""
        return f'there is text after a closing quote{seen}; a quote inside a quoted cell is written twice, as ""'
    return f"not valid CSV: {reason}"


def _separated(suffix: str, delimiter: str | None) -> RowFormat:
    return RowFormat(
        suffixes=(suffix,),
        read=partial(_read, default=delimiter),
        is_batch=True,
        has_encoding=True,
        textual=True,
        opening=partial(_opening, default=delimiter),
    )


CSV = _separated(".csv", None)
TSV = _separated(".tsv", "\t")
