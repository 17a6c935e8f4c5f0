"""The released versions 1 to 7 of the schema. Not even a comment here changes: ledgers store the comments."""

VERSION_1 = """
CREATE TABLE batches (
    id          INTEGER PRIMARY KEY,
    batch       TEXT NOT NULL UNIQUE,
    jobfile     TEXT NOT NULL,            -- path, as the latest run was given it
    digest      TEXT,                     -- of the job file that was taken in last; NULL: read it again
    columns     TEXT NOT NULL DEFAULT '[]', -- JSON array: the file's own columns, in order
    created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    batch_id    INTEGER NOT NULL REFERENCES batches (id),
    started_at  TEXT NOT NULL,
    ended_at    TEXT,                     -- NULL: it runs, or was killed
    pid         INTEGER NOT NULL,
    host        TEXT NOT NULL,
    version     TEXT NOT NULL,            -- of batchcrew
    kickoffs    INTEGER NOT NULL DEFAULT 0,
    stopped     TEXT,                     -- why it stopped with work left
    exit_code   INTEGER
) STRICT;
CREATE INDEX runs_of_batch ON runs (batch_id, started_at);

CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY,
    batch_id    INTEGER NOT NULL REFERENCES batches (id),
    job_id      TEXT NOT NULL,
    crew        TEXT NOT NULL,
    position    INTEGER NOT NULL,         -- order in the file, from 0
    present     INTEGER NOT NULL DEFAULT 1 CHECK (present IN (0, 1)), -- 0: it left the file
    state       TEXT NOT NULL DEFAULT 'pending'
                CHECK (state IN ('pending', 'open', 'succeeded', 'failed', 'held', 'cancelled')),
    not_before  TEXT NOT NULL DEFAULT '', -- a retry's time; '' is at once
    reason      TEXT,                     -- of the latest end that was no success
    attempts    INTEGER NOT NULL DEFAULT 0, -- rows in attempts
    charged     INTEGER NOT NULL DEFAULT 0, -- of those, how many count against retry.attempts
    fingerprint TEXT NOT NULL,            -- of crew, inputs and meta
    inputs      TEXT NOT NULL,            -- JSON object
    meta        TEXT NOT NULL,            -- JSON object
    row         TEXT NOT NULL,            -- JSON object: the file's own columns
    source      TEXT NOT NULL,            -- file:line
    updated_at  TEXT NOT NULL,
    UNIQUE (batch_id, job_id)
) STRICT;
-- counts, and the next jobs to start, without touching the table
CREATE INDEX jobs_by_state ON jobs (batch_id, present, state, crew, not_before, position);
CREATE INDEX jobs_in_order ON jobs (batch_id, position);

CREATE TABLE attempts (
    id             TEXT PRIMARY KEY,      -- sent as Idempotency-Key and meta.batchcrew.attempt
    job            INTEGER NOT NULL REFERENCES jobs (id),
    number         INTEGER NOT NULL,      -- from 1
    run_id         TEXT NOT NULL REFERENCES runs (id),
    state          TEXT NOT NULL
                   CHECK (state IN ('intended', 'kicked_off', 'succeeded', 'failed', 'timed_out', 'lost',
                                    'in_doubt', 'rejected', 'cancelled')),
    kickoff_id     TEXT,
    intended_at    TEXT NOT NULL,
    kicked_off_at  TEXT,
    ended_at       TEXT,
    reason         TEXT,
    progress       TEXT,                  -- JSON: current_task, completed_tasks, total_tasks as last seen
    output         TEXT,
    result_json    TEXT,                  -- JSON
    token_usage    TEXT,                  -- JSON object
    execution_time REAL,                  -- seconds, as the crew says
    answer         TEXT,                  -- the crew's last answer, whole, as it came
    CHECK (state <> 'kicked_off' OR kickoff_id IS NOT NULL),
    UNIQUE (job, number)
) STRICT;
-- at most one attempt of a job is open
CREATE UNIQUE INDEX attempts_open ON attempts (job) WHERE state IN ('intended', 'kicked_off');
CREATE INDEX attempts_in_doubt ON attempts (job) WHERE state = 'in_doubt';

CREATE TABLE task_results (
    attempt_id     TEXT NOT NULL REFERENCES attempts (id),
    position       INTEGER NOT NULL,
    task_id        TEXT NOT NULL,
    agent          TEXT,
    output         TEXT,
    execution_time REAL,                  -- seconds
    PRIMARY KEY (attempt_id, position)
) STRICT, WITHOUT ROWID;

CREATE VIEW results AS
SELECT b.batch, j.position, j.job_id, j.crew, j.state, a.output, a.result_json,
       CASE WHEN j.state = 'succeeded' THEN NULL ELSE coalesce(j.reason, a.reason) END AS error,
       j.charged AS attempts, a.kickoff_id, a.kicked_off_at AS started_at, a.ended_at,
       coalesce(a.execution_time,
                round((julianday(a.ended_at) - julianday(a.kicked_off_at)) * 86400.0, 3)) AS execution_time,
       a.token_usage, j.inputs, j.row
FROM jobs AS j JOIN batches AS b ON b.id = j.batch_id
LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
WHERE j.present = 1;

CREATE VIEW failures AS
SELECT b.batch, j.job_id, j.crew, j.state, j.reason, j.charged AS attempts, j.updated_at
FROM jobs AS j JOIN batches AS b ON b.id = j.batch_id
WHERE j.state IN ('failed', 'held') AND j.present = 1;

CREATE VIEW attempt_history AS
SELECT b.batch, j.job_id, j.crew, a.number, a.state, a.kickoff_id, a.intended_at, a.kicked_off_at, a.ended_at,
       a.reason, a.execution_time, a.id AS attempt, a.run_id
FROM attempts AS a JOIN jobs AS j ON j.id = a.job JOIN batches AS b ON b.id = j.batch_id;
"""

