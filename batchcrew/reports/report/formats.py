"""The formats of reports. To add one, write a module like `text_report.py` and add its format to `_FORMATS`."""

from batchcrew.reports.report.html_report import HTML_REPORT
from batchcrew.reports.report.json_report import JSON_REPORT
from batchcrew.reports.report.markdown_report import MARKDOWN_REPORT
from batchcrew.reports.report.report_format import ReportFormat
from batchcrew.reports.report.text_report import TEXT_REPORT

_FORMATS: tuple[ReportFormat, ...] = (
    HTML_REPORT,
    MARKDOWN_REPORT,
    TEXT_REPORT,
    JSON_REPORT,
)
REPORT_FORMATS: dict[str, ReportFormat] = {one.name: one for one in _FORMATS}
"""By the value of `--format`, the default first."""
DEFAULT_FORMAT = next(iter(REPORT_FORMATS))
