"""Runs that receive webhooks from the real embedded server: what they change, and what they must not change."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from engine_bench import Bench, Faults, bench, jobs, serving
from manual_clock import ManualClock

from batchcrew.app.listen import ListenRequest, listen
from batchcrew.base.clock import SystemClock
from batchcrew.config.settings import PollSettings, RetrySettings
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.ledger import Ledger
from batchcrew.model.events import KickedOff, Warned
from batchcrew.model.job import JobState
from batchcrew.model.run import StopReason
from batchcrew.server import CrewServer, Spread
from batchcrew.server.faults import Fault, Route

RARE = PollSettings(strategy="fixed", initial=1000, max=1000)
"""Without a webhook, nothing is polled in the time of a test."""
OFTEN = RetrySettings(attempts=50, backoff=0.01, max=0.01)
HERE = WebhookSettings(listen="127.0.0.1:0")


class Counted:
    """No faults; counts the requests."""

    def __init__(self, script: Faults | None = None) -> None:
        self.status = 0
        self._script = script or Faults()

    def next(self, route: Route) -> Fault | None:
        self.status += route == "status"
        return self._script.next(route)


async def states(made: Bench) -> dict[str, str]:
    return {row.job_id: row.state.value for row in await made.rows()}


def receiving(path: Path, server: CrewServer, webhooks: WebhookSettings = HERE, **settings: object) -> Bench:
    made = bench(path, server, **{"poll": RARE, **settings})
    made.webhooks = webhooks
    return made


async def test_a_webhook_brings_the_poll_forward(tmp_path: Path) -> None:
    counted = Counted()
    async with CrewServer(serving(), faults=counted) as server:
        made = receiving(tmp_path, server)
        await made.take_in(jobs(12))
        await made.run()
        assert server.stats["kickoffs"] == 12
    assert (await made.counts()).succeeded == 12
    assert counted.status == 12  # one each, after its webhook
    assert (made.received.used, made.received.forged) == (12, 0)


@pytest.mark.parametrize("dialect", [pytest.param("guide", marks=pytest.mark.crash), "live"])
async def test_the_result_in_a_webhook_counts_only_where_it_is_trusted(tmp_path: Path, dialect: str) -> None:
    counted = Counted()
    options = serving(dialect=dialect, fail_rate=0.3)
    async with CrewServer(options, faults=counted) as server:
        made = receiving(tmp_path, server, WebhookSettings(listen="127.0.0.1:0", trust=True), timeout=60, retry=OFTEN)
        await made.take_in(jobs(8))
        await made.run()
    rows = await made.rows()
    assert {row.state for row in rows} == {JobState.SUCCEEDED}  # failed ones were retried
    assert all("Tokyo" in (row.output or "") for row in rows)
    assert counted.status == 0


async def test_progress_is_shown_without_a_poll(tmp_path: Path) -> None:
    settings = WebhookSettings(listen="127.0.0.1:0", tasks=True, steps=True, events=("task_started", "task_completed"))
    async with CrewServer(serving()) as server:
        made = receiving(tmp_path, server, settings)
        await made.take_in(jobs(2))
        await made.run()
    assert (await made.counts()).succeeded == 2
    assert made.received.progress >= 4
    assert made.received.repeated >= 1  # the same task, as a webhook and as an event


@pytest.mark.crash
async def test_disturbed_webhooks_never_change_a_state(tmp_path: Path) -> None:
    rates = {f"webhook_{kind}_rate": 0.3 for kind in ("drop", "double", "delay", "forge")}
    async with CrewServer(serving(**rates, fail_rate=0.2)) as server:
        made = bench(tmp_path, server, concurrency=20, retry=OFTEN)
        made.webhooks = WebhookSettings(listen="127.0.0.1:0", tasks=True, events=("crew_kickoff_completed",))
        await made.take_in(jobs(40))
        await made.run()
        assert (await made.counts()).succeeded == 40
        assert all("forged" not in (row.output or "") for row in await made.rows())
    assert made.received.forged > 0
    assert made.received.malformed + made.received.mismatched > 0


async def test_a_lost_answer_is_found_again_by_its_webhook(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_after_accept", "502_after_accept"])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        made = receiving(tmp_path, server)
        await made.take_in(jobs(4))
        await made.run()
        assert server.stats["kickoffs"] == 4
        assert server.stats["max_kickoffs_per_job"] == 1
    assert (await made.counts()).succeeded == 4
    assert made.received.found_again == 2
    assert len([warned for warned in made.of(Warned) if "webhook" in warned.message]) == 1
    assert (await made.counts()).possible_duplicates == 0


async def test_without_a_webhook_delivery_decides_after_the_wait(tmp_path: Path) -> None:
    faults = Faults(kickoff=["drop_before_accept"])
    async with CrewServer(serving(idempotency=False), faults=faults) as server:
        settings = WebhookSettings(listen="127.0.0.1:0", wait=0.05)
        made = receiving(tmp_path, server, settings, delivery="at_most_once")
        await made.take_in(jobs(2))
        await made.run()
        assert server.stats["kickoffs"] == 1
    counts = await made.counts()
    assert (counts.succeeded, counts.held) == (1, 1)


async def test_a_trusted_crew_without_a_webhook_times_out(tmp_path: Path) -> None:
    async with CrewServer(serving(webhook_drop_rate=1.0)) as server:
        made = receiving(tmp_path, server, WebhookSettings(listen="127.0.0.1:0", trust=True), timeout=0.05)
        await made.take_in(jobs(1))
        await made.run()
        assert server.stats["kickoffs"] == 1
    [row] = await made.rows()
    assert row.state is JobState.FAILED
    assert "no webhook" in (row.reason or "")


@pytest.mark.parametrize("trust", [False, True])
async def test_ticks_read_what_listen_has_received(tmp_path: Path, *, trust: bool) -> None:
    """The ticks poll only because of the stored webhooks, and one of them finds a lost kickoff again."""
    counted = Counted(Faults(kickoff=["drop_after_accept"]))
    clock = ManualClock()
    options = serving(idempotency=False, execution_time=Spread(10.0))
    async with CrewServer(options, faults=counted, now=clock.epoch, sleep=clock.sleep) as server:
        made = receiving(tmp_path, server)
        await made.take_in(jobs(3))
        stopped, url = asyncio.Event(), asyncio.get_running_loop().create_future()
        request = ListenRequest(ledger=made.path, batch="b", settings=HERE.model_copy(update={"trust": trust}))
        listening = asyncio.create_task(listen(request, stopped, clock=SystemClock(), started=url.set_result))
        made.webhooks = WebhookSettings(public_url=await url, trust=trust)
        await made.run(once=True)
        counts = await made.counts()
        assert (counts.open, server.stats["kickoffs"]) == (3, 3)
        clock.advance(10.0)
        while len(await stored(made)) < 3:  # noqa: ASYNC110 - it is another program that writes
            await asyncio.sleep(0.01)
        await made.run(once=True)
        assert made.received.found_again == 1
        assert (await made.counts()).succeeded == 3
        assert server.stats["max_kickoffs_per_job"] == 1
        assert counted.status == (0 if trust else 3)
        stopped.set()
        counts_of_listen = await listening
    assert (counts_of_listen.received, counts_of_listen.used) == (3, 3)
    await made.run(once=True)  # a later call deletes what is no longer needed
    assert await stored(made) == []


def about_people(**human: object) -> WebhookSettings:
    return WebhookSettings.model_validate({"listen": "127.0.0.1:0", "human": human})


BEARER = {"strategy": "bearer", "token": "t-1"}
BASIC = {"strategy": "basic", "username": "u", "password": "p"}


@pytest.mark.parametrize("human", [{}, {"secret": "s3"}, {"authentication": BEARER}, {"authentication": BASIC}])
async def test_a_webhook_about_human_input_brings_the_poll_forward(tmp_path: Path, human: dict[str, object]) -> None:
    counted = Counted()
    async with CrewServer(serving(human_rate=1.0, webhook_secret="s3"), faults=counted) as server:
        made = receiving(tmp_path, server, about_people(**human))
        await made.take_in(jobs(3))
        await made.run()
        assert server.stats["paused"] == 3
    assert (await made.counts()).waiting == 3
    assert counted.status == 3  # one each, after its webhook
    assert (made.received.used, made.received.forged) == (3, 0)


@pytest.mark.parametrize("secret", [None, "another"])
async def test_a_webhook_about_human_input_without_a_valid_signature_changes_nothing(
    tmp_path: Path, secret: str | None
) -> None:
    counted = Counted()
    async with CrewServer(serving(human_rate=1.0, webhook_secret=secret), faults=counted) as server:
        made = receiving(tmp_path, server, about_people(secret="s3"))
        await made.take_in(jobs(1))
        run = asyncio.create_task(made.run())
        while not made.received.forged:  # noqa: ASYNC110 - the run has no event for a refused webhook
            await asyncio.sleep(0.01)
        made.stop.request(StopReason.SIGNAL, "stopped by a test", leave=True)
        await run
    assert (await made.counts()).open == 1
    assert (counted.status, made.received.used, made.received.received) == (0, 0, 1)


async def paused(made: Bench) -> list[bool]:
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch(made.batch)
        assert key is not None
        return [webhook.paused for _, webhook in await ledger.stored_webhooks(key)]


async def test_a_tick_polls_what_waits_by_a_webhook_that_listen_has_received(tmp_path: Path) -> None:
    counted, clock = Counted(), ManualClock()
    options = serving(human_rate=1.0, webhook_secret="s3", execution_time=Spread(10.0))
    async with CrewServer(options, faults=counted, now=clock.epoch, sleep=clock.sleep) as server:
        made = receiving(tmp_path, server, about_people(secret="s3"))
        await made.take_in(jobs(2))
        stopped, url = asyncio.Event(), asyncio.get_running_loop().create_future()
        request = ListenRequest(ledger=made.path, batch="b", settings=made.webhooks)
        listening = asyncio.create_task(listen(request, stopped, clock=clock, started=url.set_result))
        made.webhooks = made.webhooks.model_copy(update={"listen": None, "public_url": await url})
        await made.run(once=True)
        assert (await made.counts()).open == 2
        clock.advance(10.0)
        while await paused(made) != [True, True]:  # noqa: ASYNC110 - it is another program that writes
            await asyncio.sleep(0.01)
        await made.run(once=True)
        assert (await made.counts()).waiting == 2
        assert counted.status == 2
        assert await paused(made) == [False, False]  # used
        stopped.set()
        assert (await listening).used == 2


async def test_a_crew_without_webhooks_is_polled(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = receiving(tmp_path, server, poll=PollSettings(initial=0.01, max=0.05))
        made.crews["default"] = made.crews["default"].model_copy(update={"webhooks": False})
        await made.take_in(jobs(3))
        await made.run()
    assert (await made.counts()).succeeded == 3
    assert made.received.received == 0


async def test_a_held_job_is_resumed_when_its_webhook_comes_late(tmp_path: Path) -> None:
    """`delivery` had decided already; nothing is paid for again, also after `retry --held`."""
    clock = ManualClock()
    options = serving(idempotency=False, execution_time=Spread(10.0))
    faults = Faults(kickoff=["drop_after_accept"])
    async with CrewServer(options, faults=faults, now=clock.epoch, sleep=clock.sleep) as server:
        made = receiving(tmp_path, server, delivery="at_most_once")
        await made.take_in(jobs(1))
        stopped, url = asyncio.Event(), asyncio.get_running_loop().create_future()
        request = ListenRequest(ledger=made.path, batch="b", settings=HERE)
        listening = asyncio.create_task(listen(request, stopped, clock=SystemClock(), started=url.set_result))
        made.webhooks = WebhookSettings(public_url=await url, wait=0.001)
        await made.run(once=True)
        await made.run(once=True)
        assert (await made.counts()).held == 1
        clock.advance(10.0)
        while not await stored(made):  # noqa: ASYNC110 - it is another program that writes
            await asyncio.sleep(0.01)
        await made.run(once=True)
        assert (await made.counts()).succeeded == 1
        assert server.stats["kickoffs"] == 1
        stopped.set()
        await listening


async def stored(made: Bench) -> list[object]:
    async with Ledger(made.path, clock=made.clock) as ledger:
        key = await ledger.batch("b")
        assert key is not None
        return list(await ledger.stored_webhooks(key))


@pytest.mark.crash
async def test_a_flood_does_not_stop_the_run(tmp_path: Path) -> None:
    clock = ManualClock()
    options = serving(execution_time=Spread(10.0))
    async with CrewServer(options, now=clock.epoch, sleep=clock.sleep) as server:
        made = receiving(tmp_path, server, concurrency=20)
        await made.take_in(jobs(20))
        running = asyncio.create_task(made.run())
        await made.until(lambda: len(made.of(KickedOff)) == 20)
        async with aiohttp.ClientSession() as session:

            async def flood() -> None:
                for _ in range(50):
                    async with session.post(f"{made.listening_on}/a/b/crew", data=b"{}") as answer:
                        assert answer.status == 404

            await asyncio.gather(*(flood() for _ in range(10)))
        clock.advance(10.0)
        await running
    assert (await made.counts()).succeeded == 20
    assert made.received.forged == 500
