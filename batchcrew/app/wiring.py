"""Connect the parts of a run: a command's options, the job file, clients of its crews, and the display.

The embedded server and the live display are imported only when a run needs them, so that other commands start quickly.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO, TypeAlias

from batchcrew.app.ledger_location import Search, locate
from batchcrew.base.clock import Clock
from batchcrew.base.crew_details import CrewDetails
from batchcrew.base.errors import StoppedEarly, UsageError
from batchcrew.config.crews import CrewSettings, DemoCrew, RemoteCrew, ServedCrew, ServeSettings
from batchcrew.config.money import check_max_cost
from batchcrew.config.settings import RunSettings, with_overrides
from batchcrew.crew import crew_address
from batchcrew.jobfile import JobFile, JobFileOptions, load_jobfile
from batchcrew.ledger import require_usable_name
from batchcrew.progress import Progress
from batchcrew.progress.json_log import JsonLogProgress
from batchcrew.progress.plain import PlainProgress
from batchcrew.progress.quiet import QuietProgress

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient
    from batchcrew.engine import Stop
    from batchcrew.server import CrewServer

EMBEDDED_STATE = "embedded-crew.db"
"""File next to the ledger that stores the demo crew's executions, so that an interrupted demo resumes."""


ARTIFACTS = "artifacts"
"""Folder next to the ledger for the files that tasks of served crews write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """The command-line options about the batch of a job file."""

    name: str | None = None
    """Name that the batch must have; None: any."""
    take_over: bool = False
    """Assign a batch that belongs to another job file to this one."""
    rerun_changed: bool = False
    """Run succeeded jobs again whose inputs have changed, in this run."""
    accept_changes: bool = False
    """Pay again for more succeeded jobs than `run.plan_guard` allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A job file and how to read it."""

    path: Path
    environ: Mapping[str, str]
    """Values of `${VAR}` in the job file."""
    today: date
    options: JobFileOptions = field(default_factory=JobFileOptions)
    overrides: Mapping[str, str | int] = field(default_factory=dict)
    """Settings of `run:` from the command line, by their key."""
    batch: BatchOptions = field(default_factory=BatchOptions)
    given: tuple[str, ...] = ()
    """Options, quoted for a shell, that a command needs to read the job file in the same way."""

    def hints(self, jobfile: JobFile) -> tuple[str, ...]:
        """Return the options of a command that resumes the batch, on this day or a later one."""
        return (*([f"--date {self.today}"] if jobfile.dated else []), *self.given)

    def load(self) -> tuple[JobFile, RunSettings]:
        """Read the job file's head and the settings of this run.

        Raises:
            JobFileError: the job file is not valid.
            UsageError: an override is not valid, or the job file names another batch.
        """
        jobfile = load_jobfile(self.path, environ=self.environ, today=self.today, options=self.options)
        if self.batch.name is not None and jobfile.batch != self.batch.name:
            raise UsageError(
                f"{self.path} names the batch {jobfile.batch!r}, not {self.batch.name!r}; run it without --batch"
                " (and without BATCHCREW_BATCH)"
            )
        settings = with_overrides(jobfile.run, self.overrides)
        check_max_cost(settings.max_cost, jobfile.crews)
        return jobfile, settings


async def ledger_of(jobfile: JobFile, given: Path | None, *, clock: Clock, warn: Callable[[str], None]) -> Path:
    """Return the ledger that the command line names (`given`), else the job file, else the one that is found.

    Raises:
        UsageError: several ledgers are possible, the name is too long, or a new ledger cannot be created.
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
    stop: "Stop | None" = None,
) -> "AsyncIterator[dict[str, CrewClient]]":
    """Open a client for each crew of the job file, and start a server for each crew that runs on this machine.

    Args:
        concurrency: maximum executions in progress, over all crews.
        keep: store the executions of such a crew beyond this run, and write its output to a file next to the ledger.
        stop: ends the loading of such a crew, which may take long.

    Raises:
        StoppedEarly: a stop was requested before a crew was loaded.
    """
    crews = Crews(jobfile.crews, jobfile.path.parent, ledger if keep else None)
    async with open_clients(crews, concurrency=concurrency, clock=clock, warn=warn, stop=stop) as clients:
        yield clients


@dataclass(frozen=True, slots=True)
class Crews:
    """Crews to call, by name."""

    settings: Mapping[str, CrewSettings]
    folder: Path
    """The folder that targets of `serve` are relative to."""
    ledger: Path | None = None
    """Executions of crews on this machine are stored next to it; None: they end with their server."""
    on_details: "Callable[[str, CrewDetails], None] | None" = None
    """Receives what is known about each served crew that has been loaded, with its name."""


