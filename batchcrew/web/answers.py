"""Approve and reject from the inbox: the same use case as `batchcrew answer`."""

from pathlib import Path

from aiohttp import web

from batchcrew.app.answer import AnswerContext, AnswerRequest, answer
from batchcrew.app.answer_sheet import checked_decision
from batchcrew.app.recheck import recorded_source
from batchcrew.app.wiring import Source
from batchcrew.base.errors import BatchcrewError
from batchcrew.engine import Stop
from batchcrew.jobfile import JobFileOptions
from batchcrew.ledger import Ledger
from batchcrew.model.answers import Answered
from batchcrew.model.waits import Decision
from batchcrew.reports.inbox import answered_line
from batchcrew.web.actions import fields_of, require_batch
from batchcrew.web.sessions import Notice
from batchcrew.web.site import SITE, Site, back, batch_of, failed, url_of


async def decide(request: web.Request) -> web.Response:
    """Send the decision of a form to the crew, and show the result."""
    site, batch = request.app[SITE], request.query.get("batch", "")
    fields = await fields_of(request)
    location = url_of("/inbox", batch=batch)
    try:
        await require_batch(request, batch)
        approve = fields.get("decision") == "approve"
        decision = checked_decision(approve=approve, feedback=fields.get("feedback", ""))
        answered, warnings = await _answer(request, site, decision, fields)
    except BatchcrewError as error:
        return back(request, location, failed(error))
    lines = [answered_line(each) for each in answered] + warnings
    done = "Approved" if approve else "Rejected"
    if len(lines) == 1 and answered and not answered[0].reason:
        lines = [f"{done}: job {answered[0].job_id}."]
    return back(request, location, Notice(text="\n".join(lines)))


async def _answer(
    request: web.Request, site: Site, decision: Decision, fields: dict[str, str]
) -> tuple[list[Answered], list[str]]:
    answered: list[Answered] = []
    warnings: list[str] = []
    source = Source(
        path=Path(),  # the one that the ledger has recorded
        environ=site.environ,
        today=site.clock.now().astimezone().date(),
        options=JobFileOptions(allow_outside=True),  # it was accepted when the batch was recorded; no rows are read
    )
    async with Ledger(site.ledger, clock=site.clock) as ledger:
        key = await batch_of(request, ledger)
        recorded = await ledger.recorded_jobfile(key.batch)
        assert recorded is not None  # noqa: S101 - there is such a batch
        about = AnswerRequest(
            key,
            await recorded_source(key.batch, source, recorded, site.ledger),
            job_id=fields.get("job", ""),
            decision=decision,
            task_id=fields.get("task", ""),
            wait_id=fields.get("wait", ""),
        )
        context = AnswerContext(stop=Stop(), clock=site.clock, report=answered.append, warn=warnings.append)
        await answer(about, context, ledger=ledger)
    return answered, warnings
