"""The live page of a real ledger whose batch ran on the real embedded server, and a browser without scripts."""

import random
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
from engine_bench import serving

from batchcrew.app.run import RunRequest, run_batch
from batchcrew.app.wiring import Source
from batchcrew.base.clock import SystemClock
from batchcrew.engine import RunEnvironment, Stop
from batchcrew.ledger import Ledger, LedgerReader
from batchcrew.model import exit_codes
from batchcrew.model.job import Job, Location
from batchcrew.model.run import Counts
from batchcrew.model.views import BatchStatus
from batchcrew.server import CrewServer
from batchcrew.web.server import LivePage

JOBS = """
crew: {{url: "{url}", token: "{token}", price_per_kickoff: 0.50 USD}}
run: {{poll: {{initial: 10ms, max: 20ms}}, retry: {{attempts: 1}}, human: {{poll: 10ms}}}}
defaults: {{inputs: {{budget: "1", interests: x, duration: 1 day, age: "3"}}}}
jobs: [{jobs}]
"""


@dataclass
class Answer:
    """What the page answered."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([^"]+)"', self.text)
        assert found is not None, self.text
        return found[1]

    @property
    def words(self) -> str:
        """The text that a reader sees."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.text)).split())


class Browser:
    """One browser; its cookies are those that the page sets."""

    def __init__(self, page: LivePage, session: aiohttp.ClientSession) -> None:
        self.page = page
        self._session = session
        self._form_token = ""
        self.base = f"http://127.0.0.1:{page.site.port}"

    async def get(self, path: str, **headers: str) -> Answer:
        async with self._session.get(self.base + path, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, await answer.text(), dict(answer.headers))

    def open(self, path: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Open a stream."""
        return self._session.get(self.base + path)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        """Send a form as it is; `submit` sends it as the page does."""
        async with self._session.post(self.base + path, data=fields, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, await answer.text(), dict(answer.headers))

    async def submit(self, path: str, **fields: str) -> Answer:
        """Send a form with the session's token, and return the page that follows."""
        self._form_token = self._form_token or (await self.get("/")).form_token
        sent = await self.post(path, {"form_token": self._form_token, **fields}, Origin=self.base)
        assert sent.status == 303, sent.text
        return await self.get(sent.headers["Location"])

    async def submit_without_page(self, path: str, **fields: str) -> Answer:
        """Send a form while the pages cannot be shown; return the message that the next page would show."""
        session = next(iter(self.page.site.sessions._sessions.values()))
        sent = await self.post(path, {"form_token": session.form_token, **fields}, Origin=self.base)
        assert sent.status == 303
        return Answer(sent.status, " ".join(notice.text for notice in session.take_notices()), sent.headers)


@asynccontextmanager
async def browser(page: LivePage, *, signed_in: bool = True) -> AsyncIterator[Browser]:
    """Open a browser, and the link unless it is not to be signed in."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        made = Browser(page, session)
        if signed_in:
            opened = await made.get(page.new_url().removeprefix(made.base))
            assert opened.status == 200
        yield made


@dataclass
class Stage:
    """A batch `jobs` in `folder`, and its crew."""

    folder: Path
    server: CrewServer

    @property
    def ledger(self) -> Path:
        return self.folder / "l.db"

    async def run(self) -> int:
        environment = RunEnvironment(stop=Stop(), clock=SystemClock(), rng=random.Random(1), observe=lambda event: None)
        source = Source(path=self.folder / "jobs.yaml", environ={}, today=date(2026, 1, 1))
        return int(exit_codes.of_run(await run_batch(RunRequest(source=source, ledger=self.ledger), environment)))

    async def counts(self) -> Counts:
        return await counts_of(self.ledger)

    @property
    def kickoffs(self) -> int:
        return self.server.stats["kickoffs"]


@asynccontextmanager
async def stage(folder: Path, *job_ids: str, **options: Any) -> AsyncIterator[Stage]:
    """Run a batch of these jobs to its end.

    Args:
        options: of the embedded server.
    """
    async with CrewServer(serving(**options)) as server:
        jobs = ", ".join(f"{{id: {job_id!r}}}" for job_id in job_ids or ("a", "b", "c"))
        text = JOBS.format(url=server.url, token=server.token, jobs=jobs)
        (folder / "jobs.yaml").write_text(text, encoding="utf-8")
        made = Stage(folder, server)
        await made.run()
        yield made


async def planned(ledger: Path, *job_ids: str, reason: str | None = None) -> Path:
    """Write a ledger with a batch `jobs` without running it, which takes no crew.

    Args:
        reason: the jobs have failed because of this.
    """
    async with Ledger(ledger, clock=SystemClock()) as opened:
        staged = await opened.stage("jobs", [_job(job_id) for job_id in job_ids or ("a", "b", "c")])
        await opened.ingest("jobs", jobfile="jobs.yaml", digest="d", columns=staged.plan.columns)
    if reason is not None:
        with closing(sqlite3.connect(ledger)) as connection, connection:
            connection.execute("UPDATE jobs SET state = 'failed', reason = ?, reason_fingerprint = 'abc'", (reason,))
    return ledger


def _job(job_id: str) -> Job:
    row = {"id": job_id, "city": "Kyōto"}
    return Job(job_id=job_id, crew="default", inputs=row, meta={}, row=row, where=Location("jobs.csv", 2))


async def counts_of(ledger: Path) -> Counts:
    return (await status_of(ledger)).line.counts


async def status_of(ledger: Path) -> BatchStatus:
    async with LedgerReader(ledger, clock=SystemClock()) as opened:
        key = await opened.batch("jobs")
        assert key is not None
        return await opened.status(key)


@asynccontextmanager
async def live(made: Stage | Path) -> AsyncIterator[Browser]:
    """Serve the live page of a ledger, with a browser that is signed in."""
    ledger = made if isinstance(made, Path) else made.ledger
    async with LivePage(ledger, clock=SystemClock(), environ={}) as page, browser(page) as opened:
        yield opened
