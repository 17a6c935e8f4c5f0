"""Report how many executions may be in progress, and why no more jobs start."""

from collections.abc import Collection

from batchcrew.engine.context import RunContext
from batchcrew.engine.control import RunControl
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.limits.run_limits import RunLimits
from batchcrew.model.capacity import Capacity, Hold, Why
from batchcrew.model.events import CapacityChanged


class CapacityReport:
    """Reports the capacity of a run when it has changed. It only reads the limits, which decide."""

    def __init__(
        self, context: RunContext, lanes: Collection[CrewLane], limits: RunLimits, control: RunControl
    ) -> None:
        self._context = context
        self._lanes = lanes
        self._limits = limits
        self._control = control
        self._reported: Capacity | None = None

    def report(self, *, retry_in: float | None) -> None:
        """Report why no jobs start now, unless it was reported.

        Args:
            retry_in: seconds until the next retry of the crews that have nothing else to start; None: there is none.
        """
        if self._context.single_pass:
            return
        slots = sum(lane.limits.slots.limit for lane in self._lanes)
        capacity = Capacity(
            slots=min(slots, self._context.settings.most_in_progress),
            holds=tuple(hold for lane in self._lanes if (hold := self._hold(lane, retry_in)) is not None),
        )
        if not capacity.resembles(self._reported):
            self._reported = capacity
            self._context.observe(CapacityChanged(capacity))

    def _hold(self, lane: CrewLane, retry_in: float | None) -> Hold | None:
        name = lane.name
        if self._context.paused:
            return Hold(Why.PAUSED, name, detail=self._control.paused_by)
        if lane.budget_spent:
            return Hold(Why.BUDGET, name, detail="max_kickoffs_per_month is used up")
        if not lane.ready:
            return Hold(Why.PREPARING, name)
        if lane.exhausted:
            if retry_in is None:
                return Hold(Why.NOTHING_LEFT, name)
            return Hold(Why.RETRIES, name, until=self._context.clock.monotonic() + retry_in)
        return lane.limits.hold(name, lane.pause_reason) or self._limits.hold(lane, self._lanes)
