"""Version 8 of the schema. Once it is released, not even a comment here changes: ledgers store the comments."""


def _count(name: str, key: str) -> str:
    """Return a column that takes a number of tokens, or of requests, from `token_usage`; anything else is NULL."""
    return f"""
ALTER TABLE attempts ADD COLUMN {name} INTEGER AS (
    CASE WHEN json_valid(token_usage) THEN
        CASE WHEN json_type(token_usage, '$.{key}') IN ('integer', 'real') THEN
            CASE WHEN json_extract(token_usage, '$.{key}') BETWEEN 0 AND 1000000000000 THEN
                CAST(json_extract(token_usage, '$.{key}') AS INTEGER)
            END
        END
    END
) VIRTUAL;"""


_PROMPT = "a.prompt_tokens * CAST(c.prompt_price AS REAL) / 1000"
_COMPLETION = "a.completion_tokens * CAST(c.completion_price AS REAL) / 1000"
_OF_TOKENS = f"""CASE
               WHEN a.prompt_tokens IS NULL AND a.completion_tokens IS NULL AND c.prompt_price = c.completion_price
               THEN a.total_tokens * CAST(c.prompt_price AS REAL) / 1000
               ELSE coalesce({_PROMPT} + {_COMPLETION}, {_PROMPT}, {_COMPLETION}) END"""

_VERSION_8_REPORT = """
-- the most executions that a run may have in progress, from its start on and after each change
CREATE TABLE run_slots (
    run_id   TEXT NOT NULL REFERENCES runs (id),
    at       TEXT NOT NULL,
    slots    INTEGER NOT NULL,
    adaptive INTEGER NOT NULL                     -- 1: `concurrency: auto` uses as many of them as the crews can run
) STRICT;
CREATE INDEX run_slots_of_run ON run_slots (run_id);
-- the times of a batch, for its report, without touching the pages with answers
CREATE INDEX attempts_times ON attempts (
    run_id, state, intended_at, kicked_off_at, ended_at, execution_time, job, sent_crew
) WHERE state NOT IN ('intended', 'kicked_off');
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

_VERSION_8_MONEY = f"""
{_count("prompt_tokens", "prompt_tokens")}
{_count("completion_tokens", "completion_tokens")}
{_count("cached_tokens", "cached_prompt_tokens")}
{_count("successful_requests", "successful_requests")}
-- how often another job, or the same one after its inputs had changed back, took this answer instead of a kickoff
ALTER TABLE attempts ADD COLUMN reused INTEGER NOT NULL DEFAULT 0;
CREATE INDEX attempts_reused ON attempts (run_id) WHERE reused > 0;
-- tokens and money are added up from this index alone
DROP INDEX attempts_ended;
CREATE INDEX attempts_ended ON attempts
    (run_id, state, total_tokens, prompt_tokens, completion_tokens, job, sent_crew)
    WHERE state NOT IN ('intended', 'kicked_off');

-- of 1,000 tokens of the crew in this run, as `0.01 USD`; NULL: none is known
ALTER TABLE run_crews ADD COLUMN prompt_price TEXT;
ALTER TABLE run_crews ADD COLUMN completion_price TEXT;
ALTER TABLE run_crews ADD COLUMN currency TEXT AS (
    CASE WHEN instr(coalesce(price, prompt_price, completion_price), ' ') > 0
        THEN substr(coalesce(price, prompt_price, completion_price),
            instr(coalesce(price, prompt_price, completion_price), ' ') + 1)
        WHEN coalesce(price, prompt_price, completion_price) IS NOT NULL THEN ''
    END
) VIRTUAL;
-- what kickoffs of deleted batches have cost: a month's `max_cost` still counts it
CREATE TABLE deleted_costs (
    month    TEXT NOT NULL,                           -- local time: 2026-11
    currency TEXT NOT NULL,
    least    TEXT NOT NULL,                           -- decimal numbers
    most     TEXT NOT NULL,
    PRIMARY KEY (month, currency)
) STRICT, WITHOUT ROWID;

