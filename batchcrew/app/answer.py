"""Send decisions to executions that wait for human input, each once, for `batchcrew answer`.

A decision is durable before its request leaves. If the answer of `/resume` is lost, the status of the execution
decides: an approval that still waits is sent again, which changes nothing if it has arrived; a rejection may have made
the crew repeat its task already, so you decide again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchcrew.app.answer_sheet import Entry, check_known, read_sheet
from batchcrew.app.webhook_extras import kickoff_extras
from batchcrew.app.webhooks import resume_urls
from batchcrew.app.wiring import Source, open_crews, open_former
from batchcrew.base.clock import Clock, to_text
from batchcrew.base.errors import BatchBusy, CrewUnusable, UsageError, first_error
from batchcrew.config.crews import ServedCrew
from batchcrew.crew import CrewClient
from batchcrew.engine import Stop
from batchcrew.jobfile import JobFile
from batchcrew.ledger import BatchKey, BatchLock, Ledger
from batchcrew.model.answers import Answered, AnswerResult, Finding
from batchcrew.model.crew_answers import Busy, Doubtful, NotResumed, NotSent, Resumed, Unusable
from batchcrew.model.execution import Execution, ExecutionState
from batchcrew.model.waits import AnswerState, Decision, Wait

AT_ONCE = 5
"""Decisions that are sent at the same time."""
TRIES = 3
FIRST_WAIT_SECONDS = 0.5
PAGE = 200
"""Decisions that are read from the ledger together."""
ON_HOLD = "a rejection was sent and its answer was lost: the crew may have repeated the task already; decide again"
_SETTLE_LATER = "the decision may have arrived, and the crew gives no clear status; run the same command again"


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """The decisions about a batch: about one job, or a sheet."""

    batch: BatchKey
    source: Source
    """The batch's job file: its crews and tokens are used."""
    job_id: str | None = None
    decision: Decision | None = None
    task_id: str = ""
    wait_id: str = ""
    """The question that the decision is about; empty: whatever the job waits for now."""
    sheet: Path | None = None


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """The services that answering needs from its caller."""

    stop: Stop
    clock: Clock
    report: Callable[[Answered], None]
    """Called with the result of each decision, once it is durable."""
    warn: Callable[[str], None]


async def answer(request: AnswerRequest, context: AnswerContext, *, ledger: Ledger) -> AnswerResult:
    """Send decisions. A run of the batch may continue meanwhile.

    Raises:
        JobFileError, UsageError: the sheet, or the job file, is wrong; nothing was sent.
        BatchBusy: another call sends decisions about this batch.
        CrewUnusable: a crew refuses the token, or cannot be reached.
    """
    assert ledger.path is not None  # noqa: S101 - opened by its path
    jobfile, _ = await asyncio.to_thread(request.source.load)
    lock = BatchLock(ledger.path, f"{request.batch.batch} (answers)", since=to_text(context.clock.now()))
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(lock)
        except BatchBusy:
            raise BatchBusy(f"another call answers for batch {request.batch.batch}; nothing was sent") from None
        entries, undecided = await _entries(request, ledger)
        work = _Answering(ledger, jobfile, context, request, AnswerResult(undecided=undecided))
        await work.open(stack)
        await work.settle_earlier()
        await work.send_all(entries)
        result = work.result
        result.waiting = await ledger.waiting_now(request.batch)
        return result


async def _entries(request: AnswerRequest, ledger: Ledger) -> tuple[Sequence[Entry], int]:
    """Return the checked decisions, and the number of rows without one."""
    if request.sheet is not None:
        sheet = await asyncio.to_thread(read_sheet, request.sheet)
        known: dict[str, Wait] = {}
        for start in range(0, len(sheet.entries), PAGE):
            page = [entry.wait_id for entry in sheet.entries[start : start + PAGE]]
            known |= await ledger.waits_by_id(request.batch, page)
        check_known(request.sheet, sheet, known)
        return sheet.entries, sheet.undecided
    assert request.job_id is not None  # noqa: S101 - one of the two is given
    assert request.decision is not None  # noqa: S101
    wait = await ledger.wait_of_job(request.batch, request.job_id)
    if wait is None:
        state = (await ledger.job(request.batch, request.job_id)).state
        raise UsageError(f"job {request.job_id!r} does not wait for human input: it is {state}")
    if request.wait_id and request.wait_id != wait.wait_id:
        raise UsageError(f"job {request.job_id!r} now waits with another question; nothing was sent")
    task_id = request.task_id or wait.question.task_id
    if not task_id:
        raise UsageError(f"job {request.job_id!r}: the crew does not name the task; name it with --task")
    return [Entry(wait_id=wait.wait_id, decision=request.decision, task_id=request.task_id)], 0


