"""Count the results of one run, in bounded memory for any number of jobs."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.job import JobState
from batchcrew.model.run import JobLine

SLOWEST = 3
NAMED = 5
"""Jobs of one kind that are named."""


@dataclass(slots=True)
class EngineResult:
    """The results of one run, for its summary."""

    kickoffs: int = 0
    by_crew: Counter[str] = field(default_factory=Counter)
    in_doubt: Counter[str] = field(default_factory=Counter)
    """Kickoffs that were settled as in doubt, by crew: the crew may have charged for each of them."""
    ended: int = 0
    failed: int = 0
    lookalikes: int = 0
    """Succeeded jobs whose answer may be useless."""
    lookalike_example: tuple[str, str] | None = None
    """The job_id of the first one, and why its answer may be useless."""
    interrupted: int = 0
    """Executions that ended with the run that served their crew; their jobs start again."""
    interrupted_jobs: list[str] = field(default_factory=list)
    """The job_ids of the first few."""
    slowest: list[tuple[float, str, JobLine]] = field(default_factory=list)
    """A heap of the slowest ended executions of this run."""

    def count_kickoffs(self, crew: str, kickoffs: int) -> None:
        """Count kickoffs that the crew accepted."""
        self.kickoffs += kickoffs
        self.by_crew[crew] += kickoffs

    def count(self, attempt: Attempt, outcome: Outcome, seconds: float | None) -> None:
        """Count an ended attempt.

        Args:
            seconds: from its kickoff to its end; None without a kickoff.
        """
        self.in_doubt[attempt.crew] += outcome.attempt_state is AttemptState.IN_DOUBT
        if outcome.lookalike is not None and outcome.job_state is JobState.SUCCEEDED:
            self.lookalikes += 1
            self.lookalike_example = self.lookalike_example or (attempt.job_id, outcome.lookalike)
        if outcome.interrupted:
            self.interrupted += 1
            if len(self.interrupted_jobs) < NAMED:
                self.interrupted_jobs.append(attempt.job_id)
        if outcome.job_state is not JobState.PENDING:
            self.ended += 1
            self.failed += outcome.job_state is JobState.FAILED
        if seconds is not None and outcome.job_state is not JobState.PENDING and self._is_slow(seconds):
            line = JobLine(
                job_id=attempt.job_id,
                crew=attempt.crew,
                state=outcome.job_state,
                seconds=seconds,
                attempts_used=attempt.attempts_used,
                kickoff_id=attempt.kickoff_id,
            )
            heapq.heappush(self.slowest, (seconds, attempt.attempt_id, line))
            if len(self.slowest) > SLOWEST:
                heapq.heappop(self.slowest)

    def _is_slow(self, seconds: float) -> bool:
        return len(self.slowest) < SLOWEST or seconds >= self.slowest[0][0]