VERSION_2 = """
ALTER TABLE batches ADD COLUMN canary_passed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN told TEXT NOT NULL DEFAULT '[]'; -- JSON array: warnings that its latest run said
-- which server a run's crews were, so that a month's kickoffs can be counted over all batches
CREATE TABLE run_crews (
    run_id TEXT NOT NULL REFERENCES runs (id),
    crew   TEXT NOT NULL,
    url    TEXT NOT NULL,
    PRIMARY KEY (run_id, crew)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_crews_by_url ON run_crews (url);

-- where the watching of an execution is, from one tick to the next
ALTER TABLE attempts ADD COLUMN watch TEXT;      -- JSON: asked, absent, unclear, next_at
ALTER TABLE attempts ADD COLUMN attached INTEGER NOT NULL DEFAULT 0; -- 1: its kickoff_id came from a person
-- after these the crew may have run, or may be running still: kicked off again, it may have run twice
DROP INDEX attempts_in_doubt;
CREATE INDEX attempts_unsure ON attempts (job) WHERE state IN ('in_doubt', 'lost', 'timed_out');
-- what holds a crew's kickoffs back, from one tick (or run) to the next; crew '' is the whole batch
CREATE TABLE paces (
    batch_id INTEGER NOT NULL REFERENCES batches (id),
    crew     TEXT NOT NULL,
    state    TEXT NOT NULL,                       -- JSON; moments are seconds from saved_at
    saved_at TEXT NOT NULL,
    PRIMARY KEY (batch_id, crew)
) STRICT, WITHOUT ROWID;
ALTER TABLE runs ADD COLUMN kind TEXT NOT NULL DEFAULT 'run' CHECK (kind IN ('run', 'tick', 'attach'));
-- seconds since the machine started tell how far its clock was set between two runs
ALTER TABLE runs ADD COLUMN boot_id TEXT;        -- of the machine's start
ALTER TABLE runs ADD COLUMN uptime REAL;         -- seconds, at started_at
"""

