"""Determine why a run ends although jobs are left: a limit, or human input."""

from collections.abc import Collection

from batchcrew.engine.context import Crews, RunContext
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.limits.run_limits import RunLimits
from batchcrew.engine.people import WaitingJobs
from batchcrew.model.run import StopReason


async def stop_for_what_is_left(
    context: RunContext, crews: Crews, lanes: Collection[CrewLane], limits: RunLimits, people: WaitingJobs
) -> None:
    """Stop the run with the limit, or the human input, that is the reason why jobs are left."""
    waiting = limits.why_no_probe(lanes)
    if waiting:
        context.stop.request(StopReason.STOP_AFTER_FAILURES, waiting, leave=False)
    for lane in lanes:
        if lane.budget_spent:
            most = crews.settings[lane.name].max_kickoffs_per_month
            detail = f"crew {lane.name}: max_kickoffs_per_month ({most}) is used up"
            context.stop.request(StopReason.BUDGET, detail, leave=False)
    over = limits.over_cost(lanes)
    if over is not None:
        context.stop.request(*over, leave=False)
    left = None if context.single_pass else await people.left()
    if left is not None:
        context.stop.request(StopReason.WAITING, left, leave=False)
