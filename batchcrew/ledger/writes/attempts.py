"""Record attempts: their intent, their kickoff_id, their progress and their outcome."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial

import aiosqlite

from batchcrew.base.clock import to_text
from batchcrew.base.errors import MAX_PROBLEMS, JobFileError, LedgerError, NotRecorded, Problem, UsageError
from batchcrew.ledger import attaching, judging, rechecks, transitions, watching
from batchcrew.ledger.batch import BatchKey
from batchcrew.ledger.judging import JudgedJob
from batchcrew.ledger.rechecks import Rechecked
from batchcrew.ledger.spill import SpilledKickoff
from batchcrew.ledger.transitions import Claim, MonthBudget, Wanted
from batchcrew.ledger.writes.base import Writes
from batchcrew.model.attempt import Attempt, Outcome, Progress, Watch
from batchcrew.model.job import JobState, Location


class AttemptWrites(Writes):
    """Write attempts to the ledger."""

    async def claim(
        self,
        key: BatchKey,
        run_id: str,
        *,
        crew: str,
        limit: int,
        retries: int | None = None,
        budget: MonthBudget | None = None,
    ) -> Claim:
        """Open up to `limit` pending jobs of a crew; their intents are durable when this returns.

        A `budget` is counted in the same transaction, over all batches: two of them cannot overspend it.

        Args:
            retries: most due retries that come before the crew's new jobs. Default: `limit`.
        """
        now = self._now()

        async def work(connection: aiosqlite.Connection) -> Claim:
            most = limit
            if budget is not None:
                most = min(limit, await transitions.budget_left(connection, budget))
                if not most:
                    return Claim([], spent=True)
            new_id = partial(self._new_attempt_id, run_id)
            wanted = Wanted(crew, most, most if retries is None else retries)
            return await transitions.claim(connection, key, run_id, wanted, now=now, new_id=new_id)

        return await self._writing.call(work)

    async def kicked_off(self, attempt: Attempt, kickoff_id: str) -> str:
        """Record that the crew accepted the attempt. Return the moment that was written.

        Raises:
            NotRecorded: the ledger cannot be written; the kickoff_id is in the spill file, if the error says so.
        """
        now = self._now()
        try:
            await self._writing.change(*transitions.kick_off(attempt, kickoff_id, now))
        except LedgerError as error:
            kickoff = SpilledKickoff(attempt=attempt.attempt_id, kickoff_id=kickoff_id, at=now)
            spilled = self._spill is not None and await asyncio.to_thread(self._spill.add, kickoff)
            raise NotRecorded(str(error), spilled=spilled) from error
        return now

    async def ended(self, attempt: Attempt, outcome: Outcome, *, failure_streaks: str | None = None) -> None:
        """End the attempt, and its job with it (or the job waits for its retry).

        Args:
            failure_streaks: the batch's failures in a row as JSON, this outcome included; None: unchanged.
        """
        not_before = ""
        if outcome.job_state is JobState.PENDING and outcome.retry_in is not None:
            not_before = to_text(self._clock.now() + timedelta(seconds=outcome.retry_in))
        now = self._now()
        if attempt.answered_at_once and failure_streaks is not None:  # with the same commit, if that succeeds
            self._writing.change_soon(transitions.save_streaks(attempt, failure_streaks))
        await self._writing.change(
            *transitions.end(attempt, outcome, now=now, not_before=not_before, failure_streaks=failure_streaks)
        )

    def progressed(self, attempt: Attempt, seen: Progress) -> None:
        """Record the progress of an execution with the next commit."""
        self._writing.change_soon(watching.progress(attempt, seen))

    def not_understood(self, attempt: Attempt, body: str) -> None:
        """Record an answer that was not understood with the next commit; only the first one of an attempt is kept."""
        self._writing.change_soon(watching.first_answer(attempt, body))

    def watched(self, attempt: Attempt, watch: Watch) -> None:
        """Record, with the next commit, where the next tick continues to poll."""
        self._writing.change_soon(watching.watch(attempt, watch))

    async def attach(self, key: BatchKey, run_id: str, pairs: Iterable[tuple[Location, str, str]]) -> int:
        """Record executions that batchcrew did not start, all or none; return how many.

        Args:
            pairs: (place in the file that names it, job_id, kickoff_id).

        Raises:
            JobFileError: some pairs are not possible; it has their places.
        """
        now = self._now()

        async def work(connection: aiosqlite.Connection) -> int:
            problems: list[Problem] = []
            number = 0
            for where, job_id, kickoff_id in pairs:
                execution = attaching.Attachment(
                    run_id=run_id, job_id=job_id, kickoff_id=kickoff_id, attempt_id=self._new_attempt_id(run_id)
                )
                try:
                    await attaching.attach(connection, key.id, execution, now)
                    number += 1
                except UsageError as error:
                    problems.append(Problem(file=where.file, line=where.line, column=where.column, message=str(error)))
                    if len(problems) > MAX_PROBLEMS:
                        break
            if problems:
                raise JobFileError(problems)
            return number

        return await self._writing.call(work)

    async def recheck(self, found: Rechecked) -> None:
        """Record the crew's new report about an attempt that had ended and whose job has not succeeded."""
        now = self._now()
        await self._writing.call(lambda connection: rechecks.record(connection, found, now))

    async def judged(self, jobs: Sequence[JudgedJob]) -> None:
        """Record changed verdicts on stored answers, all in one transaction."""
        now = self._now()
        await self._writing.call(lambda connection: judging.record(connection, jobs, now))
