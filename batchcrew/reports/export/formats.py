"""The formats of exports. To add one, write a module like `json_format.py` and add its format to EXPORT_FORMATS."""

from pathlib import Path

from batchcrew.reports.export.csv_format import CSV, TSV
from batchcrew.reports.export.export_format import ExportFormat
from batchcrew.reports.export.json_format import JSON, JSONL
from batchcrew.reports.export.markdown_format import MARKDOWN
from batchcrew.reports.export.parquet_format import PARQUET
from batchcrew.reports.export.xlsx_format import XLSX

EXPORT_FORMATS: dict[str, ExportFormat] = {
    one.name: one
    for one in (
        CSV,
        TSV,
        JSONL,
        JSON,
        MARKDOWN,
        PARQUET,
        XLSX,
    )
}
"""By the value of `--format`, the default first."""
DEFAULT_FORMAT = next(iter(EXPORT_FORMATS))


def format_of(path: Path) -> str | None:
    """Return the name of the format that the suffix of `path` names; None if it names none."""
    suffix = path.suffix.lower()
    return next((one.name for one in EXPORT_FORMATS.values() if suffix in one.suffixes), None)
