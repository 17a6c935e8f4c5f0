"""The ledger: the SQLite file that knows every job, attempt and outcome. The only package with SQL.

`Ledger` (ledger.py) writes, `LedgerReader` (reader.py) reads and never writes; both have the methods of `reading.py`.
`connection.py` opens the file, `schema.py` holds tables and migrations, `writer.py` the one task that writes,
`transitions.py` what may change and how. `staging.py`, `comparing.py` and `merging.py` bring a job file in, `stale.py`
and `missing_inputs.py` say what becomes of its jobs then. `queries.py` holds what is read, `runs.py` a run's own row,
`upkeep.py` backup, deletion and vacuum, `spill.py` the kickoff ids that the ledger could not take, `lock.py` the lock
that makes one run per batch, `clock_jumps.py` the effect of a clock that was set, `naming.py` how long a ledger's name
may be.
"""

from batchcrew.ledger.comparing import Staged
from batchcrew.ledger.connection import NEXT_RUN_RESUMES
from batchcrew.ledger.connection import lock_schema as schema_lock
from batchcrew.ledger.ledger import Claim, Ledger
from batchcrew.ledger.lock import BatchLock
from batchcrew.ledger.naming import require_usable_name
from batchcrew.ledger.reader import LedgerReader
from batchcrew.ledger.reading import BatchKey, Reading, RecordedJobFile, SentColumns
from batchcrew.ledger.rechecks import EndedAttempt, Rechecked
from batchcrew.ledger.schema import CURRENT as CURRENT_SCHEMA
from batchcrew.ledger.staging import Duplicate
from batchcrew.ledger.to_start import ToStart
from batchcrew.ledger.transitions import MonthBudget
from batchcrew.ledger.upkeep import Vacuumed

__all__ = [
    "CURRENT_SCHEMA",
    "NEXT_RUN_RESUMES",
    "BatchKey",
    "BatchLock",
    "Claim",
    "Duplicate",
    "EndedAttempt",
    "Ledger",
    "LedgerReader",
    "MonthBudget",
    "Reading",
    "Rechecked",
    "RecordedJobFile",
    "SentColumns",
    "Staged",
    "ToStart",
    "Vacuumed",
    "require_usable_name",
    "schema_lock",
]
