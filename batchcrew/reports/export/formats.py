"""The formats of exports. To add one, write a module like `json_format.py` and add its format to EXPORT_FORMATS."""

from batchcrew.reports.export.csv_format import CSV
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.json_format import JSON, JSONL

EXPORT_FORMATS: dict[str, ExportFormat] = {
    one.name: one
    for one in (
        CSV,
        JSONL,
        JSON,
    )
}
"""By the value of `--format`, the default first."""
DEFAULT_FORMAT = next(iter(EXPORT_FORMATS))
