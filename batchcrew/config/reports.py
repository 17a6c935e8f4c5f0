"""The key `reports:` of a job file: which reports and exports are written at the end of each run."""

from typing import Literal, TypeAlias, get_args

ReportName: TypeAlias = Literal["html", "text", "md", "json", "csv", "tsv", "jsonl", "xlsx", "parquet"]
"""The name of a report (`html`, `text`, `md`, `json`) or, if no report has it, of an export."""
REPORT_NAMES: tuple[str, ...] = get_args(ReportName)
