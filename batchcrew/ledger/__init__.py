"""The ledger: the SQLite file that records every job, attempt and outcome. The only package with SQL.

`Ledger` (ledger.py) writes, `LedgerReader` (reader.py) only reads; both have the queries of `Reading` (reading.py).
`ReportReader` (report_reader.py) has those of reports and of the live page too.

| module | contains |
|---|---|
| `reads/` | every query, by noun |
| `writes/` | every change as a method of `Ledger`, by noun |
| `connection.py`, `writer.py` | the connections, and the one task that writes |
| `schema.py`, `migrations.py` | tables and views, and how older ledgers are upgraded |
| `staging.py`, `comparing.py`, `merging.py` | a job file on its way into the ledger |
| `to_start.py` | the jobs that a run would start |
| `batch.py` | what the ledger has recorded of a batch |
| `transitions.py`, `attaching.py`, `rechecks.py`, `judging.py` | the states of attempts, and of their jobs |
| `waits.py` | executions that wait for human input, and the decisions about them |
| `watching.py` | the progress of an execution, and where the next tick continues to poll it |
| `stale.py`, `missing_inputs.py`, `retries.py` | the states of jobs without an attempt |
| `controlling.py` | the commands that operators give to a batch, also while it runs |
| `runs.py`, `clock_jumps.py`, `spill.py`, `lock.py` | runs, and one run per batch |
| `upkeep.py` | delete, vacuum, check for damage |
| `fetch.py`, `functions.py`, `json_text.py`, `naming.py` | helpers for cursors, SQL, JSON and long names |
"""

from batchcrew.ledger.batch import BatchKey, RecordedJobFile, SentColumns
from batchcrew.ledger.comparing import Staged
from batchcrew.ledger.connection import NEXT_RUN_RESUMES
from batchcrew.ledger.connection import lock_schema as schema_lock
from batchcrew.ledger.controlling import Cancelled
from batchcrew.ledger.judging import JudgedAttempt, JudgedJob
from batchcrew.ledger.ledger import Ledger
from batchcrew.ledger.lock import BatchLock, is_held
from batchcrew.ledger.naming import require_usable_name
from batchcrew.ledger.reader import LedgerReader, change_stamp
from batchcrew.ledger.reading import Reading
from batchcrew.ledger.reads.answers import StoredAnswer
from batchcrew.ledger.reads.rechecks import EndedAttempt
from batchcrew.ledger.reads.status import SHOWN_GROUPS
from batchcrew.ledger.rechecks import Rechecked
from batchcrew.ledger.retries import RetrySelection
from batchcrew.ledger.schema import CURRENT as CURRENT_SCHEMA
from batchcrew.ledger.staging import Duplicate
from batchcrew.ledger.to_start import ToStart
from batchcrew.ledger.transitions import Claim, MonthBudget
from batchcrew.ledger.upkeep import Vacuumed

__all__ = [
    "CURRENT_SCHEMA",
    "NEXT_RUN_RESUMES",
    "SHOWN_GROUPS",
    "BatchKey",
    "BatchLock",
    "Cancelled",
    "Claim",
    "Duplicate",
    "EndedAttempt",
    "JudgedAttempt",
    "JudgedJob",
    "Ledger",
    "LedgerReader",
    "MonthBudget",
    "Reading",
    "Rechecked",
    "RecordedJobFile",
    "RetrySelection",
    "SentColumns",
    "Staged",
    "StoredAnswer",
    "ToStart",
    "Vacuumed",
    "change_stamp",
    "is_held",
    "require_usable_name",
    "schema_lock",
]
