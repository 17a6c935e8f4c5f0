"""Putting the rooms together: what a command was given, the job file, and open clients for its crews.

Heavy rooms that a run may not need (the embedded server, the live display) are imported here when they are.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias

from batchcrew.app.ledger_location import Search, locate
from batchcrew.base.clock import Clock
from batchcrew.base.errors import UsageError
from batchcrew.config.settings import RunSettings, ServeSettings, with_overrides
from batchcrew.crew import CrewClient, crew_address
from batchcrew.jobfile import JobFile, load_jobfile
from batchcrew.ledger import require_usable_name
from batchcrew.progress import Progress
from batchcrew.progress.json_log import JsonLogProgress
from batchcrew.progress.plain import PlainProgress
from batchcrew.progress.quiet import QuietProgress

if TYPE_CHECKING:
    from batchcrew.server import CrewServer

EMBEDDED_STATE = "embedded-crew.db"
"""Beside the ledger: the executions of the embedded crew, so that an interrupted demo goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A job file and how to read it.

    `environ` is where `${VAR}` comes from; `crew_url`, `crew_token` and the CSV options win over the file.
    """

    path: Path
    environ: Mapping[str, str]
    today: date
    crew_url: str | None = None
    crew_token: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    allow_outside: bool = False
    overrides: Mapping[str, str | int] = field(default_factory=dict)
    """Settings of `run:` that the command line gave, by their key."""
    batch: str | None = None
    """The batch that is meant; another one is refused."""
    take_over: bool = False
    """A batch that belongs to another job file becomes this one's."""
    rerun_changed: bool = False
    """Jobs that have succeeded and whose inputs changed run again, this time."""
    accept_changes: bool = False
    """Pay again what `run.plan_guard` would stop."""
    given: tuple[str, ...] = ()
    """Options, quoted for a shell, that a command needs to read the job file in the same way."""

    def hints(self, jobfile: JobFile) -> tuple[str, ...]:
        """Options of a command that continues the batch, today or on another day."""
        return (*([f"--date {self.today}"] if jobfile.dated else []), *self.given)

    def load(self) -> tuple[JobFile, RunSettings]:
        """The job file's head and the settings of this run.

        Raises:
            JobFileError: it is wrong.
            UsageError: an override is wrong.
        """
        jobfile = load_jobfile(
            self.path,
            environ=self.environ,
            today=self.today,
            crew_url=self.crew_url,
            crew_token=self.crew_token,
            encoding=self.encoding,
            delimiter=self.delimiter,
            allow_outside=self.allow_outside,
        )
        if self.batch is not None and jobfile.batch != self.batch:
            raise UsageError(
                f"{self.path} names the batch {jobfile.batch!r}, not {self.batch!r}; run it without --batch"
                " (and without BATCHCREW_BATCH)"
            )
        return jobfile, with_overrides(jobfile.run, self.overrides)


async def ledger_of(jobfile: JobFile, given: Path | None, *, clock: Clock, warn: Callable[[str], None]) -> Path:
    """Return the ledger that the command line names (`given`), else the job file, else the one that is found.

    Raises:
        UsageError: it cannot be decided, its name is too long, or there is no place for a new one.
    """
    ledger = given or jobfile.ledger
    if ledger is None:
        search = await asyncio.to_thread(Search.here)
        ledger = await locate(jobfile.path, jobfile.batch, search=search, clock=clock, warn=warn)
    await asyncio.to_thread(require_usable_name, ledger)
    return ledger


