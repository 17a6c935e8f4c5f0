"""The report as HTML: one file, which opens without a network. The page is in `batchcrew/reports/html/`."""

from collections.abc import AsyncIterator

from batchcrew.model.report import Report
from batchcrew.reports.report.report_format import ReportFormat, ReportSource


async def _write(report: Report, source: ReportSource) -> AsyncIterator[str | bytes]:
    from batchcrew.reports.html.page import write_html

    async for piece in write_html(report, source):
        yield piece


HTML_REPORT = ReportFormat(name="html", suffix=".html", write=_write, to_file=True)
