"""The formats of reports. To add one, write a module like `text.py` and add its format to `_FORMATS`."""

from batchcrew.reports.report.report_format import ReportFormat

_FORMATS: tuple[ReportFormat, ...] = ()
REPORT_FORMATS: dict[str, ReportFormat] = {one.name: one for one in _FORMATS}
"""By the value of `--format`, the default first."""
