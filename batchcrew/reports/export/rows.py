"""A batch's results next to its own columns: the spreadsheet comes back as the same spreadsheet with its answers.

One row per job in the file's order. The file's own columns come first, untouched, then `EXPORT_COLUMNS`; one of
ours that the file has already is written as `batchcrew_<name>`, and where that is taken too, as
`batchcrew_<name>_2` (`_3` …). `csv_format.py` turns a value into a cell.
JSON and JSONL keep the types of the file's values; a result that the crew gave as JSON is in `result_json`, and
`possible_duplicate` is true for a job that was kicked off again after an attempt in doubt. Both keys are there only
where there is something to say. A stale job has no `output`: `stale_output` and `stale_inputs` hold its answer and the
inputs that it was made from (in CSV where the batch has a stale job).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, TypeAlias, assert_never

from batchcrew.base.export_columns import EXPORT_COLUMNS, WHERE_NEEDED, free_name
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.csv_format import csv_cell, csv_line, json_text
from batchcrew.reports.export.output import FileTarget, StreamTarget, Target

_STALE = ("stale_output", "stale_inputs")

Format = Literal["csv", "jsonl", "json"]
Names: TypeAlias = dict[str, str]
Render: TypeAlias = Callable[[ResultRow], str]

_CHUNK_ROWS = 500
_CHUNK_CHARACTERS = 2**20
"""A chunk is handed to a thread at this many rows or characters: memory does not grow with the batch."""


def export_names(columns: Sequence[str]) -> Names:
    """Return the names of our columns next to the file's own."""
    names: Names = {}
    for column in (*EXPORT_COLUMNS, *WHERE_NEEDED):
        names[column] = free_name(column, {*columns, *names.values()})
    return names


async def export(
    rows: AsyncIterable[ResultRow],
    columns: Sequence[str],
    *,
    format: Format,  # noqa: A002 - the name that users know
    stale: bool = False,
    path: Path | None,
    stdout: BinaryIO | TextIO,
) -> int:
    """Write the rows and return how many they were.

    Args:
        rows: the jobs in the file's order; they are streamed, memory does not grow with their number.
        columns: the file's own columns. CSV has exactly these; JSON and JSONL give each row's own values.
        stale: the batch has stale jobs: CSV gets two more columns.
        path: the file to write, replaced only once all is written, readable by its owner only; or None
            for `stdout`. A device or a pipe is written to as it is.
        stdout: where to write without a `path`. Terminal escapes are shown instead of sent when it is a terminal.

    Raises:
        UsageError: `path` is a folder, or its folder is missing or not writable.
        BatchcrewError: `path` could not be written; the old file is as it was.
        OSError: `stdout` could not be written (BrokenPipeError when its reader went away).
    """
    names = export_names(columns)
    before, between, after = _frame(columns, names, format, stale=stale)
    render = _renderer(columns, names, format, stale=stale)
    target: Target = StreamTarget(stdout) if path is None else FileTarget(path)
    number = 0
    try:
        await asyncio.to_thread(target.open)
        await asyncio.to_thread(target.write, before)
        async with aclosing(_chunks(rows)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(_write_chunk, target, render, chunk, between if number else "", between)
                number += len(chunk)
        await asyncio.to_thread(target.write, after(number))
        await asyncio.to_thread(target.finish)
    finally:
        await asyncio.to_thread(target.close)
    return number


def _write_chunk(target: Target, render: Render, chunk: Sequence[ResultRow], first: str, between: str) -> None:
    target.write(first + between.join(map(render, chunk)))


def _frame(
    columns: Sequence[str],
    names: Names,
    format: Format,  # noqa: A002
    *,
    stale: bool,
) -> tuple[str, str, Callable[[int], str]]:
    """Return the text before, between and after the rows."""
    match format:
        case "csv":
            ours = (*EXPORT_COLUMNS, *(_STALE if stale else ()))
            header = [csv_cell(column) for column in (*columns, *(names[column] for column in ours))]
            return csv_line(header), "", lambda _number: ""
        case "jsonl":
            return "", "", lambda _number: ""
        case "json":
            return "[", ",", lambda number: "\n]\n" if number else "]\n"
        case _:
            assert_never(format)


def _renderer(columns: Sequence[str], names: Names, format: Format, *, stale: bool) -> Render:  # noqa: A002
    """What makes one row into text."""
    own = frozenset(columns)
    match format:
        case "csv":
            return lambda row: _csv_row(row, columns, stale=stale)
        case "jsonl":
            return lambda row: json_text(_json_row(row, own, names)) + "\n"
        case "json":
            return lambda row: "\n" + json_text(_json_row(row, own, names))
        case _:
            assert_never(format)


def _ours(row: ResultRow) -> tuple[Any, ...]:
    """The values of EXPORT_COLUMNS, in their order."""
    seconds = None if row.execution_time is None else round(row.execution_time, 3)
    return (
        row.state.value,
        row.output,
        row.error,
        row.attempts,
        row.kickoff_id,
        row.started_at,
        row.ended_at,
        seconds,
    )


def _csv_row(row: ResultRow, columns: Sequence[str], *, stale: bool) -> str:
    own = row.row
    cells = [csv_cell(own.get(column)) for column in columns]
    cells += [csv_cell(value) for value in _ours(row)]
    if stale:
        cells += [csv_cell(row.stale_output), csv_cell(row.stale_inputs)]
    return csv_line(cells)


def _json_row(row: ResultRow, own: frozenset[str], names: Names) -> dict[str, Any]:
    if not own.issuperset(row.row):  # a row with extra keys must not lose one to ours
        names = export_names([*own, *row.row])
    values = dict(row.row)
    for column, value in zip(EXPORT_COLUMNS, _ours(row), strict=True):
        values[names[column]] = value
    if row.result_json is not None:
        values[names["result_json"]] = row.result_json
    if row.possible_duplicate:
        values[names["possible_duplicate"]] = True
    for column, value in zip(_STALE, (row.stale_output, row.stale_inputs), strict=True):
        if value is not None:
            values[names[column]] = value
    return values


async def _chunks(rows: AsyncIterable[ResultRow]) -> AsyncGenerator[list[ResultRow], None]:
    chunk: list[ResultRow] = []
    characters = 0
    async for row in rows:
        chunk.append(row)
        characters += len(row.output or "") + len(row.error or "")
        if len(chunk) >= _CHUNK_ROWS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
