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
-- the times of a batch, for its report, without touching the pages with answers
CREATE INDEX attempts_times ON attempts (
    run_id, state, intended_at, kicked_off_at, ended_at, execution_time, job, sent_crew
) WHERE state NOT IN ('intended', 'kicked_off');
"""

VERSION_8 = _VERSION_8_REPORT
