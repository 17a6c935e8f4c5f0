"""Questions about rows files that are valid and may contain other values than their author sees.

Only the beginning of a file is read for them. A question is not an error: a header may be `2023,2024`, and a file may
have one column. Cells are shown with `shown` and `named`.
"""

from codecs import getincrementaldecoder, lookup
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from batchcrew.base.errors import Problem
from batchcrew.jobfile.problems import named, shown
from batchcrew.jobfile.rows.csv import DELIMITERS, Opening, widths_at
from batchcrew.jobfile.rows.data_like import Record, data_in_header, data_question, repeated_header, repeated_question
from batchcrew.jobfile.rows.misread import (
    PAGES,
    Unlikely,
    better_encoding,
    find_control,
    find_foreign,
    find_lost,
    find_misread,
    find_page,
)
from batchcrew.jobfile.rows.rows_file import RowsFile
from batchcrew.jobfile.rows.text_encoding import DEFAULT_ENCODING, codec_of
from batchcrew.model.job import Location

BEGINNING = 2**16
"""Number of bytes of a file that are examined."""
MOST_ROWS = 1_000
_PROSE_ROWS = 3
"""Number of rows that must have the same number of delimiters if the header has none: one or two may be prose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A value or setting of a rows file that may be a mistake, and how to correct it."""

    where: Location
    message: str
    """One or two sentences."""

    def __str__(self) -> str:
        where = self.where
        return str(Problem(file=where.file, line=where.line, sheet=where.sheet, message=self.message))


def questions_about(file: RowsFile) -> tuple[Question, ...]:
    """Return questions about the beginning of a rows file; none if it cannot be read."""
    if file.format.binary:
        return tuple(_binary_questions(file))
    try:
        with file.path.open("rb") as stream:
            raw = stream.read(BEGINNING)
    except OSError:
        return ()
    if file.refusal(raw) is not None:
        return ()
    opening = file.opening()
    records = list(opening.records(MOST_ROWS + 1)) if opening is not None else []
    found = list(_encoding_questions(file, raw, opening, records))
    if opening is not None and records:
        found += _delimiter_questions(file, opening, records)
        found += _header_questions(file, records)
    return tuple(found)


def _binary_questions(file: RowsFile) -> Iterator[Question]:
    if file.format.records is None or not (records := file.format.records(file, MOST_ROWS + 1)):
        return
    text = "\n".join("\t".join(cells) for _, cells in records)
    yield from _text_questions(file, DEFAULT_ENCODING, text, records)
    yield from _header_questions(file, records)


def _header_questions(file: RowsFile, records: list[Record]) -> Iterator[Question]:
    (line, header), *rows = records
    if (reason := data_in_header(header, rows)) is not None:
        yield Question(where=_place(file, line), message=data_question(reason))
    elif (again := repeated_header(header, rows)) is not None:
        yield Question(where=_place(file, again), message=repeated_question(header, line))


def _place(file: RowsFile, line: int) -> Location:
    return Location(file.name, line, sheet=file.found.sheet)


def _delimiter_questions(file: RowsFile, opening: Opening, records: list[Record]) -> Iterator[Question]:
    (line, header), *_ = records
    if len(header) != 1:
        return
    found: dict[str, int] = {}
    for delimiter in DELIMITERS:
        if delimiter == opening.delimiter or delimiter not in opening.sample:
            continue
        widths = widths_at(opening.sample, delimiter, complete=opening.complete)
        first, below = (widths[0], widths[1:]) if widths else (0, [])
        alike = len(set(below)) == 1 and below[0] > 1
        # a comma in every row of one column may be prose, as in `Hart, Amelia`
        prose = len(below) < _PROSE_ROWS or f"{delimiter} " in opening.sample
        if alike and (first == below[0] or (first == 1 and not prose)):
            found[delimiter] = below[0]
    if found:
        best = max(found, key=lambda delimiter: found[delimiter])
        yield Question(where=Location(file.name, line), message=_one_column(opening.delimiter, best, found[best]))


