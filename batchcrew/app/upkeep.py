"""Maintain a ledger: backup, upgrade, delete and vacuum, each as one call."""

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from batchcrew.app.batches import known_batch
from batchcrew.base.clock import Clock, to_text
from batchcrew.base.disk import sync_folder
from batchcrew.base.errors import LedgerError, OutputError, UsageError
from batchcrew.base.sqlite_files import companion, create_private, is_database_file
from batchcrew.ledger import CURRENT_SCHEMA, BatchLock, Ledger, LedgerReader, Vacuumed, schema_lock
from batchcrew.model.run import Counts
from batchcrew.reports.export.output import why_not_written

BACKUP_EXAMPLE = "batchcrew-backup.db"


async def backup(ledger: Path, target: Path, *, clock: Clock) -> int:
    """Write a copy of the ledger, as of one moment, to the new file `target`; return its size in bytes.

    A run may continue meanwhile. The copy is checked, readable by its owner only, and appears once it is complete.

    Raises:
        UsageError: `target` exists, or a file of a database of that name does, or its folder cannot be written.
        OutputError: the disk is full.
        LedgerError: the ledger cannot be read, or the copy is damaged.
    """
    await asyncio.to_thread(_require_free, target, ledger)
    try:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix=".batchcrew-backup-", dir=target.parent)
    except OSError as error:
        raise UsageError(why_not_written(target, target.parent, error, example=BACKUP_EXAMPLE)) from error
    copy = Path(folder) / "ledger.db"
    try:
        async with LedgerReader(ledger, clock=clock, any_schema=True) as reader:
            await asyncio.to_thread(create_private, copy)
            found = await reader.backup(copy)
        if found is not None:
            raise LedgerError(f"ledger {ledger}: its backup is damaged ({found}); nothing was written")
        return await asyncio.to_thread(_put_in_place, copy, target)
    except OutputError as error:
        raise OutputError(
            f"{target} cannot be written: {error}; free up space, or name a file on another disk"
        ) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _require_free(target: Path, ledger: Path) -> None:
    """Check that a backup can be written to `target`.

    Raises:
        UsageError: it exists, or SQLite would read the copy as a part of another database.
    """
    if str(target) == "-":
        raise UsageError("a backup is written to a file, not to stdout: '-'; name a file")
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise UsageError(why_not_written(target, target.parent, error, example=BACKUP_EXAMPLE)) from error
    if os.path.lexists(target):
        raise UsageError(f"{target} already exists (a backup never overwrites a file); name another file")
    if is_database_file(target, ledger):
        raise UsageError(f"{target} is reserved for a file of the ledger; name another file")
    for suffix in ("-wal", "-journal"):
        left = companion(target, suffix)
        if os.path.lexists(left):  # SQLite would apply it to the copy
            raise UsageError(f"{left} is left over from another database; remove it, or name another file")


def _put_in_place(copy: Path, target: Path) -> int:
    size = copy.stat().st_size
    try:
        os.link(copy, target)  # unlike a rename it overwrites nothing
    except FileExistsError:
        raise UsageError(f"{target} already exists (a backup never overwrites a file); name another file") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise UsageError(f"{target} already exists (a backup never overwrites a file); name another file") from None
        try:
            copy.rename(target)
        except OSError as error:
            raise UsageError(why_not_written(target, target.parent, error, example=BACKUP_EXAMPLE)) from error
    with contextlib.suppress(OSError):  # it is complete; some file systems cannot sync a folder
        sync_folder(target.parent)
    return size


async def upgrade(ledger: Path, *, clock: Clock) -> tuple[int, int]:
    """Bring the ledger to this version's schema; return its number before and after.

    Raises:
        LedgerTooNew: a later batchcrew wrote it.
        LedgerError: it cannot be written.
    """
    async with LedgerReader(ledger, clock=clock, any_schema=True) as reader:
        before = reader.version
    async with Ledger(ledger, clock=clock):
        return before, CURRENT_SCHEMA


async def counts_of(ledger: Path, batch: str, *, clock: Clock) -> Counts:
    """Return the number of jobs that would be deleted with the batch.

    Raises:
        NotInLedger: the ledger has no such batch.
    """
    async with LedgerReader(ledger, clock=clock) as reader:
        return await reader.counts(await known_batch(reader, batch))


async def delete(ledger: Path, batch: str, *, clock: Clock) -> int:
    """Delete a batch: its jobs, attempts, answers and runs. Return how many jobs it had.

    Kickoffs of this month still count for `max_kickoffs_per_month`. The file keeps its size until it is vacuumed.

    Raises:
        BatchBusy: a run holds the batch.
        NotInLedger: the ledger has no such batch.
    """
    async with (
        BatchLock(ledger, batch, since=to_text(clock.now())),
        Ledger(ledger, clock=clock) as opened,
    ):
        return await opened.delete(batch)


async def vacuum(ledger: Path, *, clock: Clock) -> Vacuumed:
    """Rebuild the ledger's file without its unused pages.

    Every batch is held meanwhile: a run that starts then ends with exit 4 and has done nothing.

    Raises:
        BatchBusy: a run holds a batch of the ledger.
    """
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(Ledger(ledger, clock=clock))
        lock = await asyncio.to_thread(schema_lock, ledger)
        stack.push_async_callback(asyncio.to_thread, lock.release)
        for line in await opened.batches():
            await stack.enter_async_context(BatchLock(ledger, line.batch, since=to_text(clock.now())))
        return await opened.vacuum()
