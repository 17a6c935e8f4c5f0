"""Apply the rules of the job file to stored answers, for `batchcrew judge`. Nothing is started or paid for."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from batchcrew.app.batches import known_batch
from batchcrew.app.recheck import recorded_source
from batchcrew.app.wiring import Source
from batchcrew.base.clock import Clock, to_text
from batchcrew.ledger import BatchKey, BatchLock, JudgedAttempt, JudgedJob, Ledger, LedgerReader, Reading, StoredAnswer
from batchcrew.model.job import JobState
from batchcrew.model.verdict import Answered, AnswerRules
from batchcrew.reports.judgements import Judgement, JudgeResult

AT_ONCE = 1000
"""Changed verdicts that are recorded in one transaction."""

Report: TypeAlias = Callable[[Judgement], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRequest:
    """The batch whose answers are judged."""

    ledger: Path
    batch: str
    source: Source
    """How the batch's job file is read; its path and date are those that the ledger has recorded."""
    dry_run: bool = False


async def judge(request: JudgeRequest, *, clock: Clock, report: Report) -> JudgeResult:
    """Judge the answers of succeeded jobs, and the rejected answers of failed jobs, by the rules of the job file now.

    Args:
        report: called with each job whose state changes, once it is durable.

    Raises:
        JobFileError, UsageError: the job file is wrong.
        NotInLedger: the batch was not found.
        BatchBusy: a run holds the batch.
    """
    async with AsyncExitStack() as stack:
        path, writing = request.ledger, None if request.dry_run else Ledger(request.ledger, clock=clock)
        ledger: Reading = await stack.enter_async_context(writing or LedgerReader(path, clock=clock))
        key = await known_batch(ledger, request.batch)
        if writing is not None:
            await stack.enter_async_context(BatchLock(path, key.batch, since=to_text(clock.now())))
        recorded = await ledger.recorded_jobfile(key.batch)
        assert recorded is not None  # noqa: S101 - there is such a batch
        source = await recorded_source(key.batch, request.source, recorded, path)
        jobfile, _ = await asyncio.to_thread(source.load)
        result = JudgeResult(batch=key.batch, ledger=str(path), dry_run=request.dry_run)
        await _Judge(ledger, writing, jobfile.rules, result, report).judge_all(key)
        result.stale, result.kept = await ledger.answers_of_other_inputs(key)
        result.counts = await ledger.counts(key)
    return result


class _Judge:
    """Judges answer by answer; memory does not grow with their number."""

    def __init__(
        self, ledger: Reading, writing: Ledger | None, rules: AnswerRules, result: JudgeResult, report: Report
    ) -> None:
        self._ledger = ledger
        self._writing = writing
        self._rules = rules
        self._result = result
        self._report = report
        self._changed: list[JudgedJob] = []

    async def judge_all(self, key: BatchKey) -> None:
        """Judge every answer of the batch."""
        job: JudgedJob | None = None
        async for answer in self._ledger.stored_answers(key):
            if job is not None and job.job_key != answer.job_key:
                await self._add(job)
                job = None
            if job is not None and job.accepted is not None:
                continue  # its older answers do not matter
            judged = JudgedAttempt(answer.attempt_id, answer.number, answer.answer_rejected, self._verdict(answer))
            before = () if job is None else job.attempts
            job = JudgedJob(answer.job_key, answer.job_id, answer.job_state, (*before, judged))
        if job is not None:
            await self._add(job)
        await self._record()

    def _verdict(self, answer: StoredAnswer) -> str | None:
        """Return why a rule rejects the answer, or None."""
        verdict = self._rules.judge(
            Answered(
                execution=answer.execution,
                job_id=answer.job_id,
                crew=answer.crew,
                inputs=answer.inputs,
                row=answer.row,
            )
        )
        result = self._result
        result.judged += 1
        if verdict.lookalike is not None:
            result.lookalikes += 1
            result.lookalike_example = result.lookalike_example or (answer.job_id, verdict.lookalike)
        return verdict.rejected

    async def _add(self, job: JudgedJob) -> None:
        if job.has_changed:
            self._changed.append(job)
        if len(self._changed) >= AT_ONCE:
            await self._record()

    async def _record(self) -> None:
        """Make the changed verdicts durable, then report those of jobs whose state or answer has changed."""
        if self._writing is not None and self._changed:
            await self._writing.judged(self._changed)
        for job in self._changed:
            if job.after is job.before and (job.after is JobState.FAILED or len(job.attempts) == 1):
                continue
            if job.after is not job.before:
                self._result.changed[job.after] += 1
            if job.after is JobState.FAILED:
                self._result.rejected_job = self._result.rejected_job or job.job_id
            self._report(_judgement(job))
        self._changed = []


def _judgement(job: JudgedJob) -> Judgement:
    reason = job.reason
    if job.accepted is not None and reason is not None:
        reason += f"; the answer of attempt {job.accepted.number} counts"
    return Judgement(job_id=job.job_id, before=job.before, after=job.after, reason=reason)
