"""The state of one crew in a run, updated by the crew's answers."""

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchcrew.base.quantities import format_duration
from batchcrew.base.reasons import is_overload
from batchcrew.engine.addresses import FormerAddress, Server
from batchcrew.engine.context import RunEnvironment
from batchcrew.engine.limits.breaker import Breaker
from batchcrew.engine.limits.crew_limits import CrewLimits
from batchcrew.engine.limits.slots import Permit
from batchcrew.ledger import Claim
from batchcrew.model.attempt import Attempt, AttemptState, Outcome
from batchcrew.model.crew_answers import Busy, CrewInputs, KickoffAnswer, NotSent, Unclear
from batchcrew.model.events import RetriesHeldBack, Understood
from batchcrew.model.execution import Execution
from batchcrew.model.run import StopReason

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient

MOST_NOT_STARTED = 3
"""Kickoffs in a row with an error in place of a kickoff id, after which the crew is given up."""


class CrewLane:
    """One crew of a run: its client, its limits, and the state of its jobs.

    Args:
        changed: set when the answer to "which jobs may start now?" may have changed.
        former: the crew's former addresses at which executions are in progress.
        served: this run serves the crew, and every earlier one did: their executions ended with them.
    """

    def __init__(
        self,
        name: str,
        client: "CrewClient",
        limits: CrewLimits,
        *,
        environment: RunEnvironment,
        changed: asyncio.Event,
        former: Mapping[str, FormerAddress] | None = None,
        served: bool = False,
    ) -> None:
        self.name = name
        self.client = client
        self.limits = limits
        self._environment = environment
        self._changed = changed
        self._former = former or {}
        self.served = served
        self.checked = False
        """The preflight check has succeeded."""
        self.inputs: CrewInputs | None = None
        """The crew's list of inputs; None if it reports none."""
        self.required: tuple[str, ...] = ()
        """The inputs that the crew requires; each kickoff is compared with them."""
        self.kickoffs = 0
        """Kickoffs of this run that the crew accepted."""
        self.exhausted = False
        """No job is pending now; a retry may become due, or a job may become pending again."""
        self.budget_spent = False
        """The crew's budget of the month is spent: none of its jobs starts in this run."""
        self.pause_reason = ""
        """The reason of the latest pause of kickoffs: `429`, `cannot be reached`."""
        self._not_started = 0
        """The latest kickoffs in a row that were answered with an error in place of a kickoff id."""
        self._places: set[tuple[str, str]] = set()
        """The fields that were understood in this run, and their places; bounded by the tables of spellings."""
        self._became_pending = 0
        self._ready = False
        self._preparations = 0

    # Its jobs

    @property
    def ready(self) -> bool:
        """Whether jobs may start: the preflight check succeeded, and kickoffs in doubt of earlier runs are settled."""
        return self._ready

    def skip_preparation(self) -> None:
        """Record that nothing needs to be prepared."""
        self._ready = True

    def begin_preparation(self) -> None:
        """Start no jobs until `end_preparation` was called as often as this."""
        self._ready = False
        self._preparations += 1

    def end_preparation(self) -> None:
        """Record that one preparation has succeeded."""
        self._preparations -= 1
        self._ready = not self._preparations

    @property
    def idempotent(self) -> bool:
        """Whether the server honours the Idempotency-Key."""
        return self.inputs is not None and self.inputs.idempotent_kickoff

    def record_inputs(self, inputs: CrewInputs | None) -> None:
        """Record that the preflight check has succeeded, with its answer."""
        self.checked, self.inputs = True, inputs
        self.required = () if inputs is None else inputs.required

    @property
    def pending_version(self) -> int:
        """A number that changes whenever a job becomes pending."""
        return self._became_pending

    def job_became_pending(self) -> None:
        """Record that a job is pending again."""
        self.exhausted = self.budget_spent
        self._became_pending += 1

    def spend_budget(self) -> None:
        """Record that the budget of the month is spent."""
        self.budget_spent = self.exhausted = True

    @property
    def in_use(self) -> int:
        """Slots in use."""
        return self.limits.slots.in_use

    def available(self) -> float:
        """Return the number of kickoffs that may leave now."""
        return self.limits.available() if self._ready else 0

    def acquire(self, claim: Claim) -> list[Permit]:
        """Take the slots of the kickoffs of a claim, and report retries that wait because of the budget."""
        if claim.retries_held_back and self.limits.retries.should_report():
            self._environment.observe(RetriesHeldBack(self.name))
        return self.limits.acquire(len(claim.attempts), retries=claim.retries)

    def opens_in(self) -> float | None:
        """Return the seconds until a kickoff may leave; None if an event must come first."""
        return self.limits.opens_in() if self._ready else None

    # Answers to kickoffs

    def kickoff_accepted(self, permit: Permit) -> None:
        """Record that the crew accepted the permit's kickoff; its kickoff_id is durable."""
        self._not_started = 0
        self.limits.accepted(permit)
        self._succeeded(self.limits.kickoffs)
        self.kickoffs += 1
        self._changed.set()

    def inputs_refused(self) -> None:
        """Record that the crew refused the inputs of a job: the crew works."""
        self._not_started = 0
        self.limits.reached()
        self._succeeded(self.limits.kickoffs)

    def kickoff_refused(self, answer: Busy | NotSent, *, sent_at: float) -> None:
        """Record a kickoff that was refused for now, or that never left."""
        self.pause_reason = _pause_reason(answer)
        match answer:
            case Busy(reason, retry_after, too_many):
                self.limits.refused(retry_after, sent_at=sent_at, too_many=too_many)
                if too_many:  # it limits its requests, so it works
                    self.limits.kickoffs.undecided()
                else:
                    self._failed(self.limits.kickoffs, reason)
                self._warn_of_pause(f"is busy ({reason})")
            case NotSent(reason, local=True):
                self.limits.throttle.no_descriptor(sent_at=sent_at)
                self.limits.kickoffs.undecided()
                self._warn_of_pause(f"cannot be called right now ({reason})")
            case NotSent(reason):
                self.limits.not_sent(sent_at=sent_at)
                self._failed(self.limits.kickoffs, reason)
                self._warn_of_pause(f"cannot be reached ({reason})")

    def kickoff_not_started(self, reason: str) -> bool:
        """Record an error in place of a kickoff id. Return whether the run stops: the URL or a gateway is wrong."""
        self.limits.reached()
        self._failed(self.limits.kickoffs, reason)
        self._not_started += 1
        if self._not_started < MOST_NOT_STARTED:
            return False
        self.give_up(f"{reason} ({self._not_started} kickoffs in a row); check `url:` and `token:`")
        return True

    def kickoff_in_doubt(self, answer: KickoffAnswer, reason: str, *, sent_at: float) -> None:
        """Record an answer that leaves an attempt in doubt, which the crew may have started."""
        if self.limits.adaptive is not None:
            self.limits.adaptive.unsure()
        if not (isinstance(answer, NotSent) and answer.local):
            self._failed(self.limits.kickoffs, reason)
        if isinstance(answer, Busy):
            self.limits.refused(answer.retry_after, sent_at=sent_at, too_many=answer.too_many)

    # Answers to status requests

    def server_of(self, attempt: Attempt) -> Server:
        """Return the server that runs the attempt's execution."""
        return self._former.get(attempt.address or "", self)

    def status_known(self) -> None:
        """Record a clear answer."""
        self.limits.silence.ended()
        self._succeeded(self.limits.polls)

    def status_unclear(self, answer: Unclear, times: int) -> bool:
        """Record an answer that is not a status (see `Server`): it never ends an attempt."""
        del times
        if not answer.local:
            if self.limits.silence.lasts(answer.reason):
                self._changed.set()  # from now on, the loop must check whether it has lasted for too long
            self._failed(self.limits.polls, answer.reason)
        return True

    def give_up(self, reason: str) -> None:
        """Stop the run: the crew cannot be used."""
        self._environment.stop.request(StopReason.CREW_UNUSABLE, f"crew {self.name}: {reason}", leave=True)

    def understood(self, what: str, place: str) -> None:
        """Report the place of a field in an answer, unless an earlier answer of this run had it in the same place."""
        if place and (what, place) not in self._places:
            self._places.add((what, place))
            self._environment.observe(Understood(self.name, what, place))

    def understood_execution(self, execution: Execution) -> None:
        """Report where an answer had the status and the output (see `understood`)."""
        self.understood("status", execution.status_place)
        self.understood("output", execution.output_place)

    # Ends

    def attempt_ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """Record what an outcome means for the crew's breakers."""
        if attempt.kickoff_id is None or attempt.answered_at_once:
            self.limits.polls.undecided()  # its execution was to be polled as a probe
        match outcome.attempt_state:
            case AttemptState.SUCCEEDED:
                self._execution_ended(succeeded=True)
                self._succeeded(self.limits.executions)
            case AttemptState.FAILED | AttemptState.LOST | AttemptState.TIMED_OUT:
                self._execution_ended(succeeded=False, reason=outcome.reason or "")
                self._failed(self.limits.executions, outcome.reason or "")
            case _:
                self.limits.executions.undecided()

    def _execution_ended(self, *, succeeded: bool, reason: str = "") -> None:
        adaptive = self.limits.adaptive
        if adaptive is not None:
            if is_overload(reason):
                adaptive.overloaded()
            adaptive.ended(succeeded=succeeded)

    def _succeeded(self, breaker: Breaker) -> None:
        if breaker.succeeded():
            self._changed.set()
            self._environment.warn(f"crew {self.name}: {breaker.what} succeed again; kickoffs resume")

    def _failed(self, breaker: Breaker, reason: str) -> None:
        if breaker.failed(reason):
            self._changed.set()
            pause = format_duration(breaker.opens_in() or 0.0)
            self._environment.warn(f"crew {self.name}: {breaker}; kickoffs are paused, next probe in {pause}")

    def _warn_of_pause(self, what: str) -> None:
        if self.limits.throttle.should_warn():
            pause = format_duration(self.limits.throttle.pause_seconds())
            self._environment.warn(f"crew {self.name} {what}; next kickoff in {pause}")


def _pause_reason(answer: Busy | NotSent) -> str:
    if isinstance(answer, NotSent):
        return "no connection can be opened" if answer.local else "the crew cannot be reached"
    code = re.search(r"\b[45]\d\d\b", answer.reason)
    return code[0] if code else "busy"
