"""Open the ledger for writing, and hand changes to its one writer task."""

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiosqlite

from batchcrew.base.clock import Clock, Uptime, machine_uptime, to_text
from batchcrew.base.errors import LedgerError
from batchcrew.ledger.connection import close_writer, open_next_to_writer, open_writer
from batchcrew.ledger.reading import Reading
from batchcrew.ledger.spill import SpillFile
from batchcrew.ledger.writer import Writer


def new_run_id() -> str:
    """Return the id of a new run."""
    return uuid.uuid4().hex


class Writes(Reading):
    """The two connections of a ledger that is open for writing, and its writer task.

    Args:
        path: the SQLite file.
        clock: the source of the moments that are written.
        new_id: makes the ids of runs; the ids of attempts begin with them.
        uptime: of this machine; it shows whether the wall clock was set.
        consequence: the end of an error's message: the effect on the executions in progress.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        new_id: Callable[[], str] = new_run_id,
        uptime: Callable[[], Uptime | None] = machine_uptime,
        consequence: str = "",
    ) -> None:
        super().__init__(path, clock=clock, consequence=consequence)
        self.path: Path = path
        self._new_id = new_id
        self._uptime = uptime
        self._write: aiosqlite.Connection | None = None
        self._writer: Writer | None = None
        self._intents = 0
        self._spill: SpillFile | None = None

    async def __aenter__(self) -> Self:
        self._write = await open_writer(self.path, consequence=self._consequence)
        try:
            self._read = await open_next_to_writer(self.path, consequence=self._consequence)
        except BaseException:
            await self._write.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                await self._writer.close()
        finally:
            # a connection left open would keep the interpreter alive
            if self._read is not None:
                await self._read.close()
            if self._write is not None:
                await close_writer(self._write)
            if self._spill is not None:
                await asyncio.to_thread(self._spill.close)

    def _now(self) -> str:
        return to_text(self._clock.now())

    def _new_attempt_id(self, run_id: str) -> str:
        self._intents += 1
        return f"{run_id}-{self._intents:06d}"  # in the order of time, so that the table's index grows at its end

    def _before_writer(self, what: str) -> aiosqlite.Connection:
        """Return the writing connection for work that needs it outside the writer task.

        Raises:
            LedgerError: the ledger is not open, or its writer task has started.
        """
        if self._writer is not None or self._write is None:
            raise LedgerError(f"a defect: {what} before the writer starts")
        return self._write

    @property
    def _writing(self) -> Writer:
        if self._writer is None:
            if self._write is None:
                raise LedgerError("a defect: the ledger is not open")
            self._writer = Writer(self._write, self._name, consequence=self._consequence)
        return self._writer
