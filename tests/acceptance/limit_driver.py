"""`batchcrew ARGUMENTS` whose ledger takes no kickoff_id: the disk is full just when the answers arrive.

With `SPILL=full` in the environment, the spill file takes none either.
"""

import asyncio
import os
import sqlite3
import sys
from typing import Any

from batchcrew.cli import main
from batchcrew.ledger import writer
from batchcrew.ledger.spill import SpilledKickoff, SpillFile

real = writer._apply


async def full(connection: Any, statement: writer.Statement, rows: Any) -> None:
    """SQLite's own error, at the statement that records a kickoff_id."""
    if statement.precious:
        await asyncio.sleep(0)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error
    await real(connection, statement, rows)


def refused(self: SpillFile, kickoff: SpilledKickoff) -> bool:
    """Fail as `SpillFile.add` does on a full disk."""
    return False


if __name__ == "__main__":
    writer._apply = full
    if os.environ.get("SPILL") == "full":
        SpillFile.add = refused  # type: ignore[method-assign]
    main(sys.argv[1:])
