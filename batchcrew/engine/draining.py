"""Decide how long a run waits at `max_runtime` for executions that would end with it: those of the crews that it
serves."""

import math
from collections.abc import Iterable, Mapping

from batchcrew.base.quantities import format_duration
from batchcrew.config.crews import CrewSettings, ServedCrew
from batchcrew.engine.context import RunContext
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.observe.choice import Watchers
from batchcrew.model.run import StopReason

UNKNOWN_SECONDS = 60.0
"""The assumed duration of a crew without known executions."""


def stop_at_max_runtime(
    context: RunContext, lanes: Iterable[CrewLane], crews: Mapping[str, CrewSettings], watchers: Watchers
) -> float:
    """Stop the run: at first start nothing more, then leave everything to the next run.

    Returns:
        The monotonic moment of the next call, or infinity.
    """
    first = context.stop.reason is not StopReason.MAX_RUNTIME
    more = drain_seconds(lanes, crews, watchers) if first else 0.0
    runtime = format_duration(context.settings.max_runtime or 0)
    context.stop.request(StopReason.MAX_RUNTIME, f"max_runtime of {runtime} reached", leave=not more)
    return context.clock.monotonic() + more if more else math.inf


def drain_seconds(lanes: Iterable[CrewLane], crews: Mapping[str, CrewSettings], watchers: Watchers) -> float:
    """Return the seconds for which executions may still end; 0: none would be interrupted.

    For each crew that this run serves and that has executions in progress, it is `serve.drain`, by default the
    duration of most of its executions.
    """
    waits = [0.0]
    for lane in lanes:
        crew = crews[lane.name]
        if isinstance(crew, ServedCrew) and lane.in_use:
            usual = watchers.usual_seconds(lane.name)
            unset = UNKNOWN_SECONDS if usual is None else usual
            waits.append(unset if crew.serve.drain is None else crew.serve.drain)
    return max(waits)
