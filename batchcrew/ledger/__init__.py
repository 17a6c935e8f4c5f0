"""The ledger: the SQLite file that knows every job, attempt and outcome. The only room with SQL.

`Ledger` is the door, with the questions of `reading.py`. `schema.py` holds the tables and their migrations,
`transitions.py` what may change and how, `runs.py` a run's own row, `staging.py` how a job file is taken in,
`queries.py` what is read, `writer.py` the one task that writes, `lock.py` the lock that makes one run per batch,
`clock_jumps.py` what a clock that was set must not change.
"""

from batchcrew.ledger.ledger import Claim, Ledger, Staged
from batchcrew.ledger.lock import BatchLock
from batchcrew.ledger.reading import BatchKey
from batchcrew.ledger.rechecks import EndedAttempt, Rechecked
from batchcrew.ledger.transitions import MonthBudget

__all__ = ["BatchKey", "BatchLock", "Claim", "EndedAttempt", "Ledger", "MonthBudget", "Rechecked", "Staged"]
