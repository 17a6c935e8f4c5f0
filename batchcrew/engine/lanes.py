"""Makes the lane of a crew: its limits, as the settings of the run and of the crew give them."""

import asyncio
from functools import partial

from batchcrew.engine.context import Crews, RunContext
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.earlier_attempts import EarlierAttempts
from batchcrew.engine.limits.crew_limits import CrewLimits, CrewLimitSettings


def crew_lane(
    name: str,
    context: RunContext,
    crews: Crews,
    earlier: EarlierAttempts,
    *,
    changed: asyncio.Event,
    unreachable: float,
) -> CrewLane:
    """Return the lane of one crew of the run.

    Args:
        changed: set when the answer to "which jobs may start now?" may have changed.
        unreachable: seconds without any answer after which the crew is given up.
    """
    crew, settings = crews.settings[name], context.settings
    limits = CrewLimitSettings(
        slots=min(crew.concurrency or settings.most_in_progress, settings.most_in_progress),
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
    )