def _one_column(delimiter: str, better: str, columns: int) -> str:
    word = "tab" if better == "\t" else f'"{better}"'
    return (
        f"the delimiter {shown(delimiter)} gives 1 column, and {shown(better)} would give {columns};"
        f" if so, write `delimiter: {word}` or --delimiter {word}"
    )


def _encoding_questions(
    file: RowsFile, raw: bytes, opening: Opening | None, records: list[Record]
) -> Iterator[Question]:
    has_encoding = file.format.has_encoding  # other formats are UTF-8 and do not accept the key
    codec = codec_of(file.encoding if has_encoding else None)
    better = better_encoding(raw, codec=codec, complete=len(raw) < BEGINNING) if has_encoding else None
    text = opening.sample if opening is not None else _text(raw, codec)
    if better is None:
        yield from _text_questions(file, codec, text, records)
        return
    reason, right = better
    where, example = Location(file.name, 1), ""
    if right == "utf-8" and not lookup(codec).name.startswith(("utf-16", "utf-32")):
        found = _found(lambda part: find_foreign(part, codec), file, text, records)
        if found is not None:
            where, example = found[0], f"{found[2]} may be {shown(found[1].meant)}: "
    called = "UTF-8" if codec == DEFAULT_ENCODING else codec
    yield Question(where=where, message=f"{example}{reason} and is read as {called}; {_if_so(right)}")


def _if_so(encoding: str) -> str:
    return f"if so, write `encoding: {encoding}` or --encoding {encoding}"


def _text_questions(file: RowsFile, codec: str, text: str, records: list[Record]) -> Iterator[Question]:
    """Yield questions about decodable text that the program that wrote it may have decoded wrongly."""
    name = lookup(codec).name
    latin = name.startswith("iso8859")
    again = "export the file again as UTF-8, or correct it"
    if found := _found(find_misread, file, text, records):
        where, unlikely, cell = found
        reason = f"{cell} may be {shown(unlikely.meant)}, misread by the program that wrote the file"
        yield Question(where=where, message=f"{reason}; {again}")
    elif found := _found(lambda part: find_control(part, latin=latin), file, text, records):
        where, unlikely, cell = found
        reason = f"{cell} holds control characters"
        if latin:
            reason += f", and in cp1252 it would be {shown(unlikely.meant)}; {_if_so('cp1252')}"
        else:
            reason += f" in place of letters, written by a program that misread them; {again}"
        yield Question(where=where, message=reason)
    for page in PAGES if name == "cp1252" else ():
        if found := _found(partial(find_page, page=page), file, text, records):
            where, unlikely, cell = found
            yield Question(where=where, message=f"{cell} would be {shown(unlikely.meant)} in {page}; {_if_so(page)}")
            break
    if found := _found(find_lost, file, text, records):
        where, _, cell = found
        reason = f"{cell} holds U+FFFD, which a program wrote in place of a character that it could not read"
        yield Question(where=where, message=f"{reason}; {again}")


def _found(
    find: Callable[[str], Unlikely | None], file: RowsFile, text: str, records: list[Record]
) -> tuple[Location, Unlikely, str] | None:
    """Return the first result of `find`: its place, the result, and its text with its column for a message."""
    in_text = find(text)
    if in_text is None:
        return None
    header = records[0][1] if records else []
    for line, cells in records:
        for number, cell in enumerate(cells):
            if (unlikely := find(cell)) is not None:
                column = named(header[number].strip()) if number < len(header) else f"{number + 1}"
                place = "in the header" if line == records[0][0] else f"column {column}"
                return _place(file, line), unlikely, f"{shown(unlikely.part)} ({place})"
    if file.textual:  # between records, or after the rows that are examined
        return None
    line = text.count("\n", 0, in_text.start) + 1
    return Location(file.name, line), in_text, shown(in_text.part)


def _text(raw: bytes, codec: str) -> str:
    """Return the bytes as text, without a character that is cut; empty if they are not in the encoding."""
    try:
        return getincrementaldecoder(codec)().decode(raw).removeprefix("\ufeff")
    except UnicodeError:
        return ""
