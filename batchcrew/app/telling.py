"""Notify people and programs of a run: `notify:`, `on_end:`, `--ping` and `--metrics-file`.

Nothing here changes a run or its exit code: a notification that cannot be sent is a warning.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchcrew import __version__
from batchcrew.base.errors import BatchcrewError
from batchcrew.base.quantities import format_duration
from batchcrew.config.notify import EventName
from batchcrew.crew.address import crew_address
from batchcrew.engine import RunEnvironment
from batchcrew.jobfile import JobFile
from batchcrew.jobfile.notify import Receiver
from batchcrew.ledger import LedgerReader
from batchcrew.model import exit_codes
from batchcrew.model.capacity import Why
from batchcrew.model.events import Controlled, Event, KickedOff, WaitStarted
from batchcrew.model.job import JobState
from batchcrew.model.money import plain_amount
from batchcrew.model.run import Counts, RunResult
from batchcrew.progress.tally import Tally
from batchcrew.reports.as_json import json_document, summary_json
from batchcrew.reports.summary import went_well
from batchcrew.telling.end_command import run_at_end
from batchcrew.telling.metrics import METRICS_SECONDS, Figures, metrics_text, write_metrics
from batchcrew.telling.notices import Notice, TemplateProblem, event_of, text_of, title_of, why

if TYPE_CHECKING:
    from batchcrew.app.run import RunRequest
    from batchcrew.crew.ping import Moment

STUCK_TIMES = 3
"""Nothing has ended for this many times the usual duration of an execution: the run counts as stuck."""
LEAST_STUCK_SECONDS = 60.0
ENOUGH_EXECUTIONS = 10
"""Number of known executions from which on there is a usual duration."""
_LOOK_SECONDS = 1.0
_MOST_AT_ONCE = 50
"""Maximum number of notifications that are being sent; more would be a defect."""


class Teller:
    """Follow one run by its events, and send the notifications.

    Args:
        environment: that of the run; the run uses `self.environment` instead.
    """

    def __init__(self, request: "RunRequest", environment: RunEnvironment) -> None:
        self._request = request
        self._outer = environment
        self.environment = replace(environment, observe=self._observe)
        self._tally = Tally(environment.clock)
        self._jobfile: JobFile | None = None
        self._ledger = Path()
        self._kickoffs = 0
        self._told: set[EventName] = set()
        self._sends: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._usual: float | None = None
        self._stuck_since: float | None = None

    async def begin(self, jobfile: JobFile, ledger: Path) -> None:
        """Start following the run."""
        self._jobfile, self._ledger = jobfile, ledger
        await self._ping("start", "")
        if self._receivers("stuck") or self._request.metrics_file is not None:
            self._watch = asyncio.create_task(self._look_again_and_again())

    def close(self) -> None:
        """End following the run."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def failed(self, error: BatchcrewError) -> None:
        """Notify of a run that ended with an error."""
        await self._ping("failure", str(error))
        if self._jobfile is not None and not self._request.once:  # ticks would repeat it each minute
            result = RunResult(batch=self._jobfile.batch, run_id=None, counts=self._counts(), ledger=str(self._ledger))
            self._tell(Notice(event="stopped", result=result, reason=str(error)))
        await self._write_metrics(exit_code=int(exit_codes.of_error(error)))
        await self._wait_for_sends()

    async def ended(self, result: RunResult) -> None:
        """Notify of the end of the run."""
        event, reason = event_of(result), why(result)
        if event is not None:
            self._tell(Notice(event=event, result=result, reason=reason))
        await self._ping("success" if went_well(result) else "failure", f"{result.batch}: {reason}")
        await self._write_metrics(result=result, exit_code=int(exit_codes.of_run(result)))
        await self._wait_for_sends()
        command = self._jobfile.telling.on_end if self._jobfile else ()
        if command and event_of(result) is not None:
            await self._run_command(command, result)

    async def _run_command(self, command: tuple[str, ...], result: RunResult) -> None:
        summary = json_document(summary_json(result)).encode(errors="replace")
        lines: list[str] = []

        def show(line: str) -> None:
            lines.append(line)
            self._outer.observe(Controlled(f"on_end: {line}"))

        if problem := await run_at_end(command, summary, show):
            last = f"; it printed: {lines[-1]}" if lines else ""
            self._outer.warn(f"the command of on_end failed: {problem}{last}")

    async def _ping(self, moment: "Moment", reason: str) -> None:
        if self._request.monitor:
            from batchcrew.crew.ping import ping  # noqa: PLC0415 - it imports aiohttp, and few runs need it

            await ping(self._request.monitor, moment, reason=reason, warn=self._outer.warn)

    def _observe(self, event: Event) -> None:
        self._outer.observe(event)
        self._tally.observe(event)
        if isinstance(event, KickedOff) and not event.taken_up:
            self._kickoffs += 1
        elif isinstance(event, WaitStarted):
            reason = f"job {event.attempt.job_id} waits for human input"
            self._tell(Notice(event="waiting", result=self._now(), reason=reason))

    def _receivers(self, event: EventName) -> list[tuple[int, Receiver]]:
        receivers = self._jobfile.telling.receivers if self._jobfile is not None else ()
        return [(number, each) for number, each in enumerate(receivers, start=1) if event in each.on]

    def _tell(self, notice: Notice) -> None:
        """Start sending the event. Each event is sent once in a run, except `stuck`, which may occur again."""
        if notice.event in self._told or len(self._sends) >= _MOST_AT_ONCE:
            return
        if notice.event != "stuck":
            self._told.add(notice.event)
        for number, receiver in self._receivers(notice.event):
            self._start(self._send(number, receiver, notice))

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(sending)
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, number: int, receiver: Receiver, notice: Notice) -> None:
        from batchcrew.app.end_reports import path_of  # noqa: PLC0415 - few runs notify
        from batchcrew.telling.sender import send  # noqa: PLC0415

        today = self._outer.clock.now().astimezone().date().isoformat()
        try:
            title, text = title_of(notice, receiver.title, today), text_of(notice, receiver.text, today)
        except TemplateProblem as mistake:
            self._outer.warn(f"notification {notice.event}: {mistake}; the default text is sent instead")
            title, text = title_of(notice, None, today), text_of(notice, None, today)
        paths = tuple(path_of(notice.result, name) for name in receiver.attach)
        attached = tuple(path for path in paths if str(path) in notice.result.reports)
        if problem := await send(receiver.url, title, text, attached):
            self._outer.warn(f"notification {notice.event} to receiver {number} of notify was not sent: {problem}")

    async def _wait_for_sends(self) -> None:
        if self._sends:  # each has its own time limit
            await asyncio.gather(*self._sends, return_exceptions=True)

    async def _look_again_and_again(self) -> None:
        clock, written_at = self._outer.clock, float("-inf")
        while True:
            await clock.sleep(_LOOK_SECONDS)
            if self._tally.run is None:
                continue
            if self._usual is None and self._receivers("stuck"):
                self._usual = await self._usual_seconds()
            self._look(clock.monotonic())
            if clock.monotonic() - written_at >= METRICS_SECONDS:
                await self._write_metrics()
                written_at = clock.monotonic()

    def _look(self, now: float) -> None:
        """Notify people if nothing has ended for too long; once until something ends."""
        tally, usual = self._tally, self._usual or 0.0
        if not usual and tally.durations.number >= ENOUGH_EXECUTIONS:
            usual = tally.durations.mean
        holds = tally.capacity.holds if tally.capacity is not None else ()
        paused = any(hold.why is Why.PAUSED for hold in holds)
        quiet = now - tally.moved_at
        if not usual or paused or not (tally.in_flight or tally.pending) or self._stuck_since == tally.moved_at:
            return
        if quiet >= max(STUCK_TIMES * usual, LEAST_STUCK_SECONDS):
            self._stuck_since = tally.moved_at
            reason = (
                f"nothing has ended for {format_duration(quiet)}, and executions usually end after"
                f" {format_duration(usual)}; {len(tally.in_flight)} in progress"
            )
            self._tell(Notice(event="stuck", result=self._now(), reason=reason))

    async def _usual_seconds(self) -> float:
        """Return how long executions of the slowest crew usually take; 0 if too few are known."""
        usual = [0.0]
        jobfile = self._jobfile
        assert jobfile is not None  # noqa: S101 - `begin` has set it
        with suppress(BatchcrewError, OSError):  # the run itself reports mistakes of the ledger
            async with LedgerReader(self._ledger, clock=self._outer.clock) as ledger:
                for crew in jobfile.crews.values():
                    past = await ledger.past_executions(crew_address(crew))
                    seconds = [each.seconds for each in past if each.seconds is not None]
                    if len(seconds) >= ENOUGH_EXECUTIONS:
                        usual.append(sorted(seconds)[len(seconds) // 2])
        return max(usual)

    def _counts(self) -> Counts:
        tally = self._tally
        return Counts(
            pending=tally.pending,
            open=len(tally.in_flight),
            waiting=tally.waiting,
            succeeded=tally.ended[JobState.SUCCEEDED],
            failed=tally.ended[JobState.FAILED],
            held=tally.ended[JobState.HELD],
            cancelled=tally.ended[JobState.CANCELLED],
            stale=tally.ended[JobState.STALE],
        )

    def _now(self) -> RunResult:
        """Return the state of the run, without the figures that are known only at its end."""
        run = self._tally.run
        return RunResult(
            batch=self._jobfile.batch if self._jobfile else "",
            run_id=run.run_id if run else None,
            counts=self._counts(),
            kickoffs=self._kickoffs,
            ledger=str(self._ledger),
            program=self._request.program,
        )

    async def _write_metrics(self, *, result: RunResult | None = None, exit_code: int | None = None) -> None:
        path = self._request.metrics_file
        if path is None or self._jobfile is None:
            return
        shown = result or self._now()
        counts, spending = shown.counts, shown.spending
        figures = Figures(
            batch=shown.batch,
            run_id=shown.run_id or "",
            version=__version__,
            jobs={
                "pending": counts.pending,
                "in_progress": counts.open,
                "waiting": counts.waiting,
                "succeeded": counts.succeeded,
                "failed": counts.failed,
                "held": counts.held,
                "cancelled": counts.cancelled,
                "stale": counts.stale,
            },
            kickoffs=shown.kickoffs,
            in_progress=counts.open,
            slots=self._tally.capacity.slots if self._tally.capacity is not None else None,
            tokens=spending.tokens.total,
            costs={name: plain_amount(least) for name, (least, _) in spending.spent.amounts.items()},
            ended_at=None if exit_code is None else self._outer.clock.now().timestamp(),
            exit_code=exit_code,
        )
        try:
            await asyncio.to_thread(write_metrics, path, metrics_text(figures))
        except OSError as error:
            self._outer.warn(f"--metrics-file was not written: {error.strerror}", lasting=True)
