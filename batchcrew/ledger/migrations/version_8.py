"""Version 8."""

_VERSION_8_XLSX = """
ALTER TABLE jobs ADD COLUMN row_kinds TEXT;   -- of a workbook's row: the kind of each of its cells; NULL: all are text
"""
VERSION_8 = _VERSION_8_XLSX
