"""The kickoff budget: how many kickoffs may still leave, by `--limit`, `max_kickoffs` and the canary.

A refused kickoff costs nothing, so it does not count.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from batchcrew.base.clock import to_text
from batchcrew.config.crews import CrewSettings
from batchcrew.config.limits import Canary, MaxKickoffs
from batchcrew.crew import crew_address
from batchcrew.engine.context import RunContext
from batchcrew.ledger import MonthBudget
from batchcrew.model.attempt import Outcome
from batchcrew.model.job import JobState
from batchcrew.model.run import Counts, StopReason


@dataclass(slots=True)
class Limit:
    """The kickoffs that are left, and the message for when they are spent."""

    left: float
    reason: StopReason
    message: str


@dataclass(slots=True)
class CanaryWatch:
    """The batch's first jobs: no others start until they have ended, and only if enough succeeded."""

    settings: Canary
    started: int
    ended: int
    succeeded: int

    @classmethod
    def of(cls, settings: Canary, counts: Counts) -> "CanaryWatch":
        """Return the canary as the ledger has the batch when a run begins."""
        return cls(settings, counts.ended + counts.open, counts.ended, counts.succeeded)

    @property
    def left(self) -> int:
        return max(0, self.settings.jobs - self.started)

    @property
    def decided(self) -> bool:
        return self.ended >= self.settings.jobs and self.started == self.ended

    @property
    def passed(self) -> bool:
        return self.succeeded >= self.settings.succeed * self.ended

    def spend(self, kickoffs: int) -> None:
        """Record kickoffs that leave now."""
        self.started += kickoffs

    def count(self, outcome: Outcome) -> None:
        """Count an ended attempt."""
        if outcome.job_state is JobState.PENDING:
            self.started -= 1
            return
        self.ended += 1
        self.succeeded += outcome.job_state is JobState.SUCCEEDED

    def __str__(self) -> str:
        return (
            f"{self.succeeded} of the first {self.ended} jobs succeeded, "
            f"but the canary requires {float(self.settings.succeed * 100):g}%"
        )


class KickoffBudget:
    """Combines the budgets of one run."""

    def __init__(self, limits: list[Limit], canary: CanaryWatch | None) -> None:
        self._limits = limits
        self._canary = canary
        self._spent = 0
        """Kickoffs of this run that were not refused."""
        self._kept = len(limits)
        """The limits that no setting changes come first."""
        self._used_before: int | None = None
        """Kickoffs of the batch in earlier runs; None: not needed so far."""

    @classmethod
    async def read(cls, context: RunContext, limit: int | None) -> Self:
        """Return the budget of this run, from its options, the job file and the batch's earlier kickoffs.

        Args:
            limit: most kickoffs of this run (`--limit`); 0 only watches executions in progress.
        """
        limits = []
        ledger, batch, canary = context.ledger, context.batch, context.settings.canary
        if limit is not None:
            message = f"the limit of {limit} kickoffs for this run is reached" if limit else "only watching"
            limits.append(Limit(limit, StopReason.LIMIT, message))
        watched = canary is not None and not await ledger.canary_passed(batch)
        budget = cls(limits, CanaryWatch.of(canary, await ledger.counts(batch)) if canary and watched else None)
        await budget.change(context.settings.max_kickoffs, context)
        return budget

    async def change(self, most: MaxKickoffs | None, context: RunContext) -> None:
        """Replace the limits of `max_kickoffs`; what this run has spent counts."""
        limits = self._limits[: self._kept]
        if most is not None and most.batch is not None and self._used_before is None:
            self._used_before = await context.ledger.kickoffs(context.batch, before=context.run_id)
        if most is not None and most.run is not None:
            message = f"max_kickoffs of the run ({most.run}) is reached"
            limits.append(Limit(most.run - self._spent, StopReason.LIMIT, message))
        if most is not None and most.batch is not None and self._used_before is not None:
            message = f"max_kickoffs of the batch ({most.batch}) is used up"
            limits.append(Limit(most.batch - self._used_before - self._spent, StopReason.BUDGET, message))
        self._limits = limits

    def available(self) -> float:
        """Return the number of kickoffs that may leave now."""
        limits = max(0, min((limit.left for limit in self._limits), default=math.inf))
        return limits if self._canary is None else min(limits, self._canary.left)

    def spend(self, kickoffs: int) -> None:
        """Record kickoffs that leave now."""
        self._spent += kickoffs
        for limit in self._limits:
            limit.left -= kickoffs
        if self._canary is not None:
            self._canary.spend(kickoffs)

    def count(self, outcome: Outcome, *, refused: bool) -> None:
        """Count an ended attempt.

        Args:
            refused: its kickoff cost nothing.
        """
        if refused:
            self._spent -= 1
            for limit in self._limits:
                limit.left += 1
        if self._canary is not None:
            self._canary.count(outcome)

    def canary_just_passed(self) -> bool:
        """Return True once, when the canary has passed: from then on it limits nothing."""
        if self._canary is None or not self._canary.decided or not self._canary.passed:
            return False
        self._canary = None
        return True

    def spent(self) -> tuple[StopReason, str] | None:
        """Return why no job may start any more, or None."""
        if self._canary is not None and self._canary.decided:
            return StopReason.CANARY, str(self._canary)
        for limit in self._limits:
            if limit.left <= 0:
                return limit.reason, limit.message
        return None


def month_budget(crew: CrewSettings, now: datetime) -> MonthBudget | None:
    """Return a crew's budget for the calendar month (UTC) of `now`; None where its job file sets none."""
    if crew.max_kickoffs_per_month is None:
        return None
    since = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return MonthBudget(crew_address(crew), to_text(since), crew.max_kickoffs_per_month)
