"""What a run reports about its slots, and about what keeps more jobs from starting."""

from pathlib import Path

from engine_bench import Bench, Faults, bench, jobs, serving

from batchcrew.config.limits import Canary
from batchcrew.config.settings import BreakerSettings
from batchcrew.config.values import Rate
from batchcrew.model.capacity import Capacity, Hold, Why
from batchcrew.model.events import CapacityChanged, KickedOff, PollDue
from batchcrew.server import CrewServer


def reported(made: Bench) -> list[Capacity]:
    return [event.capacity for event in made.of(CapacityChanged)]


def holds(made: Bench) -> list[Hold]:
    return [hold for capacity in reported(made) for hold in capacity.holds]


def reasons(made: Bench) -> set[Why]:
    return {hold.why for hold in holds(made)}


async def test_slots_in_use_and_the_next_polls_are_reported(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server, concurrency=2)
        await made.take_in(jobs(6))
        await made.run()
    assert {capacity.slots for capacity in reported(made)} == {2}
    assert Why.SLOTS in reasons(made)
    polled = {event.attempt_id for event in made.of(PollDue)}
    assert polled == {event.attempt.attempt_id for event in made.of(KickedOff)}


async def test_a_rate_is_reported_with_the_moment_of_the_next_kickoff(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server, rate=Rate(count=20, period_seconds=1))
        await made.take_in(jobs(4))
        await made.run()
    found = [hold for hold in holds(made) if hold.why is Why.RATE]
    assert found
    assert all(hold.detail == "20/s" and hold.until is not None for hold in found)


async def test_a_refusal_is_reported_with_its_code(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[429])) as server:
        made = bench(tmp_path, server, concurrency=3)
        await made.take_in(jobs(3))
        await made.run()
    (hold, *_) = [hold for hold in holds(made) if hold.why is Why.THROTTLED]
    assert hold.detail == "429"
    assert hold.until is not None


async def test_the_canary_is_reported(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server, canary=Canary(jobs=2))
        await made.take_in(jobs(4))
        await made.run()
    assert Why.CANARY in reasons(made)


async def test_an_open_breaker_is_reported(tmp_path: Path) -> None:
    async with CrewServer(serving(), faults=Faults(kickoff=[500, 500])) as server:
        quick = BreakerSettings(failures=2, pause=0.05, give_up=30)
        made = bench(tmp_path, server, concurrency=1, breaker=quick)
        await made.take_in(jobs(4))
        await made.run()
    assert Why.BREAKER in reasons(made)


async def test_a_tick_reports_no_capacity(tmp_path: Path) -> None:
    async with CrewServer(serving()) as server:
        made = bench(tmp_path, server)
        await made.take_in(jobs(2))
        await made.run(once=True)
    assert not reported(made)
