"""Create and upgrade the schema. A migration and its number are one transaction."""

import aiosqlite

from batchcrew.base.errors import LedgerError, LedgerTooNew
from batchcrew.ledger.fetch import one
from batchcrew.ledger.functions import install
from batchcrew.ledger.migrations import MIGRATIONS

OPEN_INDEX = "CREATE UNIQUE INDEX attempts_open ON attempts (job) WHERE state IN ('intended', 'kicked_off')"
"""At most one attempt of a job is open."""

CURRENT = len(MIGRATIONS)
"""The schema that this version writes and reads."""
APPLICATION_ID = 0x62637277  # "bcrw": it distinguishes a ledger from another program's SQLite file


async def version_of(connection: aiosqlite.Connection, name: str) -> int:
    """Return the number of the ledger's schema; 0 for an empty ledger.

    Raises:
        LedgerTooNew: a later batchcrew wrote it.
        LedgerError: it is another program's file.
    """
    # one statement, because another program may be creating the schema at this moment
    row = await one(
        connection,
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)"
        " FROM pragma_user_version, pragma_application_id",
    )
    assert row is not None  # noqa: S101 - each pragma has one row
    version, application, tables = (int(number) for number in row)
    if version > CURRENT:
        raise LedgerTooNew(
            f"{name} was written by a later batchcrew (its schema is {version}, this one knows {CURRENT}): "
            "update batchcrew, or name another --ledger"
        )
    if application != APPLICATION_ID and (version or tables):
        raise LedgerError(f"{name} belongs to another program; name another --ledger")
    return version


async def is_current(connection: aiosqlite.Connection, name: str) -> bool:
    """Return whether the ledger has this version's schema; False for an older or an empty one.

    Raises:
        LedgerTooNew, LedgerError: see `version_of`.
    """
    return await version_of(connection, name) == CURRENT


async def migrate(connection: aiosqlite.Connection, name: str) -> None:
    """Bring the ledger to this version's schema. The caller holds the schema's lock.

    Raises:
        LedgerTooNew, LedgerError: see `version_of`.
    """
    version = await version_of(connection, name)
    await install(connection)
    for number in range(version, CURRENT):
        # executescript would commit an open transaction first, so the script begins and commits its own
        await connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number + 1}; COMMIT;"
        )