@asynccontextmanager
async def open_crews(
    jobfile: JobFile,
    *,
    concurrency: int,
    ledger: Path,
    clock: Clock,
    warn: Callable[[str], None],
    keep: bool = True,
) -> AsyncIterator[dict[str, CrewClient]]:
    """A client for each crew of the job file; a crew server is started for those that are of this machine.

    `keep`: executions of such a crew may outlive this run, and what it prints goes to a file beside the ledger.
    """
    async with AsyncExitStack() as stack:
        server = None
        if any(crew.embedded for crew in jobfile.crews.values()):
            server = await stack.enter_async_context(_embedded_server(ledger if keep else None))
        clients = {}
        for name, crew in jobfile.crews.items():
            embedded = server if crew.embedded else None
            if crew.serve is not None:
                log = ledger.with_name(f"served-{name}.log") if keep else None
                embedded = await stack.enter_async_context(
                    _served_crew(crew.serve, jobfile.path.parent, log=log, keep=keep)
                )
                stack.callback(_tell_what_ends, name, embedded, warn)
            client = CrewClient(
                name,
                crew,
                url=embedded.url if embedded else None,
                token=embedded.token if embedded else None,
                concurrency=min(crew.concurrency or concurrency, concurrency),
                clock=clock,
                warn=warn,
            )
            clients[name] = await stack.enter_async_context(client)
        yield clients


@asynccontextmanager
async def open_former(
    jobfile: JobFile,
    addresses: Iterable[tuple[str, str]],
    *,
    concurrency: int,
    clock: Clock,
    warn: Callable[[str], None],
) -> AsyncIterator[dict[tuple[str, str], CrewClient]]:
    """Open clients for the (crew, address) pairs at which the job file's crews were before.

    They take the crew's other settings, its token included. A crew that is not in the job file gets no client, so a
    token goes to no host that was never named for it; nor does an address that was this machine's for a run
    (`embedded`, `serve:…`).
    """
    async with AsyncExitStack() as stack:
        clients = {}
        for name, url in sorted(addresses):
            crew = jobfile.crews.get(name)
            if crew is None or url == crew_address(crew.url) or not url.startswith(("http://", "https://")):
                continue
            settings = crew.model_copy(update={"url": url, "serve": None})
            client = CrewClient(name, settings, concurrency=concurrency, clock=clock, warn=warn)
            clients[name, url] = await stack.enter_async_context(client)
        yield clients


def _embedded_server(ledger: Path | None) -> "CrewServer":
    room = importlib.import_module("batchcrew.server")
    state = None if ledger is None else ledger.with_name(EMBEDDED_STATE)
    server: CrewServer = room.CrewServer(room.ServeOptions(state=state))
    return server


def _served_crew(serve: ServeSettings, folder: Path, *, log: Path | None, keep: bool) -> "CrewServer":
    """Raises UsageError: the target is none."""
    room = importlib.import_module("batchcrew.server")
    crew = room.CrewOptions(
        target=room.parse_target(serve.target, folder),
        workers=serve.workers if keep else 1,
        threads=serve.threads,
        execution_timeout=serve.timeout,
        log=log,
    )
    state = folder / serve.state if serve.state and keep else None
    server: CrewServer = room.CrewServer(room.ServeOptions(state=state, crew=crew))
    return server


def _tell_what_ends(name: str, server: "CrewServer", warn: Callable[[str], None]) -> None:
    stats = server.stats
    left = sum(stats.get(phase, 0) for phase in ("running", "paused", "waiting"))
    if left:
        executions = "1 execution" if left == 1 else f"{left} executions"
        warn(f"crew {name} was served for this run only; its end interrupts {executions}")


ProgressKind: TypeAlias = Literal["auto", "brief", "quiet", "json"]


def open_progress(
    stream: TextIO | None, *, clock: Clock, environ: Mapping[str, str], kind: ProgressKind = "auto"
) -> Progress:
    """What shows the run.

    `auto`: the live display on a terminal that can draw it, plain lines elsewhere (nothing where stderr is closed);
    `brief`: plain lines without progress, for a tick; `quiet`: only what needs a person; `json`: one object a line.
    """
    if kind == "quiet":
        return QuietProgress(stream)
    if kind == "json":
        return JsonLogProgress(stream, clock)
    if kind == "brief":
        return PlainProgress(stream, clock, brief=True)
    if stream is None or not stream.isatty() or environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        return PlainProgress(stream, clock)
    room = importlib.import_module("batchcrew.progress.live")
    live: Progress = room.LiveProgress(stream, clock, no_color=bool(environ.get("NO_COLOR")))
    return live
