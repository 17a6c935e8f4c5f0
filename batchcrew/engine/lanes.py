"""Make the lanes of a run's crews, change their limits, and find out when their next kickoff may leave."""

import asyncio
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from batchcrew.base.clock import from_text
from batchcrew.config.crews import CrewSettings, ServedCrew
from batchcrew.config.settings import RunSettings
from batchcrew.engine.context import Crews, RunContext
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.earlier_attempts import EarlierAttempts
from batchcrew.engine.limits.crew_limits import CrewLimits, CrewLimitSettings
from batchcrew.engine.limits.run_limits import RunLimits


def make_lanes(
    context: RunContext, crews: Crews, earlier: EarlierAttempts, changed: asyncio.Event, *, unreachable: float
) -> dict[str, CrewLane]:
    """Return a lane for each crew, by its name.

    Args:
        changed: set when the answer to "which jobs may start now?" may have changed.
        unreachable: seconds without any answer after which a crew is given up.
    """
    return {name: _lane(name, context, crews, earlier, changed, unreachable) for name in crews.settings}


def _lane(
    name: str,
    context: RunContext,
    crews: Crews,
    earlier: EarlierAttempts,
    changed: asyncio.Event,
    unreachable: float,
) -> CrewLane:
    crew, settings = crews.settings[name], context.settings
    limits = CrewLimitSettings(
        slots=_slots(crew, settings),
        adaptive=settings.adaptive,
        rate=crew.rate,
        breaker=settings.breaker,
        burst=context.single_pass,
        unreachable=unreachable,
    )
    return CrewLane(
        name,
        crews.clients[name],
        CrewLimits(limits, clock=context.clock, rng=context.rng, on_change=partial(context.slots_changed, name)),
        environment=context.environment,
        changed=changed,
        former=earlier.former_addresses(name),
        served=isinstance(crew, ServedCrew),
    )


def resize_lanes(lanes: Mapping[str, CrewLane], crews: Crews, settings: RunSettings, reason: str) -> None:
    """Give each crew the slots that the settings allow now."""
    for name, lane in lanes.items():
        lane.limits.resize(_slots(crews.settings[name], settings), adaptive=settings.adaptive, reason=reason)


def kickoff_waits(lanes: Collection[CrewLane], limits: RunLimits) -> Iterator[float]:
    """Yield, for each crew with pending jobs, the seconds until a kickoff may leave.

    If an execution must end first, its end wakes the loop.
    """
    for lane in lanes:
        crew_opens, run_opens = lane.opens_in(), limits.opens_in(lane, lanes)
        if crew_opens is not None and run_opens is not None and not lane.exhausted:
            yield max(crew_opens, run_opens, 0.001)


async def next_start(lanes: Iterable[CrewLane], context: RunContext) -> float | None:
    """Return the seconds until the next retry of the crews that have nothing else to start."""
    waits: list[float] = []
    for lane in lanes:
        if lane.exhausted and lane.ready and not lane.budget_spent:
            due = await context.ledger.next_start(context.batch, lane.name)
            if due is not None:
                wait = (from_text(due) - context.clock.now()).total_seconds() if due else 0.0
                waits.append(max(0.0, wait))
                lane.exhausted = wait > 0
    return min(waits) if waits else None


def nothing_is_left(lanes: Iterable[CrewLane], retry_in: float | None) -> bool:
    """Return whether no job can start any more, given the seconds until the next retry (None: there is none)."""
    return retry_in is None and all(lane.exhausted for lane in lanes)


def _slots(crew: CrewSettings, settings: RunSettings) -> int:
    return min(crew.concurrency or settings.most_in_progress, settings.most_in_progress)


def time_to_wake(
    lanes: Collection[CrewLane], context: RunContext, limits: RunLimits, *, deadline: float, retry_in: float | None
) -> float | None:
    """Return the seconds until a job may start even if no event comes; None: there is no such time.

    Args:
        deadline: monotonic moment at which the run ends; infinity: none.
        retry_in: seconds until the next retry; None: there is none.
    """
    waits = [deadline - context.clock.monotonic(), *(lane.limits.gives_up_in() for lane in lanes)]
    if not context.paused:
        waits += [] if retry_in is None else [retry_in + 0.001]
        waits += kickoff_waits(lanes, limits)
    soonest = min(waits)
    return None if soonest == math.inf else max(0.0, soonest)