-- `cost` is what is known: NULL without a price, and for a kickoff in doubt; tokens that are not known cost nothing
CREATE VIEW attempt_costs AS
SELECT a.id AS attempt, a.job, a.run_id, a.state, coalesce(a.sent_crew, j.crew) AS crew, a.intended_at,
       a.prompt_tokens, a.completion_tokens,
       coalesce(a.total_tokens, a.prompt_tokens + a.completion_tokens) AS total_tokens,
       a.cached_tokens, a.successful_requests,
       CASE WHEN a.state IN ('intended', 'in_doubt') THEN NULL
           WHEN a.state = 'rejected' THEN CASE WHEN c.currency IS NOT NULL THEN 0.0 END
           WHEN c.price IS NULL THEN round({_OF_TOKENS}, 9)
           ELSE round(CAST(c.price AS REAL) + coalesce({_OF_TOKENS}, 0.0), 9) END AS cost,
       c.currency
FROM attempts AS a JOIN jobs AS j ON j.id = a.job
LEFT JOIN run_crews AS c ON c.run_id = a.run_id AND c.crew = coalesce(a.sent_crew, j.crew);

-- by run, crew and month (local time); currencies are never added up
CREATE VIEW spending AS
SELECT b.batch, m.run_id, m.crew, strftime('%Y-%m', m.intended_at, 'localtime') AS month, m.currency,
       sum(m.state NOT IN ('rejected', 'intended')) AS kickoffs, sum(m.prompt_tokens) AS prompt_tokens,
       sum(m.completion_tokens) AS completion_tokens, sum(m.total_tokens) AS total_tokens,
       round(sum(m.cost), 9) AS cost,
       round(sum(CASE WHEN m.state IN ('failed', 'timed_out', 'lost', 'cancelled') THEN m.cost END), 9) AS wasted
FROM attempt_costs AS m JOIN runs AS r ON r.id = m.run_id JOIN batches AS b ON b.id = r.batch_id
GROUP BY b.batch, m.run_id, m.crew, month, m.currency;

DROP VIEW results;
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
       CASE WHEN j.state = 'stale' AND a.state = 'succeeded' THEN coalesce(a.sent_inputs, j.inputs) END AS stale_inputs,
       -- of all attempts of the job
       (SELECT sum(m.prompt_tokens) FROM attempt_costs AS m WHERE m.job = j.id) AS prompt_tokens,
       (SELECT sum(m.completion_tokens) FROM attempt_costs AS m WHERE m.job = j.id) AS completion_tokens,
       (SELECT sum(m.total_tokens) FROM attempt_costs AS m WHERE m.job = j.id) AS total_tokens,
       (SELECT sum(m.cached_tokens) FROM attempt_costs AS m WHERE m.job = j.id) AS cached_tokens,
       (SELECT sum(m.successful_requests) FROM attempt_costs AS m WHERE m.job = j.id) AS successful_requests,
       (SELECT CASE WHEN count(DISTINCT m.currency) = 1 THEN round(sum(m.cost), 9) END
           FROM attempt_costs AS m WHERE m.job = j.id AND m.cost IS NOT NULL) AS cost,
       (SELECT group_concat(DISTINCT m.currency)
           FROM attempt_costs AS m WHERE m.job = j.id AND m.cost IS NOT NULL) AS currency
FROM jobs AS j JOIN batches AS b ON b.id = j.batch_id
LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempts
WHERE j.present = 1;

DROP VIEW attempt_history;
CREATE VIEW attempt_history AS
SELECT b.batch, j.job_id, m.crew, a.number, a.state, a.kickoff_id, a.intended_at,
       a.kicked_off_at, a.ended_at, a.reason, a.execution_time, a.id AS attempt, a.run_id, a.reason_fingerprint,
       coalesce(a.sent_inputs, j.inputs) AS inputs, m.prompt_tokens, m.completion_tokens, m.total_tokens,
       m.cached_tokens, m.successful_requests, m.cost, m.currency
FROM attempts AS a JOIN jobs AS j ON j.id = a.job JOIN batches AS b ON b.id = j.batch_id
JOIN attempt_costs AS m ON m.attempt = a.id;
"""

_VERSION_8_HUMAN_WEBHOOKS = """
-- 1: a webhook has reported that the execution waits for human input, and no run has noticed it yet
ALTER TABLE webhook_inbox ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
"""

VERSION_8 = _VERSION_8_REPORT + _VERSION_8_EXPORT + _VERSION_8_MONEY + _VERSION_8_HUMAN_WEBHOOKS
