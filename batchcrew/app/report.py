"""Read the report of a batch, and write it in one of the formats."""

import asyncio
from collections.abc import AsyncIterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TextIO

from batchcrew.ledger import BatchKey
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.model.comparison import Comparison
from batchcrew.model.report import Report
from batchcrew.reports.commands import file_name
from batchcrew.reports.export.output import FileTarget, StreamTarget, Target
from batchcrew.reports.report.build import MOST_GROUPS, MOST_RUNS, build_report
from batchcrew.reports.report.report_format import ReportFormat, ReportSource

HTML_SUFFIX = ".html"


async def read_report(ledger: ReportReader, key: BatchKey, *, program: str, shown_ledger: str | None = None) -> Report:
    """Return the report of a batch.

    Args:
        program: the program with which printed commands begin.
        shown_ledger: the ledger as printed commands name it; None: its path.
    """
    facts = await ledger.report_facts(key, groups=MOST_GROUPS)
    runs = await ledger.runs(key, MOST_RUNS)
    return build_report(
        replace(facts, runs=tuple(runs)),
        batch=key.batch,
        jobfile=key.jobfile,
        ledger=str(ledger.path) if shown_ledger is None else shown_ledger,
        program=program,
    )


def default_path(ledger: Path, batch: str, suffix: str) -> Path:
    """Return the file of a batch's report next to the ledger: `results/travel.html`, `results/travel-report.md`.

    A job file or a rows file may be next to the ledger and have the batch's name, but none is HTML.
    """
    return ledger.parent / f"{file_name(batch)}{'' if suffix == HTML_SUFFIX else '-report'}{suffix}"


def export_path(ledger: Path, batch: str, format_: str) -> Path:
    """Return the file of a batch's export next to the ledger: `results/travel-results.csv`."""
    return ledger.parent / f"{file_name(batch)}-results.{format_}"


async def compare_batches(
    ledger: ReportReader, old: BatchKey, new: BatchKey, *, limit: int, program: str
) -> Comparison:
    """Compare two batches of a ledger.

    Args:
        old: the earlier batch.
        new: the later batch.
        limit: most rows to list.
        program: the program with which printed commands begin.
    """
    return Comparison(
        before=await read_report(ledger, old, program=program),
        after=await read_report(ledger, new, program=program),
        rows=await ledger.compare(old, new, limit=limit),
    )


async def write_report(
    report: Report, chosen: ReportFormat, source: ReportSource, *, path: Path | None, stdout: BinaryIO | TextIO
) -> None:
    """Write a report to a file, which is replaced only once all is written, or to `stdout`.

    Raises:
        UsageError: `path` is a folder, or its folder is missing or not writable.
        OutputError: `path` could not be written; the old file is as it was.
    """
    target: Target = StreamTarget(stdout) if path is None else FileTarget(path)
    await _write(chosen.write(report, source), target)


async def _write(pieces: AsyncIterable[str | bytes], target: Target) -> None:
    try:
        await asyncio.to_thread(target.open)
        async for piece in pieces:
            await asyncio.to_thread(target.write, piece)
        await asyncio.to_thread(target.finish)
    finally:
        await asyncio.to_thread(target.close)
