"""The limits of a run over all its crews: concurrency, rate, budget, and failures in a row."""

from collections.abc import Collection, Mapping
from typing import Any

from batchcrew.engine.context import Crews, RunContext
from batchcrew.engine.limits.budget import KickoffBudget
from batchcrew.engine.limits.cost_limits import CostLimits
from batchcrew.engine.limits.crew_limits import CrewLimits
from batchcrew.engine.limits.failure_streak import CrewLoad, FailureStreaks, failed_jobs
from batchcrew.engine.limits.rate_limiter import RateLimiter
from batchcrew.model.attempt import Attempt, Outcome
from batchcrew.model.capacity import Hold, Why
from batchcrew.model.run import StopReason

WHOLE_BATCH = ""
"""The key under which the ledger keeps the state of the batch's rate, next to the names of crews."""


class RunLimits:
    """Combines the limits that apply to all crews of a run.

    Args:
        kickoffs: most kickoffs of this run; None: any number, 0: only watch executions in progress.
    """

    def __init__(self, context: RunContext, crews: Crews, *, kickoffs: int | None = None) -> None:
        settings, self._context = context.settings, context
        self._most = kickoffs
        self._rate_limiter = RateLimiter(settings.rate, context.clock, burst=context.single_pass)
        self._budget = KickoffBudget([], None)
        self._costs = CostLimits.of(context, crews)
        self._streaks = FailureStreaks(
            settings.stop_after_failures,
            run_id=context.run_id,
            clock=context.clock,
            single_pass=context.single_pass,
        )

    async def settings_changed(self) -> None:
        """Apply settings that have changed during the run."""
        settings = self._context.settings
        self._rate_limiter.change(settings.rate)
        await self._budget.change(settings.max_kickoffs, self._context)
        await self._costs.change(settings.max_cost)

    async def read(self) -> str | None:
        """Read the batch's spending and the failures of its crews. Returns what to report of a probe, if one starts."""
        self._budget = await KickoffBudget.read(self._context, self._most)
        await self._costs.change(self._context.settings.max_cost)
        return await self._streaks.read(self._context.ledger, self._context.batch)

    async def restore(self, crews: Mapping[str, CrewLimits]) -> None:
        """Restore what the last run has saved: rates, and the pauses that servers requested; in a tick, everything."""
        states = await self._context.ledger.throttle_states(self._context.batch)
        for name, (state, ago) in states.items():
            if name == WHOLE_BATCH:
                self._rate_limiter.restore(state["pace"], ago)
            elif name in crews and self._context.single_pass:
                crews[name].restore(state, ago)
            elif name in crews:
                crews[name].restore_requested(state, ago)

    async def save(self, crews: Mapping[str, CrewLimits]) -> None:
        """Save the states of the crews' limits and of the batch's rate for the next run."""
        states: dict[str, dict[str, Any]] = {name: limits.saved() for name, limits in crews.items()}
        states[WHOLE_BATCH] = {"pace": self._rate_limiter.next_in()}
        await self._context.ledger.save_throttle_states(self._context.batch, states)

    def available(self, crew: CrewLoad, crews: Collection[CrewLoad]) -> float:
        """Return the number of kickoffs of a crew that may leave now."""
        return min(self._rate_limiter.available(), self._without_rate(crew, crews))

    def opens_in(self, crew: CrewLoad, crews: Collection[CrewLoad]) -> float | None:
        """Return the seconds until a kickoff of a crew may leave; None when an attempt must end first."""
        return self._rate_limiter.wait_seconds() if self._without_rate(crew, crews) >= 1 else None

    def hold(self, crew: CrewLoad, crews: Collection[CrewLoad]) -> Hold | None:
        """Return why no kickoff of a crew may leave now; None if the limits of the run allow one."""
        settings = self._context.settings
        if sum(each.in_use for each in crews) >= settings.most_in_progress:
            return Hold(Why.SLOTS, crew.name)
        if self._budget.available() < 1:
            spent = self._budget.spent()
            return Hold(Why.CANARY, crew.name) if spent is None else Hold(Why.BUDGET, crew.name, detail=spent[1])
        if self._costs.available(crew.name) < 1:
            return Hold(Why.BUDGET, crew.name, detail="max_cost is reached, or executions in progress may reach it")
        if self._streaks.available(crew, crews) < 1:
            return Hold(Why.PROBE, crew.name)
        if self._rate_limiter.available() < 1:
            until = self._context.clock.monotonic() + self._rate_limiter.wait_seconds()
            return Hold(Why.RATE, crew.name, until, f"{settings.rate}")
        return None

    def spend(self, crew: str, kickoffs: int) -> None:
        """Record kickoffs of a crew that leave now."""
        self._rate_limiter.spend(kickoffs)
        self._budget.spend(kickoffs)
        self._costs.spend(crew, kickoffs)

    def count_failure(self, attempt: Attempt, outcome: Outcome) -> str | None:
        """Count an outcome in the crew's row, before it is durable. Returns all rows as JSON if that changed one."""
        return self._streaks.count(attempt, outcome)

    def count(self, attempt: Attempt, outcome: Outcome, *, refused: bool) -> None:
        """Count an outcome that is durable in the budgets (see `KickoffBudget.count`)."""
        self._budget.count(outcome, refused=refused)
        self._costs.count(attempt, outcome, refused=refused)

    async def refresh(self) -> None:
        """Record that the canary has passed, once it has, and forecast the rest; read what other batches have spent."""
        await self._costs.refresh()
        if self._budget.canary_just_passed():
            await self._context.ledger.pass_canary(self._context.batch)
            if self._context.expect is not None:
                await self._context.expect()

    def spent(self) -> tuple[StopReason, str] | None:
        """Return why no job may start any more, or None."""
        return self._budget.spent()

    def over_cost(self, crews: Collection[CrewLoad]) -> tuple[StopReason, str] | None:
        """Return why no job may start because of `max_cost`, while nothing is in progress; else None."""
        return self._costs.why_stop(crews)

    def why_stop(self, crew: str | None, *, failed: int, ended: int) -> str | None:
        """Return why failures stop the run, or None.

        Args:
            crew: the crew whose row has just changed.
            failed: the jobs of this run that failed.
            ended: the jobs of this run that ended.
        """
        limit = self._context.settings.stop_after_failures
        return self._streaks.why_stop(crew) or failed_jobs(limit, failed=failed, ended=ended)

    def why_no_probe(self, crews: Collection[CrewLoad]) -> str | None:
        """Return why a tick starts no probe yet, or None."""
        return self._streaks.why_no_probe(crews)

    def _without_rate(self, crew: CrewLoad, crews: Collection[CrewLoad]) -> float:
        free = self._context.settings.most_in_progress - sum(each.in_use for each in crews)
        if free < 1:
            return 0
        return min(
            free, self._budget.available(), self._costs.available(crew.name), self._streaks.available(crew, crews)
        )
