"""Run one batch with the real engine, the real ledger and the real embedded server, in one process."""

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from batchcrew.app.webhook_extras import kickoff_extras
from batchcrew.app.webhooks import open_webhooks
from batchcrew.base.clock import Clock, SystemClock
from batchcrew.config.crews import CrewSettings, RemoteCrew
from batchcrew.config.money import price_lists
from batchcrew.config.settings import PollSettings, RetrySettings, RunSettings
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.crew import CrewClient, crew_address
from batchcrew.crew.extras import no_extras
from batchcrew.engine import Crews, EngineResult, Judging, RunContext, RunEnvironment, Scheduler, Stop
from batchcrew.ledger import BatchKey, Ledger
from batchcrew.model.events import Event, KickedOff, Warned
from batchcrew.model.job import Job, Location
from batchcrew.model.run import Counts, StopReason
from batchcrew.model.verdict import AnswerRules
from batchcrew.model.views import BatchStatus, JobDetail, ResultRow
from batchcrew.model.webhook import WebhookCounts
from batchcrew.server import CrewServer, Faults, ServeOptions, Spread

INPUTS = {"budget": "1000 USD", "interests": "games, food", "duration": "3 days", "age": "35"}
QUICK = PollSettings(initial=0.01, factor=1.5, max=0.05)
SOON = RetrySettings(backoff=0.01, max=0.01)


def jobs(number: int, *, crew: str = "default", prefix: str = "job") -> list[Job]:
    return [
        Job(
            job_id=f"{prefix}-{n}",
            crew=crew,
            inputs=dict(INPUTS),
            meta={"row": n},
            row={"id": f"{prefix}-{n}"},
            where=Location("jobs.csv", n + 2),
        )
        for n in range(number)
    ]


def serving(**options: Any) -> ServeOptions:
    return ServeOptions(**{"execution_time": Spread(0.02), "seed": 1, **options})


def run_settings(**settings: Any) -> RunSettings:
    return RunSettings(**{"concurrency": 5, "poll": QUICK, "retry": SOON, **settings})


@dataclass
class Bench:
    """A batch with its ledger, crews and settings; each call of `run` is one run of it."""

    path: Path
    server: CrewServer
    settings: RunSettings
    crews: dict[str, CrewSettings]
    batch: str = "b"
    clock: Clock = field(default_factory=SystemClock)
    stop: Stop = field(default_factory=Stop)
    events: list[Event] = field(default_factory=list)
    stop_after_kickoffs: int | None = None
    """Stop the run, without waiting for its executions, after this many accepted kickoffs."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    rules: AnswerRules | None = None
    """When an answer counts; None: always."""
    wait: bool = False
    """The run ends only when no job waits for human input."""
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    received: WebhookCounts = field(default_factory=WebhookCounts)
    """The webhooks of the latest run."""
    listening_on: str = ""
    """URL on which the run receives them."""
    urls: dict[str, str] = field(default_factory=dict)
    """URLs of crews that are not on `server`, by crew."""

    async def take_in(self, given: Iterable[Job]) -> None:
        async with Ledger(self.path, clock=self.clock) as ledger:
            staged = await ledger.stage(self.batch, given)
            await ledger.ingest(self.batch, jobfile="jobs.yaml", digest="d", columns=staged.plan.columns)

    async def run(self, *, limit: int | None = None, unreachable: float = 60.0, once: bool = False) -> EngineResult:
        self.events = []
        async with AsyncExitStack() as stack:
            ledger = await stack.enter_async_context(Ledger(self.path, clock=self.clock))
            key = await self._key(ledger)
            found_again = await ledger.recover_by_webhooks(key)
            urls = {name: crew_address(crew) for name, crew in self.crews.items()}
            environment = RunEnvironment(stop=self.stop, clock=self.clock, rng=random.Random(7), observe=self._observe)
            opening = open_webhooks(self.webhooks, ledger, key, environment, crews={}, single_pass=once)
            webhooks = await stack.enter_async_context(opening)
            run_id = await ledger.open_run(
                key.id, pid=1, host="h", version="v", urls=urls, prices=price_lists(self.crews)
            )
            clients = {}
            for name, crew in self.crews.items():
                client = CrewClient(
                    name,
                    crew,
                    url=self.urls.get(name, self.server.url),
                    concurrency=self.settings.concurrency,
                    clock=self.clock,
                    warn=lambda message: self._observe(Warned(message)),
                )
                clients[name] = await stack.enter_async_context(client)
                received = no_extras if webhooks is None else webhooks.fields
                client.extras = kickoff_extras(crew, self.settings, received)
            context = RunContext(
                environment=environment,
                ledger=ledger,
                batch=key,
                run_id=run_id,
                settings=self.settings,
                single_pass=once,
                judging=None if self.rules is None else Judging(self.rules, ledger),
                webhooks=webhooks,
            )
            if webhooks is not None:
                self.listening_on = webhooks.base
                self.received = webhooks.counts
                ledger.save_webhook_counts(run_id, {})
                self.received.found_again += found_again
            crews = Crews(settings=self.crews, clients=clients)
            scheduler = Scheduler(context, crews, limit=limit, unreachable=unreachable, wait=self.wait)
            return await scheduler.run()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true; it is checked after each event of the run."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def counts(self) -> Counts:
        async with Ledger(self.path, clock=self.clock) as ledger:
            return await ledger.counts(await self._key(ledger))

    async def status(self) -> BatchStatus:
        async with Ledger(self.path, clock=self.clock) as ledger:
            return await ledger.status(await self._key(ledger))

    async def tick_to_the_end(self) -> None:
        """Run ticks until no job is left or the batch is stopped."""
        while True:
            await self.run(once=True)
            if self.stop.reason is not None or not (await self.counts()).left:
                return

    async def rows(self) -> list[ResultRow]:
        async with Ledger(self.path, clock=self.clock) as ledger:
            return [row async for row in ledger.results(await self._key(ledger))]

    async def job(self, job_id: str) -> JobDetail:
        async with Ledger(self.path, clock=self.clock) as ledger:
            return await ledger.job(await self._key(ledger), job_id)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def _key(self, ledger: Ledger) -> BatchKey:
        key = await ledger.batch(self.batch)
        assert key is not None
        return key

    def _observe(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()
        kickoffs = len(self.of(KickedOff))
        if self.stop_after_kickoffs is not None and kickoffs >= self.stop_after_kickoffs:
            self.stop.request(StopReason.SIGNAL, "stopped by a test", leave=True)


def bench(path: Path, server: CrewServer, **settings: Any) -> Bench:
    """Create a bench with one crew on the server."""
    crew = RemoteCrew(url="http://unused", token=SecretStr(server.token))
    return Bench(path / "ledger.db", server, run_settings(**settings), {"default": crew})


class RateClock(SystemClock):
    """A clock that runs `speed` times as fast as real time."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._zero = SystemClock.monotonic(self)

    def monotonic(self) -> float:
        return self._zero + (super().monotonic() - self._zero) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        return await super().wait(event, None if seconds is None else seconds / self._speed)


__all__ = ["Bench", "Faults", "RateClock", "bench", "jobs", "run_settings", "serving"]
