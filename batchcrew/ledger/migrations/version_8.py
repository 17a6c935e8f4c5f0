"""Version 8 of the schema."""

_VERSION_8_EXPORT = """
-- how the rows files of a batch were written, so that exports are written in the same way
CREATE TABLE rows_files (
    batch_id INTEGER NOT NULL REFERENCES batches (id),
    position INTEGER NOT NULL,                    -- order in the job file, from 0
    file     TEXT NOT NULL,
    format   TEXT NOT NULL,                       -- csv, tsv, jsonl …
    layout   TEXT NOT NULL,                       -- JSON object: what the format has recorded
    PRIMARY KEY (batch_id, position)
) STRICT, WITHOUT ROWID;
-- which cells of the row are quoted in its file, 1 or 0 for each; NULL: as its layout says
ALTER TABLE jobs ADD COLUMN row_quoting TEXT;
"""

VERSION_8 = _VERSION_8_EXPORT
