"""Retry from the page: how many kickoffs it takes and what they cost, then the same use case as `batchcrew retry`.

Nothing is paid here: the jobs become pending, and the next run starts them.
"""

from aiohttp import web

from batchcrew.app.batches import RetryPlan, cancel_retry, plan_retry, retry_jobs
from batchcrew.base.errors import BatchcrewError, UsageError
from batchcrew.ledger import RetrySelection
from batchcrew.model.job import ENDED_JOB_STATES, JobState
from batchcrew.reports.commands import run_command
from batchcrew.web.actions import require_batch
from batchcrew.web.sessions import Notice
from batchcrew.web.site import SITE, back, batch_of, failed, page, url_of

NO_REASON = "none"
"""The group of jobs without a reason, as forms name it."""


def _selection(request: web.Request) -> RetrySelection:
    """Return the jobs that the query names.

    Raises:
        UsageError: a state is not that of an ended job.
    """
    query = request.query
    try:
        states = tuple(JobState(state) for state in query.getall("state", ["failed"]))
    except ValueError:
        raise UsageError("unknown state of a job") from None
    if not ENDED_JOB_STATES.issuperset(states):
        raise UsageError("only ended jobs can be retried")
    group = query.get("group") or None
    return RetrySelection(
        states=states,
        job_ids=tuple(query.getall("job", [])),
        fingerprint=None if group == NO_REASON else group,
        reason="" if group == NO_REASON else None,
    )


def _failures(batch: str) -> str:
    return url_of("/failures", batch=batch)


async def confirm(request: web.Request) -> web.Response:
    """Show how many jobs would be reset and what their kickoffs cost; change nothing."""
    site, batch = request.app[SITE], request.query.get("batch", "")
    try:
        await require_batch(request, batch)
        plan = await plan_retry(site.ledger, batch, _selection(request), clock=site.clock)
    except BatchcrewError as error:
        return back(request, _failures(batch), failed(error))
    if not plan.jobs:
        return back(request, _failures(batch), Notice(text="No job meets these conditions any more.", failed=True))
    paid_again = any(state in (JobState.SUCCEEDED, JobState.STALE) for state in plan.selection.states)
    return await page(
        request,
        "confirm_retry.html",
        batch=batch,
        plan=plan,
        action=request.rel_url.raw_path_qs,
        paid_again=paid_again,
        back=_failures(batch),
    )


async def retry(request: web.Request) -> web.Response:
    """Reset the jobs that the operator has confirmed."""
    site, batch = request.app[SITE], request.query.get("batch", "")
    form = await request.post()
    try:
        await require_batch(request, batch)
        agreed = str(form.get("jobs", ""))
        if not (agreed.isascii() and agreed.isdigit()):
            raise UsageError("the number of jobs is missing; confirm again")
        plan = RetryPlan(_selection(request), int(agreed[:9]))
        number = await retry_jobs(site.ledger, batch, plan, clock=site.clock)
        async with site.read() as ledger:
            key = await batch_of(request, ledger)
            jobfile = key.jobfile
    except BatchcrewError as error:
        return back(request, _failures(batch), failed(error))
    jobs = "1 job is" if number == 1 else f"{number} jobs are"
    notice = Notice(
        text=f"{jobs} pending again. The next run starts and pays for them:",
        command=run_command(jobfile, str(site.ledger), program=site.program),
        undo_retry_of=batch if number else None,
    )
    return back(request, _failures(batch), notice)


async def undo(request: web.Request) -> web.Response:
    """Give jobs that were reset, and not kicked off since, their former state."""
    site, batch = request.app[SITE], request.query.get("batch", "")
    try:
        await require_batch(request, batch)
        number = await cancel_retry(site.ledger, batch, (), clock=site.clock)
    except BatchcrewError as error:
        return back(request, _failures(batch), failed(error))
    jobs = "1 job has its" if number == 1 else f"{number} jobs have their"
    return back(request, _failures(batch), Notice(text=f"{jobs} former state again."))
