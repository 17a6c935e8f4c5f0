"""Write the report as one HTML file: the page, then the blocks of its table, in pieces."""

import asyncio
import base64
import importlib.metadata
from collections.abc import AsyncIterator, Iterator
from typing import IO

from batchcrew.base.clock import from_text
from batchcrew.model.report import Report
from batchcrew.reports.commands import export_command, show_command
from batchcrew.reports.html import words
from batchcrew.reports.html.columns import Spools
from batchcrew.reports.html.details import MOST_JOBS, Details, read_details
from batchcrew.reports.html.jobs_table import JobsTable, read_table
from batchcrew.reports.html.templating import environment, policy, script, style
from batchcrew.reports.report.report_format import ReportSource

OUTPUTS_LIMIT = 2_000_000
"""Bytes of the details of jobs (inputs, tasks, attempts, outputs) in the page, unless `--outputs-limit` is given."""
PAGE_LIMIT = 9_600_000
"""Bytes of table and details together, unless `--outputs-limit` is given."""
_MARK = "\x00blocks\x00"  # clean_text leaves no NUL in any value
_REPORTS = frozenset({"html", "text", "md", "json"})
"""Files that have no outputs, so that the page does not refer to them."""
_PIECE = 3 * 2**16  # a multiple of 3: base64 in pieces


async def write_html(report: Report, source: ReportSource) -> AsyncIterator[str | bytes]:
    """Yield the page in pieces."""
    with Spools() as spools:
        wanted = await source.ledger.jobs_of_interest(source.key, MOST_JOBS)
        pages = source.ledger.job_pages(source.key, _epoch(report))
        table = await read_table(pages, source.key.columns, wanted, spools=spools)
        limit = min(OUTPUTS_LIMIT, PAGE_LIMIT - table.size) if source.outputs_limit is None else source.outputs_limit
        details = Details(limit, spools)
        rows = [(job_id, table.wanted[job_id]) for job_id in wanted if job_id in table.wanted]
        await read_details(source.ledger, source.key, rows, details)
        before, after = await asyncio.to_thread(_page, report, source, table, details)
        yield before
        blocks = _blocks(table, details)
        while (piece := await asyncio.to_thread(next, blocks, None)) is not None:
            yield piece
        yield after


def _epoch(report: Report) -> str:
    """Return the moment from which the table counts moments."""
    return report.duration.started_at or report.written_at


def _page(report: Report, source: ReportSource, table: JobsTable, details: Details) -> tuple[str, str]:
    """Return the page before and after its blocks."""
    template = environment().get_template("report.html.j2")
    ledger = report.ledger
    text = template.render(
        report=report,
        version=importlib.metadata.version("batchcrew"),
        policy=policy(),
        style=style(),
        script=script(),
        table=table,
        facts=_facts(report, table, details),
        detailed=details.jobs,
        links=[link for link in source.links if link[0] not in _REPORTS],
        export_command=export_command(report.batch, ledger, source.program),
        show_command=show_command(report.batch, "JOB", ledger, source.program),
        blocks=_MARK,
    )
    before, _, after = text.partition(_MARK)
    return before, after


def _facts(report: Report, table: JobsTable, details: Details) -> dict[str, object]:
    """Return the properties of the blocks that the script needs."""
    epoch = from_text(_epoch(report))
    groups = [(one.group.fingerprint or "", _label(one.group.reason)) for one in report.failures]
    return {
        "rows": table.rows,
        "epoch": round(epoch.timestamp() * 1000),
        "columns": [column.facts() for column in table.columns],
        "details": [[rows, size] for rows, (_, size) in zip(details.rows, details.blocks, strict=True)],
        "labels": {"group": groups},
    }


def _label(reason: str | None) -> str:
    text = " ".join((reason or "no reason").split())
    return words.clean(text if len(text) <= 80 else text[:79] + "…")


def _blocks(table: JobsTable, details: Details) -> Iterator[str]:
    for place, column in enumerate(table.columns):
        yield _opened(f"column-{place}")
        yield from _encoded(column.encoded.data)
        yield "</script>\n"
    for number, (data, _) in enumerate(details.blocks):
        yield _opened(f"details-{number}")
        data.seek(0)
        yield data.read().decode("ascii")
        yield "</script>\n"


def _opened(name: str) -> str:
    return f'<script type="text/plain" id="{name}">'


def _encoded(data: IO[bytes]) -> Iterator[str]:
    data.seek(0)
    while piece := data.read(_PIECE):
        yield base64.b64encode(piece).decode("ascii")
