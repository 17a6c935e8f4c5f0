"""The formats of rows files. To add one, write a module like `json.py` and add its format to ROW_FORMATS."""

from batchcrew.jobfile.rows import csv, json, xlsx, yaml
from batchcrew.jobfile.rows.row_format import RowFormat

ROW_FORMATS: tuple[RowFormat, ...] = (
    csv.CSV,
    csv.TSV,
    json.JSON_LINES,
    json.JSON_LIST,
    yaml.YAML_LIST,
    xlsx.XLSX,
)
"""In the order in which messages name their suffixes."""

ROWS_SUFFIXES = tuple(suffix for one in ROW_FORMATS for suffix in one.suffixes)
BARE_SUFFIXES = tuple(suffix for one in ROW_FORMATS if one.is_batch for suffix in one.suffixes)
"""Suffixes of rows files that can be run without a job file."""
ENCODED_SUFFIXES = tuple(suffix for one in ROW_FORMATS if one.has_encoding for suffix in one.suffixes)
SEPARATED_SUFFIXES = tuple(suffix for one in ROW_FORMATS if one.opening is not None for suffix in one.suffixes)
SHEET_SUFFIXES = tuple(suffix for one in ROW_FORMATS if one.has_sheets for suffix in one.suffixes)
_BY_SUFFIX = {suffix: one for one in ROW_FORMATS for suffix in one.suffixes}


def row_format(suffix: str) -> RowFormat:
    """Return the format of files with this suffix, in any case; JSON lines for a suffix of no format."""
    return _BY_SUFFIX.get(suffix.lower(), json.JSON_LINES)
