"""The pages about batches: the list, one batch, its failures, what controls it."""

from datetime import datetime

from aiohttp import web

from batchcrew.app.batches import known_batch
from batchcrew.config.settings import CHANGEABLE, RunSettings
from batchcrew.ledger import BatchKey, LedgerReader
from batchcrew.model.failures import FailureGroups
from batchcrew.model.report_facts import ReportFacts
from batchcrew.model.views import BatchLine, BatchStatus
from batchcrew.reports.commands import run_command
from batchcrew.reports.control import command_text, written
from batchcrew.reports.report.build import verdict_of
from batchcrew.web.site import SITE, batch_of, page

MOST_GROUPS = 50
"""Failure groups on one page."""
MOST_IN_FLIGHT = 50
MOST_RUNS = 20
OVERVIEW_GROUPS = 5


def state_words(line: BatchLine, *, paused: bool = False) -> tuple[str, str]:
    """Return the activity of a batch in a few words, and the state of jobs whose mark it gets."""
    counts = line.counts
    if line.running:
        return ("paused", "held") if paused else ("running", "open")
    if paused:
        return "paused, no run in progress", "held"
    if counts.left:
        if counts.left == counts.waiting:
            return "waiting for you", "waiting"
        return "not finished, no run in progress", "pending"
    if counts.succeeded == counts.total:
        return "finished", "succeeded"
    return "finished with failures" if counts.failed else "finished, not all jobs succeeded", "failed"


async def batches(request: web.Request) -> web.Response:
    """Show every batch of the ledger, the one that ran last first."""
    async with request.app[SITE].read() as ledger:
        lines = await ledger.batches()
        paused = {line.batch: await _is_paused(ledger, line.batch) for line in lines}
    words = {line.batch: state_words(line, paused=paused[line.batch]) for line in lines}
    return await page(request, "batches.html", lines=lines, words=words, watched="")


async def _is_paused(ledger: LedgerReader, batch: str) -> bool:
    return (await ledger.control(await known_batch(ledger, batch))).pause is not None


async def batch(request: web.Request) -> web.Response:
    """Show one batch: its counts, its money, its executions in progress, its largest failure groups."""
    site = request.app[SITE]
    async with site.read() as ledger:
        key = await batch_of(request, ledger)
        status = await ledger.status(key)
        groups = await ledger.failure_groups(key, OVERVIEW_GROUPS)
        details = [await ledger.group_detail(key, group) for group in groups.groups]
    return await page(
        request,
        "batch.html",
        status=status,
        groups=groups,
        details=details,
        in_flight=status.in_flight[:MOST_IN_FLIGHT],
        run_command=_run_command(request, status),
        verdict=verdict_of(_facts(status, groups, site.clock.now())),
        **_of_batch(status.line.batch, status, "batch"),
    )


def _facts(status: BatchStatus, groups: FailureGroups, now: datetime) -> ReportFacts:
    line = status.line
    return ReportFacts(
        now=now,
        running=line.running,
        counts=line.counts,
        without_output=line.without_output,
        totals=line.totals,
        groups=groups,
    )


async def failures(request: web.Request) -> web.Response:
    """Show the failure groups of a batch, each with the form that retries its jobs."""
    async with request.app[SITE].read() as ledger:
        key = await batch_of(request, ledger)
        status = await ledger.status(key)
        groups = await ledger.failure_groups(key, MOST_GROUPS)
        details = [await ledger.group_detail(key, group) for group in groups.groups]
    return await page(
        request, "failures.html", groups=groups, details=details, **_of_batch(status.line.batch, status, "failures")
    )


async def control(request: web.Request) -> web.Response:
    """Show the controls of a batch, and its latest runs with the commands that they received."""
    async with request.app[SITE].read() as ledger:
        key = await batch_of(request, ledger)
        status = await ledger.status(key)
        runs = await ledger.runs(key, MOST_RUNS)
    settings = [
        (name, RunSettings.model_fields[name].description or "", status.control.settings.get(name))
        for name in CHANGEABLE
    ]
    return await page(
        request,
        "control.html",
        runs=runs,
        settings=settings,
        written=written,
        command_text=command_text,
        **_of_batch(status.line.batch, status, "control"),
    )


async def inbox(request: web.Request) -> web.Response:
    """Show the jobs that wait for human input, each with the forms to decide."""
    waiting = []
    async with request.app[SITE].read() as ledger:
        key = await batch_of(request, ledger)
        status = await ledger.status(key)
        async for line in ledger.inbox(key):
            waiting.append(line)
            if len(waiting) == MOST_IN_FLIGHT:
                break
    return await page(request, "inbox.html", waiting=waiting, **_of_batch(status.line.batch, status, "inbox"))


async def frame(ledger: LedgerReader, key: BatchKey, tab: str) -> dict[str, object]:
    """Return the values of the frame around each page of a batch."""
    return _of_batch(key.batch, await ledger.status(key), tab)


def _of_batch(name: str, status: BatchStatus, tab: str) -> dict[str, object]:
    words, mark = state_words(status.line, paused=status.control.pause is not None)
    return {
        "batch": name,
        "line": status.line,
        "counts": status.line.counts,
        "control": status.control,
        "words": words,
        "mark": mark,
        "tab": tab,
        "watched": name,
    }


def _run_command(request: web.Request, status: BatchStatus) -> str:
    site = request.app[SITE]
    return run_command(status.line.jobfile, str(site.ledger), program=site.program)
