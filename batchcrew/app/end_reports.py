"""Write the reports that a job file requests (`reports:`) at the end of a run."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from batchcrew.app.export import ExportRequest, export_batch
from batchcrew.app.report import default_path, export_path, read_report, write_report
from batchcrew.base.clock import Clock
from batchcrew.base.errors import UsageError
from batchcrew.base.text import one_line
from batchcrew.engine import RunEnvironment
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.model.run import RunResult
from batchcrew.reports.export.formats import EXPORT_FORMATS
from batchcrew.reports.report.formats import REPORT_FORMATS
from batchcrew.reports.report.report_format import ReportSource


async def write_end_reports(
    result: RunResult, names: tuple[str, ...], *, single_pass: bool, environment: RunEnvironment
) -> RunResult:
    """Write the reports, and return the result with their paths.

    A report that cannot be written is a warning: the jobs are paid for, and their exit code is that of the jobs.

    Args:
        names: of `REPORT_NAMES`.
        single_pass: True for a tick, which writes them only once the batch has ended.
    """
    if not names or not await _is_due(result, names, single_pass=single_pass):
        return result
    written: list[str] = []
    missing: list[str] = []
    # exports come first, so that a report may link to them
    for name in sorted(names, key=lambda each: each in REPORT_FORMATS):
        path = path_of(result, name)
        try:
            await _write(result, names, name, path, clock=environment.clock, program=result.program)
        except Exception as error:  # noqa: BLE001 - a defect of a report must not hide what the run has done
            why = one_line(str(error)) or type(error).__name__
            environment.warn(f"the report {name} was not written: {why}")
            missing.append(name)
        else:
            written.append(str(path))
    return replace(result, reports=tuple(written), missing_reports=tuple(missing))


async def _is_due(result: RunResult, names: tuple[str, ...], *, single_pass: bool) -> bool:
    if single_pass and result.counts.left:
        return False
    if result.run_id is not None:
        return True
    paths = [path_of(result, name) for name in names]  # nothing has changed since they were written
    return not await asyncio.to_thread(lambda: all(path.exists() for path in paths))


def path_of(result: RunResult, name: str) -> Path:
    """Return the file of a report or an export next to the ledger."""
    ledger = Path(result.ledger)
    if name in REPORT_FORMATS:
        return default_path(ledger, result.batch, REPORT_FORMATS[name].suffix)
    return export_path(ledger, result.batch, name)


async def _write(
    result: RunResult, names: tuple[str, ...], name: str, path: Path, *, clock: Clock, program: str
) -> None:
    async with ReportReader(Path(result.ledger), clock=clock) as ledger:
        key = await ledger.batch(result.batch)
        if key is None:
            raise UsageError(f"batch {result.batch!r} not found in {result.ledger}")
        if name in REPORT_FORMATS:
            others = tuple((each, path_of(result, each).name) for each in names if each != name)
            source = ReportSource(ledger=ledger, key=key, program=program, links=others)
            report = await read_report(ledger, key, program=program)
            await write_report(report, REPORT_FORMATS[name], source, path=path, stdout=sys.stdout)
        elif name in EXPORT_FORMATS:
            await export_batch(ledger, key, ExportRequest(format=name), path=path, stdout=sys.stdout)
        else:
            raise UsageError(f"this version of batchcrew cannot write {name}")
