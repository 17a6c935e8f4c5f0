"""The server of the live page, on loopback. Start here."""

import asyncio
import errno
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from batchcrew.base.clock import Clock
from batchcrew.base.errors import (
    BatchBusy,
    BatchcrewError,
    CrewUnusable,
    LedgerError,
    LedgerTooNew,
    LedgerTooOld,
    NotInLedger,
    UsageError,
)
from batchcrew.reports.html.templating import style
from batchcrew.web import actions, answers, job_pages, pages, retries
from batchcrew.web.changes import Changes, events
from batchcrew.web.figures import FIGURES, Figures, figures
from batchcrew.web.security import add_headers, guard, sign_in
from batchcrew.web.sessions import Sessions
from batchcrew.web.site import MOST_READERS, SITE, Site, message_page, templates, url_of

logger = logging.getLogger("batchcrew.web")
HOST = "127.0.0.1"
MAX_BODY = 2 * 1024 * 1024
"""Largest form in bytes."""
SHUTDOWN_SECONDS = 0.5
REPORT_STYLE = "report.css"
STATIC = {"page.css": "text/css", "page.js": "text/javascript", REPORT_STYLE: "text/css"}
_STATUSES: dict[type[BatchcrewError], int] = {
    NotInLedger: 404,
    UsageError: 400,
    BatchBusy: 409,
    LedgerTooOld: 409,
    LedgerTooNew: 409,
    CrewUnusable: 502,
    LedgerError: 503,
}


class LivePage:
    """Serves the batches of one ledger to browsers of this machine. Use as an async context manager.

    Args:
        ledger: need not exist when the server starts.
        clock: for ages and waits.
        environ: for `${VAR}` in job files, when a decision is sent to a crew.
        program: the program with which printed commands begin.
        port: 0 for any free one.
    """

    def __init__(
        self, ledger: Path, *, clock: Clock, environ: Mapping[str, str], program: str = "batchcrew", port: int = 0
    ) -> None:
        self._port = port
        self._open = AsyncExitStack()
        self.site = Site(
            ledger=ledger,
            clock=clock,
            environ=environ,
            program=program,
            sessions=Sessions(),
            changes=Changes(ledger, clock),
            readers=asyncio.Semaphore(MOST_READERS),
        )

    def new_url(self) -> str:
        """Return a URL that signs in one browser, once."""
        return f"http://{HOST}:{self.site.port}{url_of('/sign-in', token=self.site.sessions.new_token())}"

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            UsageError: the port is in use, or may not be used.
        """
        app = await make_app(self.site)
        async with AsyncExitStack() as stack:
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            try:
                await web.TCPSite(runner, HOST, self._port).start()
            except OSError as error:
                used = error.errno == errno.EADDRINUSE
                why = "it is in use by another program" if used else error.strerror or str(error)
                raise UsageError(
                    f"cannot listen on port {self._port}: {why}; give another --port, or none for any free one"
                ) from error
            self.site.port = runner.addresses[0][1]
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


async def make_app(site: Site) -> web.Application:
    """Return the application; its templates and files are read now, in a thread."""
    static = await asyncio.to_thread(_load, site)
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_errors, guard])
    app[SITE] = site
    app[FIGURES] = Figures()
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_close_events)

    async def static_file(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in static:
            raise web.HTTPNotFound
        return web.Response(body=static[name], content_type=STATIC[name], charset="utf-8")

    async def changes(request: web.Request) -> web.StreamResponse:
        return await events(request, site.changes)

    for path, handler in {
        "/": pages.batches,
        "/sign-in": sign_in,
        "/static/{name}": static_file,
        "/batch": pages.batch,
        "/figures": figures,
        "/failures": pages.failures,
        "/jobs": job_pages.jobs,
        "/job": job_pages.job,
        "/output": job_pages.output,
        "/inbox": pages.inbox,
        "/control": pages.control,
        "/retry": retries.confirm,
        "/cancel": actions.confirm_cancel,
        "/events": changes,
    }.items():
        app.router.add_get(path, handler, allow_head=False)
    app.router.add_post("/retry", retries.retry)
    app.router.add_post("/undo-retry", retries.undo)
    app.router.add_post("/answer", answers.decide)
    app.router.add_post("/new-link", actions.new_link)
    app.router.add_post(f"/{{action:{'|'.join(actions.ACTIONS)}}}", actions.act)
    return app


def _load(site: Site) -> dict[str, bytes]:
    """Compile the templates, and return the static files."""
    site.templates = templates()
    for name in (*site.templates.list_templates(extensions=["html"]), "sections.html.j2"):
        site.templates.get_template(name)
    folder = files("batchcrew.web") / "static"
    own = {name: (folder / name).read_bytes() for name in STATIC if name != REPORT_STYLE}
    return {**own, REPORT_STYLE: style().encode()}


async def _close_events(app: web.Application) -> None:
    app[SITE].changes.close()


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer an error with a page that names it and its fix."""
    try:
        return await handler(request)
    except BatchcrewError as error:
        status = next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
        return message_page(request, "This cannot be shown now", error.lines, status=status)
    except web.HTTPRequestEntityTooLarge:
        said = f"The form is too large (expected at most {MAX_BODY // 1024} KiB). Go back and shorten it."
        response = message_page(request, "Too large", [said], status=413)
        response.force_close()
        return response
    except web.HTTPNotFound:
        return message_page(request, "Not found", ["There is nothing at this address."], status=404)
    except web.HTTPMethodNotAllowed:
        return message_page(request, "Not allowed", ["This address does not accept such a request."], status=405)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("the live page could not answer %s", request.path)
        said = "A defect in batchcrew: the terminal of the page has the details. The ledger is not affected."
        return message_page(request, "This cannot be shown", [said], status=500)