VERSION_3 = """
ALTER TABLE batches ADD COLUMN jobfile_path TEXT;     -- absolute, as given (links are not resolved)
ALTER TABLE batches ADD COLUMN jobfile_from_ledger TEXT; -- the same, relative to the ledger's folder
ALTER TABLE batches ADD COLUMN jobfile_date TEXT;     -- what {date} was, where the job file uses it
ALTER TABLE batches ADD COLUMN failure_streak TEXT;   -- JSON: by crew, its failures in a row and their fingerprint
-- the same text for reasons that differ only in numbers, ids, quoted text and addresses
ALTER TABLE jobs ADD COLUMN reason_fingerprint TEXT;
ALTER TABLE attempts ADD COLUMN reason_fingerprint TEXT;
UPDATE jobs SET reason_fingerprint = reason_fingerprint_of(reason) WHERE reason IS NOT NULL;
UPDATE attempts SET reason_fingerprint = reason_fingerprint_of(reason) WHERE reason IS NOT NULL;

ALTER TABLE runs ADD COLUMN cost TEXT;                -- of its kickoffs, as shown: 12.50 USD
ALTER TABLE runs ADD COLUMN stop_detail TEXT;         -- why it stopped, in words
ALTER TABLE runs ADD COLUMN new_kind TEXT NOT NULL DEFAULT 'run'
    CHECK (new_kind IN ('run', 'tick', 'attach', 'recheck'));
UPDATE runs SET new_kind = kind;
ALTER TABLE runs DROP COLUMN kind;
ALTER TABLE runs RENAME COLUMN new_kind TO kind;

-- kickoffs of batches that were deleted: a month's budget still counts them
CREATE TABLE deleted_kickoffs (
    url      TEXT NOT NULL,
    day      TEXT NOT NULL,                           -- UTC date
    kickoffs INTEGER NOT NULL,
    PRIMARY KEY (url, day)
) STRICT, WITHOUT ROWID;

DROP VIEW failures;
CREATE VIEW failures AS
SELECT b.batch, j.job_id, j.crew, j.state, j.reason, j.charged AS attempts, j.updated_at, j.reason_fingerprint
FROM jobs AS j JOIN batches AS b ON b.id = j.batch_id
WHERE j.state IN ('failed', 'held') AND j.present = 1;

DROP VIEW attempt_history;
CREATE VIEW attempt_history AS
SELECT b.batch, j.job_id, j.crew, a.number, a.state, a.kickoff_id, a.intended_at, a.kicked_off_at, a.ended_at,
       a.reason, a.execution_time, a.id AS attempt, a.run_id, a.reason_fingerprint
FROM attempts AS a JOIN jobs AS j ON j.id = a.job JOIN batches AS b ON b.id = j.batch_id;
"""

VERSION_4 = """
-- what an attempt was started with, where its job has other inputs (or another crew) by now; NULL: as its job
ALTER TABLE attempts ADD COLUMN sent_inputs TEXT;     -- JSON object
ALTER TABLE attempts ADD COLUMN sent_crew TEXT;
ALTER TABLE attempts ADD COLUMN kept_inputs TEXT;     -- JSON object: other inputs that the answer was kept for before
-- such a job may have been edited since: what the answer was made from is not known (JSON null), and none takes it over
UPDATE attempts AS a SET sent_inputs = 'null' FROM jobs AS j
WHERE j.id = a.job AND a.state = 'succeeded' AND NOT (j.state = 'succeeded' AND a.number = j.attempts);
CREATE INDEX attempts_of_other_inputs ON attempts (job) WHERE sent_inputs IS NOT NULL;
-- JSON by crew: the names of the columns that are sent to it; NULL: not decided yet
ALTER TABLE batches ADD COLUMN sent_columns TEXT;
UPDATE batches SET sent_columns = '{"*":"all"}';      -- these jobs were taken in with every column
ALTER TABLE batches ADD COLUMN crews TEXT;            -- JSON by crew: every address that its job files gave
ALTER TABLE batches ADD COLUMN inputs_checked TEXT;   -- JSON by crew: the required inputs that all pending jobs have

DROP VIEW results;
DROP VIEW failures;
DROP VIEW attempt_history;
ALTER TABLE jobs DROP COLUMN fingerprint;             -- inputs are compared themselves
-- two more states; what is on disk stays as it is, so the constraint may be edited
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
    '''held'', ''cancelled'')', '''held'', ''cancelled'', ''stale'', ''waiting'')')
    WHERE type = 'table' AND name = 'jobs';
PRAGMA writable_schema = RESET;

CREATE VIEW results AS
SELECT b.batch, j.position, j.job_id, j.crew, j.state,
       CASE WHEN j.state <> 'stale' THEN a.output END AS output,
       CASE WHEN j.state <> 'stale' THEN a.result_json END AS result_json,
       CASE WHEN j.state IN ('succeeded', 'stale') THEN NULL ELSE coalesce(j.reason, a.reason) END AS error,
       j.charged AS attempts, a.kickoff_id, a.kicked_off_at AS started_at, a.ended_at,
       coalesce(a.execution_time,
                round((julianday(a.ended_at) - julianday(a.kicked_off_at)) * 86400.0, 3)) AS execution_time,
       a.token_usage, j.inputs, j.row,
       CASE WHEN j.state = 'stale' THEN a.output END AS stale_output,
       CASE WHEN j.state = 'stale' AND a.state = 'succeeded' THEN coalesce(a.sent_inputs, j.inputs) END AS stale_inputs
FROM jobs AS j JOIN batches AS b ON b.id = j.batch_id
LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
WHERE j.present = 1;

CREATE VIEW failures AS
SELECT b.batch, j.job_id, j.crew, j.state, j.reason, j.charged AS attempts, j.updated_at, j.reason_fingerprint
FROM jobs AS j JOIN batches AS b ON b.id = j.batch_id
WHERE j.state IN ('failed', 'held') AND j.present = 1;

CREATE VIEW attempt_history AS
SELECT b.batch, j.job_id, coalesce(a.sent_crew, j.crew) AS crew, a.number, a.state, a.kickoff_id, a.intended_at,
       a.kicked_off_at, a.ended_at, a.reason, a.execution_time, a.id AS attempt, a.run_id, a.reason_fingerprint,
       coalesce(a.sent_inputs, j.inputs) AS inputs
FROM attempts AS a JOIN jobs AS j ON j.id = a.job JOIN batches AS b ON b.id = j.batch_id;
"""

