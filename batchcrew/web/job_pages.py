"""The pages about jobs: a table that the ledger searches and sorts, one job, and a whole output as a file."""

import json
from typing import Any
from urllib.parse import quote

from aiohttp import web

from batchcrew.app.next_poll import with_next_poll
from batchcrew.base.clock import from_text
from batchcrew.base.errors import UsageError
from batchcrew.base.json_values import writable
from batchcrew.base.lookalikes import lookalike
from batchcrew.model.job import ENDED_JOB_STATES, JobState
from batchcrew.model.job_search import JobOrder, JobQuery
from batchcrew.model.views import AttemptDetail
from batchcrew.web.pages import frame
from batchcrew.web.site import SITE, batch_of, page

PAGE_JOBS = 50
MOST_SEARCHED = 200
"""Characters of a search."""
MOST_SHOWN = 20_000
"""Characters of an input, a reason or a cell that a page shows."""


def query_of(request: web.Request) -> JobQuery:
    """Return the jobs that the URL selects; invalid conditions are ignored."""
    given = request.query
    known = {state.value for state in JobState}
    number = given.get("page", "1")[:7]
    order = given.get("sort", "")
    return JobQuery(
        states=tuple(JobState(state) for state in given.getall("state", []) if state in known),
        crew=given.get("crew") or None,
        fingerprint="" if given.get("group") == "none" else given.get("group") or None,
        search=given.get("q", "").strip()[:MOST_SEARCHED],
        order=JobOrder(order) if order in list(JobOrder) else JobOrder.FILE,
        descending=given.get("down") == "1",
        skip=max(0, int(number) - 1) * PAGE_JOBS if number.isascii() and number.isdigit() else 0,
        most=PAGE_JOBS,
    )


def url_query(request: web.Request) -> dict[str, Any]:
    """Return the conditions of the URL, for links that change one of them."""
    names = ("batch", "crew", "group", "q", "sort", "down")
    kept = {name: request.query.get(name, "") for name in names}
    return {**kept, "state": request.query.getall("state", [])}


async def jobs(request: web.Request) -> web.Response:
    """Show a page of the batch's jobs."""
    query = query_of(request)
    async with request.app[SITE].read() as ledger:
        key = await batch_of(request, ledger)
        around = await frame(ledger, key, "jobs")
        found = await ledger.job_page(key, query)
        crews = await ledger.crews_of(key)
    return await page(
        request,
        "jobs.html",
        query=query,
        kept=url_query(request),
        found=found,
        crews=crews,
        number=query.skip // PAGE_JOBS + 1,
        pages=max(1, -(-found.total // PAGE_JOBS)),
        states=[state.value for state in JobState],
        **around,
    )


async def job(request: web.Request) -> web.Response:
    """Show one job with all its attempts."""
    site = request.app[SITE]
    async with site.read() as ledger:
        key = await batch_of(request, ledger)
        around = await frame(ledger, key, "jobs")
        detail = await ledger.job(key, request.query.get("job", ""))
        detail = await with_next_poll(ledger, key, detail, site.clock.now())
    return await page(
        request,
        "job.html",
        detail=detail,
        shown=shown,
        cut=cut,
        output=output_text,
        seconds=seconds,
        other_columns={name: value for name, value in detail.row.items() if detail.inputs.get(name) != value},
        lookalike=lookalike,
        may_retry=detail.state in ENDED_JOB_STATES,
        may_cancel=detail.state in {JobState.PENDING, JobState.OPEN, JobState.WAITING},
        **around,
    )


async def output(request: web.Request) -> web.Response:
    """Send the whole output of an attempt as a text file."""
    async with request.app[SITE].read() as ledger:
        detail = await ledger.job(await batch_of(request, ledger), request.query.get("job", ""))
    wanted = request.query.get("attempt")
    texts = [output_text(attempt) for attempt in detail.attempts if str(attempt.number) == wanted]
    if not texts or texts[0] is None:
        raise UsageError(f"job {detail.job_id!r} has no such output")
    name = quote(f"{detail.job_id[:80]}-{wanted}.txt", safe="")
    return web.Response(
        body=texts[0].encode("utf-8", "replace"),
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        },
    )


def seconds(attempt: AttemptDetail) -> float | None:
    """Return how long the execution took: as the crew reports it, else from kickoff to the observed end."""
    if attempt.execution_time is not None or not attempt.kicked_off_at or not attempt.ended_at:
        return attempt.execution_time
    return (from_text(attempt.ended_at) - from_text(attempt.kicked_off_at)).total_seconds()


def output_text(attempt: AttemptDetail) -> str | None:
    """Return the output of an attempt: its text, else its JSON; None if it has none."""
    if attempt.output is not None:
        return str(attempt.output)
    return None if attempt.result_json is None else shown(attempt.result_json)


def shown(value: Any) -> str:
    """Return a value of an input or a row as text."""
    return value if isinstance(value, str) else json.dumps(writable(value), ensure_ascii=False, indent=2)


def cut(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
