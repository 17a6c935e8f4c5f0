"""The parts that every handler of the live page needs: the ledger, the sessions, the templates, and answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from aiohttp import web
from markupsafe import Markup

from batchcrew.app.batches import known_batch
from batchcrew.base.clock import Clock, from_text
from batchcrew.base.errors import BatchcrewError, UsageError
from batchcrew.base.text import one_line
from batchcrew.ledger import BatchKey, Reading
from batchcrew.ledger.report_reader import ReportReader
from batchcrew.reports.html import words
from batchcrew.reports.html.markdown import as_html
from batchcrew.reports.html.templating import environment as report_environment
from batchcrew.web.changes import Changes
from batchcrew.web.sessions import Notice, Session, Sessions

MOST_READERS = 2
"""Pages that read the ledger at the same time."""
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field


def url_of(path: str, **query: Any) -> str:
    """Return a path with its query, without the values that are None or empty."""
    given = {name: value for name, value in query.items() if value not in (None, "", ())}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _shown_value(value: Any) -> Any:
    """Return the text that a template prints for a value: control characters are escaped, and None is not shown."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return words.clean(value)
    return "" if value is None else value


def _local_time(text: str | None) -> Markup:
    """Return UTC text as an element whose text the script replaces by the local time."""
    if not text:
        return Markup("")
    moment = from_text(text)
    return Markup('<time datetime="{}">{}</time>').format(
        f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    )


def _took(seconds: float | None) -> str:
    return "" if seconds is None else words.duration(max(0.0, seconds))


def _number(number: int | None) -> str:
    return "" if number is None else words.count(number)


def _markdown(text: str) -> Markup:
    """Return an output as safe HTML."""
    return Markup(as_html(text))  # noqa: S704 - it was cleaned


@cache
def templates() -> jinja2.Environment:
    """Return the environment of the page's templates, which has the sections of the report.

    Everything is escaped and cleaned, and a missing name is an error.
    """
    report = report_environment()
    environment = report.overlay(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("batchcrew.web"), *([report.loader] if report.loader else [])]
        ),
        finalize=_shown_value,
        auto_reload=False,
    )
    environment.filters = report.filters | {
        "local_time": _local_time,
        "took": _took,
        "number": _number,
        "one_line": one_line,
        "markdown": _markdown,
    }
    environment.globals = dict(report.globals, url=url_of)
    return environment


@dataclass(slots=True)
class Site:
    """The data that the handlers share."""

    ledger: Path
    clock: Clock
    environ: Mapping[str, str]
    """For `${VAR}` in the job files whose crews receive decisions."""
    program: str
    """The program with which printed commands begin."""
    sessions: Sessions
    changes: Changes
    readers: asyncio.Semaphore
    templates: jinja2.Environment = field(default_factory=jinja2.Environment)
    """Set when the server starts: to load them takes calls that block."""
    port: int = 0
    """The port on which it listens, once it does."""

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReportReader]:
        """Open the ledger for one page, so that a run can remove its WAL when it ends.

        Raises:
            LedgerError: it was deleted, has another schema, or cannot be read.
        """
        async with self.readers, ReportReader(self.ledger, clock=self.clock) as ledger:
            yield ledger

    def render(self, template: str, **values: Any) -> str:
        """Return a page."""
        return self.templates.get_template(template).render(
            {"ledger": str(self.ledger), "program": self.program, "notices": (), "watched": None, **values}
        )


SITE: web.AppKey[Site] = web.AppKey("site", Site)


def cookie_name(request: web.Request) -> str:
    """Return the name of the session's cookie. Browsers do not separate the cookies of ports, so the name does."""
    return f"batchcrew_{request.app[SITE].port}"


def session_if_any(request: web.Request) -> Session | None:
    """Return the session of a request; None if its browser is not signed in."""
    return request.app[SITE].sessions.of(request.cookies.get(cookie_name(request)))


def session_of(request: web.Request) -> Session:
    """Return the session of a request that was let through.

    Raises:
        UsageError: it has ended meanwhile.
    """
    session = session_if_any(request)
    if session is None:
        raise UsageError("this browser is not signed in any more")
    return session


async def page(request: web.Request, template: str, **values: Any) -> web.Response:
    """Answer with a page of the request's session. It is rendered in a thread: outputs may be large."""
    session = session_of(request)
    text = await asyncio.to_thread(
        request.app[SITE].render,
        template,
        notices=session.take_notices() if request.headers.get("X-Refresh") is None else (),
        form_token=session.form_token,
        form_field=Markup('<input type="hidden" name="{}" value="{}">').format(FORM_TOKEN, session.form_token),
        here=request.rel_url.raw_path_qs,
        **values,
    )
    return web.Response(text=text, content_type="text/html")


def message_page(request: web.Request, title: str, lines: Sequence[str], *, status: int) -> web.Response:
    """Answer with a page that has only a message."""
    text = request.app[SITE].render("message.html", title=title, lines=lines)
    return web.Response(text=text, content_type="text/html", status=status)


def back(request: web.Request, location: str, notice: Notice) -> web.Response:
    """Answer a form with the next page, which shows the notice."""
    session_of(request).notify(notice)
    return web.Response(status=303, headers={"Location": location})


def failed(error: BatchcrewError) -> Notice:
    """Return the notice of an action that failed."""
    return Notice(text="\n".join(error.lines), failed=True)


async def batch_of(request: web.Request, ledger: Reading) -> BatchKey:
    """Return the batch that the query names.

    Raises:
        NotInLedger: it was not found.
    """
    return await known_batch(ledger, request.query.get("batch", ""))
