"""Limits on spending, and failing crews, with the real engine, ledger and embedded server."""

from pathlib import Path

from engine_bench import Faults, RateClock, bench, jobs, serving

from batchcrew.config.limits import Canary, MaxKickoffs
from batchcrew.config.settings import BreakerSettings, RetrySettings
from batchcrew.engine import Stop
from batchcrew.model.events import Warned
from batchcrew.model.run import StopReason
from batchcrew.server import CrewServer

SOON = BreakerSettings(failures=3, pause=0.05, give_up=0.5)


async def test_the_canary_holds_the_rest_back_until_it_has_succeeded(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server, canary=Canary(jobs=3))
        await made.take_in(jobs(10))
        made.stop_after_kickoffs = 3
        await made.run()
        assert server.stats["peak_running"] <= 3
        assert server.stats["kickoffs"] == 3
        made.stop, made.stop_after_kickoffs = Stop(), None
        await made.run()
        assert made.stop.reason is None
    assert (await made.counts()).succeeded == 10


async def test_a_canary_that_fails_stops_the_run_with_its_figures(tmp_path: Path) -> None:
    async with CrewServer(serving(fail_rate=1.0)) as server:
        made = bench(tmp_path, server, canary=Canary(jobs=4), retry=RetrySettings(attempts=1))
        await made.take_in(jobs(10))
        await made.run()
        assert server.stats["kickoffs"] == 4
        assert made.stop.reason is StopReason.CANARY
        assert made.stop.detail == "0 of the first 4 jobs succeeded, but the canary requires 100%"
        made.stop = Stop()
        await made.run()
        assert server.stats["kickoffs"] == 4
        made.stop, made.settings = Stop(), made.settings.model_copy(update={"canary": None})
        await made.run()
        assert server.stats["kickoffs"] == 10


async def test_a_share_of_the_canary_is_enough_where_the_file_says_so(tmp_path: Path) -> None:
    faults = Faults(kickoff=[422])
    async with CrewServer(serving(), faults=faults) as server:
        made = bench(tmp_path, server, canary=Canary.model_validate({"jobs": 5, "succeed": "80%"}))
        await made.take_in(jobs(8))
        await made.run()
    counts = await made.counts()
    assert (counts.succeeded, counts.failed) == (7, 1)


async def test_max_kickoffs_of_a_run_and_of_the_batch_are_kept(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[429])) as server:
        made = bench(tmp_path, server, max_kickoffs=MaxKickoffs(run=3, batch=5), concurrency=2)
        made.clock = RateClock(20)
        await made.take_in(jobs(9))
        spent = []
        for _ in range(3):
            made.stop = Stop()
            await made.run()
            spent.append((server.stats["kickoffs"], made.stop.reason))
    assert spent == [(3, StopReason.LIMIT), (5, StopReason.BUDGET), (5, StopReason.BUDGET)]


async def test_a_crews_month_is_counted_over_all_batches_of_the_ledger(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        first, second = bench(tmp_path, server), bench(tmp_path, server)
        second.batch = "other"
        for made, url in ((first, "http://crew.example.com"), (second, "HTTP://Crew.example.com:80/")):
            limited = {"max_kickoffs_per_month": 5, "url": url}  # however its address is written
            made.crews = {"default": made.crews["default"].model_copy(update=limited)}
            await made.take_in(jobs(4))
            await made.run()
        assert first.stop.reason is None
        assert second.stop.reason is StopReason.BUDGET
        assert "max_kickoffs_per_month (5)" in second.stop.detail
        assert server.stats["kickoffs"] == 5
    assert (await second.counts()).pending == 3


async def test_a_failing_crew_is_probed_and_used_again_once_it_works(tmp_path: Path) -> None:
    ill = 9
    options = serving(idempotency=False)
    async with CrewServer(options, faults=Faults(kickoff=["error_before_accept"] * ill)) as server:
        patient = SOON.model_copy(update={"give_up": 3600.0})
        many = RetrySettings(attempts=20, backoff=0.01, max=0.01)
        made = bench(tmp_path, server, breaker=patient, concurrency=3, retry=many)
        made.clock = RateClock(20)
        await made.take_in(jobs(6))
        await made.run()
        assert server.stats["kickoff_requests"] == ill + 6
    said = [event.message for event in made.of(Warned)]
    assert any("3 kickoffs" in message for message in said)
    assert any("kickoffs succeed again" in message for message in said)
    assert (await made.counts()).succeeded == 6


async def test_a_crew_that_keeps_failing_ends_the_run_without_failing_its_jobs(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[503] * 1000)) as server:
        made = bench(tmp_path, server, breaker=SOON, concurrency=3)
        made.clock = RateClock(10)
        await made.take_in(jobs(6))
        await made.run()
        assert server.stats["kickoffs"] == 0
    assert made.stop.reason is StopReason.CREW_UNUSABLE
    assert "503" in made.stop.detail
    assert (await made.counts()).pending == 6


async def test_questions_that_go_wrong_pause_kickoffs_and_end_the_run_in_time(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(status=[500] * 1000)) as server:
        made = bench(tmp_path, server, breaker=SOON, concurrency=3)
        await made.take_in(jobs(12))
        await made.run()
        assert server.stats["kickoffs"] == 3
        assert made.stop.reason is StopReason.CREW_UNUSABLE
        assert "status requests" in made.stop.detail
    counts = await made.counts()
    assert (counts.open, counts.pending, counts.failed) == (3, 9, 0)


async def test_failing_executions_count_only_where_the_file_says_so(tmp_path: Path) -> None:
    for on, kickoffs in ((["api"], 12), (["api", "crew_error"], 3)):
        async with CrewServer(serving(fail_rate=1.0)) as server:
            folder = tmp_path / str(len(on))
            folder.mkdir()
            breaker = BreakerSettings.model_validate({"failures": 3, "pause": 1000, "give_up": 0.3, "on": on})
            once = RetrySettings(attempts=1)
            made = bench(folder, server, breaker=breaker, concurrency=1, retry=once, stop_after_failures=None)
            await made.take_in(jobs(12))
            await made.run()
            assert server.stats["kickoffs"] == kickoffs
            assert made.stop.reason is (None if len(on) == 1 else StopReason.CREW_UNUSABLE)