VERSION_5 = """
-- answers without an output: every summary counts them
CREATE INDEX attempts_without_output ON attempts (job, number)
    WHERE state = 'succeeded' AND trim(coalesce(output, ''), char(9, 10, 11, 12, 13, 32)) = '';
"""

VERSION_6 = """
-- why a rule of `accept:` rejected the answer of a failed attempt; NULL: no rule did
ALTER TABLE attempts ADD COLUMN answer_rejected TEXT;
-- the first answer that was not understood, as it came; NULL: all were
ALTER TABLE attempts ADD COLUMN first_answer TEXT;
-- JSON object: state, reason and attempts used before `retry` made the job pending; NULL once it was kicked off
ALTER TABLE jobs ADD COLUMN before_retry TEXT;
-- what `concurrency: auto` did
CREATE TABLE concurrency_changes (
    run_id  TEXT NOT NULL REFERENCES runs (id),
    crew    TEXT NOT NULL,
    at      TEXT NOT NULL,
    slots   INTEGER NOT NULL,
    reason  TEXT NOT NULL
) STRICT;
CREATE INDEX concurrency_changes_of_run ON concurrency_changes (run_id, crew);
-- how long the executions of a crew take, over all batches
CREATE TABLE crew_durations (
    address  TEXT PRIMARY KEY,
    state    TEXT NOT NULL,                       -- JSON: a histogram of seconds
    saved_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- of one kickoff of the crew in this run, as `0.50 USD`; NULL: not known
ALTER TABLE run_crews ADD COLUMN price TEXT;
-- the sum of a batch is read from the index alone; an answer of a crew may be any JSON
ALTER TABLE attempts ADD COLUMN total_tokens INTEGER AS (
    CASE WHEN json_valid(token_usage) THEN
        CASE WHEN json_type(token_usage, '$.total_tokens') IN ('integer', 'real') THEN
            CASE WHEN json_extract(token_usage, '$.total_tokens') BETWEEN 0 AND 1000000000000 THEN
                CAST(json_extract(token_usage, '$.total_tokens') AS INTEGER)
            END
        END
    END
) VIRTUAL;
CREATE INDEX attempts_ended ON attempts (run_id, state, total_tokens) WHERE state NOT IN ('intended', 'kicked_off');
-- groups of failures, without touching the table
CREATE INDEX jobs_failing ON jobs (batch_id, present, reason_fingerprint, state, updated_at, attempts)
    WHERE state IN ('failed', 'held');
"""

