"""Version 8 of the schema."""

_VERSION_8_REPORT = """
-- the most executions that a run may have in progress, from its start on and after each change
CREATE TABLE run_slots (
    run_id   TEXT NOT NULL REFERENCES runs (id),
    at       TEXT NOT NULL,
    slots    INTEGER NOT NULL,
    adaptive INTEGER NOT NULL                     -- 1: `concurrency: auto` uses as many of them as the crews can run
) STRICT;
CREATE INDEX run_slots_of_run ON run_slots (run_id);
-- answers that jobs took over, or got back with their former inputs, instead of kickoffs
CREATE TABLE reused_answers (
    batch_id INTEGER NOT NULL REFERENCES batches (id),
    at       TEXT NOT NULL,
    crew     TEXT NOT NULL,
    answers  INTEGER NOT NULL
) STRICT;
CREATE INDEX reused_answers_of_batch ON reused_answers (batch_id);
"""

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

VERSION_8 = _VERSION_8_REPORT + _VERSION_8_EXPORT
