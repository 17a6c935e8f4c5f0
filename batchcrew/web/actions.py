"""The forms that control a batch: the same use cases as `pause`, `unpause`, `set`, `cancel` and `stop`."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from batchcrew.app.control import (
    ControlRequest,
    Stopped,
    cancel,
    change_settings,
    checked_name,
    parse_assignments,
    pause,
    reset_settings,
    stop,
    unpause,
)
from batchcrew.base.errors import BatchcrewError, UsageError
from batchcrew.config.settings import CHANGEABLE
from batchcrew.web.sessions import Notice
from batchcrew.web.site import SITE, back, batch_of, failed, page, session_of, url_of

Do: TypeAlias = Callable[[ControlRequest, "dict[str, str]"], Awaitable[str]]
MOST_REASON = 1000


async def fields_of(request: web.Request) -> dict[str, str]:
    """Return the text fields of a form."""
    form = await request.post()
    return {name: value.strip() for name, value in form.items() if isinstance(value, str)}


async def require_batch(request: web.Request, batch: str) -> None:
    """Require, by reading only, that the ledger has the batch: a command that writes would create or upgrade a ledger.

    Raises:
        LedgerError: the ledger was not found, is older than this batchcrew, or does not have the batch.
    """
    del batch
    async with request.app[SITE].read() as ledger:
        await batch_of(request, ledger)


async def act(request: web.Request) -> web.Response:
    """Carry out the action that the path names, and show its result on the next page."""
    site, batch = request.app[SITE], request.query.get("batch", "")
    fields = await fields_of(request)
    location = url_of("/job", batch=batch, job=fields["job"]) if fields.get("job") else url_of("/control", batch=batch)
    try:
        await require_batch(request, batch)
        wanted = ControlRequest(
            ledger=site.ledger, batch=batch, clock=site.clock, reason=fields.get("reason", "")[:MOST_REASON] or None
        )
        said = await ACTIONS[request.match_info["action"]](wanted, fields)
    except BatchcrewError as error:
        return back(request, location, failed(error))
    return back(request, location, Notice(text=said))


async def _pause(request: ControlRequest, fields: dict[str, str]) -> str:
    done = await pause(request)
    return "Paused: no new jobs start; executions in progress are watched." if done.running else "Paused."


async def _unpause(request: ControlRequest, fields: dict[str, str]) -> str:
    done = await unpause(request)
    if done.before is None:
        return "The batch was not paused."
    return "Unpaused: the run starts jobs again." if done.running else "Unpaused: the next run starts jobs again."


async def _set(request: ControlRequest, fields: dict[str, str]) -> str:
    words = [f"{name}={fields[name]}" for name in CHANGEABLE if fields.get(name)]
    if not words:
        raise UsageError("nothing to set: fill in at least one setting")
    done = await change_settings(request, parse_assignments(words))
    now = "in the run in progress and in later ones" if done.running else "in every run"
    return f"Set {', '.join(words)}: this applies {now}, until it is reset."


async def _reset(request: ControlRequest, fields: dict[str, str]) -> str:
    done = await reset_settings(request, [checked_name(fields["name"])] if fields.get("name") else [])
    return f"Reset {', '.join(done.reset)}: the job file's value is used again." if done.reset else "Nothing was set."


async def _stop(request: ControlRequest, fields: dict[str, str]) -> str:
    match await stop(request):
        case Stopped.NOTHING:
            return "No run is in progress."
        case Stopped.NOW:
            return "The run ends: it starts nothing more, and leaves executions in progress to the next run."
        case Stopped.WHEN_IT_HAS_READ:
            return "The run still reads its job file; it ends then, and starts nothing."


async def _cancel(request: ControlRequest, fields: dict[str, str]) -> str:
    done = await cancel(request, [fields["job"]] if fields.get("job") else [])
    parts = [f"Cancelled: {done.pending} pending, {done.let_go} in progress."]
    if done.requested:
        parts.append(f"The run still watches {done.requested} of them.")
    if done.let_go or done.requested:
        parts.append("Their executions may still be running (and billed).")
    return " ".join(parts)


ACTIONS: dict[str, Do] = {
    "pause": _pause,
    "unpause": _unpause,
    "set": _set,
    "reset": _reset,
    "stop": _stop,
    "cancel": _cancel,
}


async def confirm_cancel(request: web.Request) -> web.Response:
    """Show how many jobs `cancel` ends, before it does."""
    async with request.app[SITE].read() as ledger:
        key = await batch_of(request, ledger)
        counts = await ledger.counts(key)
    return await page(request, "confirm_cancel.html", batch=key.batch, counts=counts)


async def new_link(request: web.Request) -> web.Response:
    """Show a link that signs in one further browser."""
    site = request.app[SITE]
    link = f"http://{request.headers['Host']}{url_of('/sign-in', token=site.sessions.new_token())}"
    session_of(request).notify(Notice(text="This link works once, in one browser:", command=link))
    return web.Response(status=303, headers={"Location": "/"})