_VERSION_7_POLLS = """
-- JSON object: by which settings the run polls, and how long an execution may take; NULL: not known
ALTER TABLE runs ADD COLUMN polled_by TEXT;
"""

_VERSION_7_CONTROL = """
-- the commands that operators gave to a batch: pause, unpause, set, reset, cancel, stop
CREATE TABLE controls (
    id       INTEGER PRIMARY KEY,
    batch_id INTEGER NOT NULL REFERENCES batches (id),
    command  TEXT NOT NULL,
    value    TEXT,                                -- JSON: settings, names of settings, numbers of jobs
    at       TEXT NOT NULL,
    given_by TEXT NOT NULL,                       -- user@host
    reason   TEXT,
    run_id   TEXT                                 -- the latest run by then; of stop: the one it ends
) STRICT;
CREATE INDEX controls_of_batch ON controls (batch_id, id);
-- what is in force until it is taken back: a pause ('pause'), or a setting ('run.rate')
CREATE TABLE controls_in_force (
    batch_id INTEGER NOT NULL REFERENCES batches (id),
    name     TEXT NOT NULL,
    value    TEXT,                                -- JSON, as the job file writes it
    control  INTEGER NOT NULL REFERENCES controls (id),
    PRIMARY KEY (batch_id, name)
) STRICT, WITHOUT ROWID;
-- jobs whose executions are to be let go
CREATE TABLE cancel_requests (
    job     INTEGER PRIMARY KEY REFERENCES jobs (id),
    control INTEGER NOT NULL REFERENCES controls (id)
) STRICT;
"""

_VERSION_7_PEOPLE = """
-- human input that executions wait for: a task that is repeated waits again, in another row
CREATE TABLE waits (
    id          TEXT PRIMARY KEY,                 -- the wait_id of inboxes
    attempt_id  TEXT NOT NULL REFERENCES attempts (id),
    number      INTEGER NOT NULL,                 -- from 1, for each attempt
    task_id     TEXT NOT NULL,                    -- empty: the crew does not name it
    task        TEXT,
    output      TEXT,
    since       TEXT NOT NULL,
    next_poll   TEXT NOT NULL,                    -- the execution is not polled before
    ended_at    TEXT,                             -- NULL: it still waits
    resumed     INTEGER NOT NULL DEFAULT 0,       -- 1: a run watches the execution again
    decision    TEXT CHECK (decision IN ('approve', 'reject')),
    feedback    TEXT,
    decided_at  TEXT,
    answer      TEXT CHECK (answer IN ('intended', 'delivered', 'refused', 'in_doubt')),
    note        TEXT,                             -- what to know before deciding
    UNIQUE (attempt_id, number)
) STRICT;
CREATE UNIQUE INDEX waits_open ON waits (attempt_id) WHERE ended_at IS NULL;
CREATE INDEX waits_answered ON waits (attempt_id) WHERE ended_at IS NOT NULL AND resumed = 0;

CREATE VIEW inbox AS
SELECT b.batch, j.job_id, j.crew, w.id AS wait_id, w.since, w.task_id, w.task, w.output, w.note, a.kickoff_id
FROM waits AS w CROSS JOIN attempts AS a ON a.id = w.attempt_id
CROSS JOIN jobs AS j ON j.id = a.job CROSS JOIN batches AS b ON b.id = j.batch_id
WHERE w.ended_at IS NULL AND j.state = 'waiting';
"""

_VERSION_7_WEBHOOKS = """
-- hexadecimal; the tokens in the URLs of webhooks are derived from it
ALTER TABLE batches ADD COLUMN webhook_secret TEXT;
-- JSON object: the number of webhooks, by what became of them; NULL: its kickoffs named no webhooks
ALTER TABLE runs ADD COLUMN webhooks TEXT;
-- webhooks that arrived while no run received them; one row for each attempt that is open or in doubt
CREATE TABLE webhook_inbox (
    attempt_id  TEXT PRIMARY KEY,
    kickoff_id  TEXT,
    ended       INTEGER NOT NULL,                 -- 1: the execution has ended
    body        TEXT,                             -- only where the result in a webhook counts
    received_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

VERSION_7 = _VERSION_7_POLLS + _VERSION_7_CONTROL + _VERSION_7_PEOPLE + _VERSION_7_WEBHOOKS