@dataclass
class _Answering:
    """Sends the decisions, `AT_ONCE` at the same time."""

    ledger: Ledger
    jobfile: JobFile
    context: AnswerContext
    request: AnswerRequest
    result: AnswerResult
    clients: Mapping[str, CrewClient] = field(default_factory=dict)
    former: Mapping[tuple[str, str], CrewClient] = field(default_factory=dict)
    settled: Counter[str] = field(default_factory=Counter)
    """The waits that an earlier call had left unsettled."""

    async def open(self, stack: AsyncExitStack) -> None:
        """Open clients of the crews and of their former addresses; `stack` closes them."""
        context, path = self.context, self.ledger.path
        crews = {name: crew for name, crew in self.jobfile.crews.items() if not isinstance(crew, ServedCrew)}
        jobfile = replace(self.jobfile, crews=crews)
        self.clients = await stack.enter_async_context(
            open_crews(jobfile, concurrency=AT_ONCE, ledger=path, clock=context.clock, warn=context.warn)
        )
        if self.request.source.options.crew_url is None:  # otherwise the operator has named the address
            known = await self.ledger.addresses(self.request.batch)
            self.former = await stack.enter_async_context(
                open_former(jobfile, known, concurrency=AT_ONCE, clock=context.clock, warn=context.warn)
            )
        webhooks = await resume_urls(self.jobfile.webhooks, self.ledger, self.request.batch)
        named = [*self.clients.items(), *((crew, client) for (crew, _), client in self.former.items())]
        for name, client in named:
            client.extras = kickoff_extras(self.jobfile.crews.get(name), self.jobfile.run, webhooks)

    async def settle_earlier(self) -> None:
        """Settle the decisions that a killed call may have sent."""
        for wait in await self.ledger.unsettled_waits(self.request.batch):
            assert wait.decision is not None  # noqa: S101 - it is intended
            self.settled[wait.wait_id] += 1
            client = self._client_of(wait)
            if client is None:
                self._report(wait, Finding.UNSETTLED, self._no_client(wait))
            else:
                await self._settle(client, wait, wait.decision, wait.question.task_id)

    async def send_all(self, entries: Sequence[Entry]) -> None:
        """Send each decision once."""
        for start in range(0, len(entries), AT_ONCE):
            if self.context.stop.requested:
                self.result.stopped = True
                return
            page = entries[start : start + AT_ONCE]
            waits = await self.ledger.waits_by_id(self.request.batch, [entry.wait_id for entry in page])
            try:
                async with asyncio.TaskGroup() as group:
                    for entry in page:
                        group.create_task(self._answer(entry, waits[entry.wait_id]))
            except BaseExceptionGroup as errors:
                raise first_error(errors) from errors

    async def _answer(self, entry: Entry, wait: Wait) -> None:
        if self.settled[wait.wait_id]:  # reported already
            return
        if wait.answer is AnswerState.DELIVERED and wait.decision == entry.decision:
            self._report(wait, Finding.BEFORE)
            return
        if not wait.is_open or wait.answer is not None:
            self._report(wait, Finding.STALE, "it was decided, or the task waits again with another output")
            return
        client = self._client_of(wait)
        if client is None:
            self._report(wait, Finding.REFUSED, self._no_client(wait))
        elif not await self.ledger.intend_answer(wait.wait_id, entry.decision):
            self._report(wait, Finding.STALE, "it was decided meanwhile")
        else:
            await self._send(client, wait, entry.decision, entry.task_id or wait.question.task_id)

    async def _send(
        self, client: CrewClient, wait: Wait, decision: Decision, task_id: str, *, maybe_sent: bool = False
    ) -> None:
        """Send a decision whose intent is durable.

        Args:
            maybe_sent: it may have arrived already.
        """
        reason = ""
        for attempt in range(TRIES):
            answer = await client.resume(wait.attempt, task_id, decision)
            match answer:
                case Resumed():
                    await self._delivered(wait)
                    return
                case NotResumed(reason):
                    await self._not_resumed(client, wait, reason, maybe_sent=maybe_sent)
                    return
                case Doubtful():
                    await self._settle(client, wait, decision, task_id, again=not maybe_sent)
                    return
                case Unusable(reason):
                    if not maybe_sent:
                        await self.ledger.answer_withdrawn(wait.wait_id)
                    raise CrewUnusable(f"crew {wait.attempt.crew}: {reason}")
                case Busy(reason) | NotSent(reason):
                    longest = max(FIRST_WAIT_SECONDS * 2**attempt, min(getattr(answer, "retry_after", 0.0) or 0.0, 10))
                    await self.context.clock.sleep(longest)
        if maybe_sent:
            self._report(wait, Finding.UNSETTLED, reason)
            return
        await self.ledger.answer_withdrawn(wait.wait_id)
        self._report(wait, Finding.NOT_SENT, reason)

    async def _settle(
        self, client: CrewClient, wait: Wait, decision: Decision, task_id: str, *, again: bool = True
    ) -> None:
        """Find out from the status whether a decision that may have arrived took effect.

        Args:
            again: an approval that still waits is sent again.
        """
        seen = await self._status(client, wait)
        if seen is None or (decision.approve and not again and self._still_waits(seen, wait)):
            self._report(wait, Finding.UNSETTLED, _SETTLE_LATER)
        elif not self._still_waits(seen, wait):
            await self._delivered(wait)
        elif decision.approve and not task_id:  # its id was given with an earlier command
            await self.ledger.answer_withdrawn(wait.wait_id)
            self._report(wait, Finding.UNSETTLED, "it still waits; name its task with --task")
        elif decision.approve:
            await self._send(client, wait, decision, task_id, maybe_sent=True)
        else:
            await self.ledger.answer_in_doubt(wait.wait_id, ON_HOLD)
            self._report(wait, Finding.ON_HOLD, ON_HOLD)

    async def _not_resumed(self, client: CrewClient, wait: Wait, reason: str, *, maybe_sent: bool) -> None:
        """Record that the crew refused a decision: it waits no longer, or the decision is wrong."""
        seen = await self._status(client, wait)
        if seen is None or self._still_waits(seen, wait):
            if not maybe_sent:
                await self.ledger.answer_withdrawn(wait.wait_id)
            self._report(wait, Finding.REFUSED, reason)
        elif maybe_sent:
            await self._delivered(wait)
        else:
            await self.ledger.answered(wait.wait_id, AnswerState.REFUSED)
            self._report(wait, Finding.STALE, f"it was answered elsewhere ({reason})")

    async def _delivered(self, wait: Wait) -> None:
        await self.ledger.answered(wait.wait_id, AnswerState.DELIVERED)
        self._report(wait, Finding.ANSWERED)

    @staticmethod
    def _still_waits(seen: Execution, wait: Wait) -> bool:
        """Return whether the execution still waits with the same question."""
        if seen.state is not ExecutionState.WAITING_FOR_HUMAN:
            return False
        now = seen.question
        return now is None or (now.task_id, now.output) == (wait.question.task_id, wait.question.output)

    async def _status(self, client: CrewClient, wait: Wait) -> Execution | None:
        """Return the status of the execution; None if the crew gives no clear one."""
        for attempt in range(TRIES):
            seen = await client.status(wait.attempt.kickoff_id or "")
            if isinstance(seen, Execution):
                return seen
            if isinstance(seen, Unusable):
                return None
            await self.context.clock.sleep(FIRST_WAIT_SECONDS * 2**attempt)
        return None

    def _client_of(self, wait: Wait) -> CrewClient | None:
        attempt = wait.attempt
        return self.former.get((attempt.crew, attempt.address or "")) or self.clients.get(attempt.crew)

    def _no_client(self, wait: Wait) -> str:
        crew = wait.attempt.crew
        if isinstance(self.jobfile.crews.get(crew), ServedCrew):
            return f"crew {crew} is served for a run only (`serve:`); start `batchcrew serve` separately"
        return f"crew {crew} not found in {self.jobfile.path}"

    def _report(self, wait: Wait, finding: Finding, reason: str = "") -> None:
        said = Answered(job_id=wait.attempt.job_id, wait_id=wait.wait_id, finding=finding, reason=reason)
        self.result.count(said)
        self.context.report(said)
