"""Write a batch's results next to the file's own columns: the same spreadsheet with its answers.

One row per job in the file's order. The file's own columns come first, untouched, then `EXPORT_COLUMNS`; one of
ours that the file has already is written as `batchcrew_<name>`, and where that is taken too, as
`batchcrew_<name>_2` (`_3` …). `formats.py` lists the formats that the rows are written in.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TextIO

from batchcrew.base.errors import UsageError
from batchcrew.model.views import ResultRow
from batchcrew.reports.export.formats import EXPORT_FORMATS
from batchcrew.reports.export.output import FileTarget, StreamTarget, Target
from batchcrew.reports.export.table import Table

_CHUNK_ROWS = 500
_CHUNK_CHARACTERS = 2**20
"""A chunk is handed to a thread at this many rows or characters: memory does not grow with the batch."""


async def export(
    rows: AsyncIterable[ResultRow],
    table: Table,
    *,
    format: str,  # noqa: A002 - the name that users know
    path: Path | None,
    stdout: BinaryIO | TextIO,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the rows and return how many they were.

    Args:
        rows: the jobs in the file's order; they are streamed, memory does not grow with their number.
        table: the columns. JSON and JSONL give each row's own values.
        format: a name from EXPORT_FORMATS.
        path: the file to write, replaced only once all is written, readable by its owner only; or None
            for `stdout`. A device or a pipe is written to as it is.
        stdout: where to write without a `path`. Terminal escapes are shown instead of sent when it is a terminal.
        progress: is called with the number of rows that are written so far.

    Raises:
        UsageError: `path` is a folder, or its folder is missing or not writable; or the format is binary, and
            `stdout` is a terminal; or the format requires an extra that is not installed.
        BatchcrewError: `path` could not be written; the old file is as it was.
        OSError: `stdout` could not be written (BrokenPipeError when its reader went away).
    """
    chosen = EXPORT_FORMATS[format]
    if path is None and stdout.isatty():
        if chosen.binary:
            raise UsageError(
                f"{chosen.name} is a binary format, which a terminal cannot show; name a file with --output"
            )
        table = replace(table, style=replace(table.style, encoding="utf-8", bom=False))  # only text can be cleaned
    writer = chosen.writer(table)
    target: Target = StreamTarget(stdout) if path is None else FileTarget(path)
    number = 0
    try:
        await asyncio.to_thread(target.open)
        await asyncio.to_thread(writer.begin, target)
        async with aclosing(_chunks(rows)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(writer.add, target, chunk)
                number += len(chunk)
                if progress is not None:
                    progress(number)
        await asyncio.to_thread(writer.end, target)
        await asyncio.to_thread(target.finish)
    finally:
        await asyncio.to_thread(target.close)
    return number


async def _chunks(rows: AsyncIterable[ResultRow]) -> AsyncGenerator[list[ResultRow], None]:
    chunk: list[ResultRow] = []
    characters = 0
    async for row in rows:
        chunk.append(row)
        characters += len(row.output or "") + len(row.reason or "")
        if len(chunk) >= _CHUNK_ROWS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