@asynccontextmanager
async def open_clients(
    crews: Crews, *, concurrency: int, clock: Clock, warn: Callable[[str], None], stop: "Stop | None" = None
) -> "AsyncIterator[dict[str, CrewClient]]":
    """Open a client for each crew, and start a server for each one that runs on this machine; see `open_crews`."""
    from batchcrew.crew import CrewClient

    ledger = crews.ledger
    async with AsyncExitStack() as stack:
        demo: CrewServer | None = None
        if any(isinstance(crew, DemoCrew) for crew in crews.settings.values()):
            demo = await stack.enter_async_context(_demo_server(ledger))
        clients = {}
        for name, crew in crews.settings.items():
            server = demo if isinstance(crew, DemoCrew) else None
            if isinstance(crew, ServedCrew):
                # in a thread: it looks at the target's files
                made = await asyncio.to_thread(_served_crew, name, crew.serve, crews, warn)
                server = made.server
                if made.warning:
                    warn(f"crew {name}: {made.warning}")
                await _start(server, name, stop)
                if crews.on_details is not None and server.details is not None:
                    crews.on_details(name, server.details)
                stack.push_async_callback(server.stop)
                stack.callback(_warn_of_interrupted, name, server, warn)
            client = CrewClient(
                name,
                crew,
                url=server.url if server else None,
                token=server.token if server else None,
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
) -> "AsyncIterator[dict[tuple[str, str], CrewClient]]":
    """Open clients for former addresses of the job file's crews.

    The clients use the crew's other settings, including its token. A crew that is not in the job file gets no client,
    so that a token is sent only to hosts that were named for it. Addresses that were valid only during a run on this
    machine (`embedded`, `serve:…`) get none either.

    Args:
        addresses: pairs of a crew's name and an address from the ledger.
    """
    from batchcrew.crew import CrewClient

    async with AsyncExitStack() as stack:
        clients = {}
        for name, url in sorted(addresses):
            crew = jobfile.crews.get(name)
            if crew is None or url == crew_address(crew) or not url.startswith(("http://", "https://")):
                continue
            former = RemoteCrew.at(url, crew)
            client = CrewClient(name, former, concurrency=concurrency, clock=clock, warn=warn)
            clients[name, url] = await stack.enter_async_context(client)
        yield clients


def _demo_server(ledger: Path | None) -> "CrewServer":
    from batchcrew.server import CrewServer, ServeOptions

    return CrewServer(ServeOptions(state=None if ledger is None else ledger.with_name(EMBEDDED_STATE), private=True))


class _Served(NamedTuple):
    server: "CrewServer"
    warning: str
    """About the interpreter of its workers; empty: there is none."""


def artifacts_folder(serve: ServeSettings, folder: Path, ledger: Path) -> Path:
    """Return the folder for the files of a served crew's tasks.

    Args:
        folder: the folder of the job file.
    """
    return folder / serve.artifacts if serve.artifacts else ledger.with_name(ARTIFACTS)


def served_log(name: str, ledger: Path) -> Path:
    """Return the file that a served crew's output is written to."""
    return ledger.with_name(f"served-{name}.log")


def _served_crew(name: str, serve: ServeSettings, crews: Crews, warn: Callable[[str], None]) -> _Served:
    """Return the server of a crew on this machine.

    Args:
        warn: reports what its executions do to each other.

    Raises:
        UsageError: the target or its interpreter is not valid.
    """
    from batchcrew.server import CrewOptions, CrewServer, ServeOptions, parse_target
    from batchcrew.server.interpreters import interpreter

    folder, ledger = crews.folder, crews.ledger
    keep = ledger is not None
    target = parse_target(serve.target, folder)
    python = interpreter(Path(target.folder), folder / Path(serve.python).expanduser() if serve.python else None)
    crew = CrewOptions(
        target=target,
        command=python.command,
        environment=python.environment,
        workers=serve.workers if keep else 1,
        threads=serve.threads,
        execution_timeout=serve.timeout,
        inputs=serve.inputs,
        describe=crews.on_details is not None,
        log=None if ledger is None else served_log(name, ledger),
        memory=serve.memory,
        isolation=serve.isolation,
        artifacts=None if ledger is None else artifacts_folder(serve, folder, ledger).absolute(),
    )
    state = folder / serve.state if serve.state and keep else None
    options = ServeOptions(state=state, crew=crew, private=True)
    return _Served(CrewServer(options, warn=lambda text: warn(f"crew {name}: {text}")), python.warning)


async def _start(server: "CrewServer", name: str, stop: "Stop | None") -> None:
    """Load the crew, unless a stop is requested meanwhile."""
    if stop is None:
        await server.start()
        return
    starting, stopping = asyncio.ensure_future(server.start()), asyncio.ensure_future(stop.changed.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    if starting.cancelled():
        raise StoppedEarly(f"stopped {stop.detail} while crew {name} was being loaded; nothing was started")
    await starting


def _warn_of_interrupted(name: str, server: "CrewServer", warn: Callable[[str], None]) -> None:
    stats = server.stats
    left = sum(stats.get(phase, 0) for phase in ("running", "paused", "waiting"))
    if left:
        executions = "1 execution" if left == 1 else f"{left} executions"
        warn(f"crew {name} was served for this run only; its end interrupts {executions}")


ProgressKind: TypeAlias = Literal["auto", "brief", "quiet", "json"]


def open_progress(
    stream: TextIO | None,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    kind: ProgressKind = "auto",
    verbose: bool = False,
) -> Progress:
    """Return the display of a run.

    Args:
        stream: standard error; None: it is closed, and nothing is shown.
        kind: `auto`: the live display on a terminal that supports it, else plain lines; `brief`: plain lines without
            progress, for a tick; `quiet`: only what needs the operator's attention; `json`: one object per line.
        verbose: show each request, in lines also on a terminal.
    """
    if kind == "quiet":
        return QuietProgress(stream)
    if kind == "json":
        return JsonLogProgress(stream, clock, verbose=verbose)
    if kind == "brief":
        return PlainProgress(stream, clock, brief=True, verbose=verbose)
    if verbose or stream is None or not stream.isatty() or environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        return PlainProgress(stream, clock, verbose=verbose)
    from batchcrew.progress.live import LiveProgress

    return LiveProgress(stream, clock, no_color=bool(environ.get("NO_COLOR")))
