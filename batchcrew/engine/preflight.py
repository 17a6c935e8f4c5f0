"""The preflight check: request a crew's inputs before its first kickoff.

The answer shows whether the crew is reachable, whether it accepts the token, and whether a kickoff may be repeated.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchcrew.base.quantities import format_duration
from batchcrew.config.settings import RunSettings
from batchcrew.engine.context import RunEnvironment
from batchcrew.engine.crew_lane import CrewLane
from batchcrew.engine.limits.crew_limits import CrewLimits, CrewLimitSettings
from batchcrew.engine.retry import jittered
from batchcrew.model.crew_answers import CrewInputs, NotSent, Unclear, Unusable
from batchcrew.model.run import StopReason

if TYPE_CHECKING:
    from batchcrew.crew import CrewClient

TRIES = 3
"""Number of requests for a crew's inputs if the answers are not understood."""
LOCAL_TRIES = 10
"""Number of requests, one second apart, if this machine has no file descriptor left."""


class Preflight:
    """Checks crews, and stops the run for one that could not be reached for too long.

    Args:
        single_pass: True in a tick: a crew that does not answer is left to the next one.
        decides: the answer decides which columns are sent: while it may soon be another one, the check waits.
    """

    def __init__(self, environment: RunEnvironment, *, single_pass: bool, decides: bool = False) -> None:
        self._environment = environment
        self._single_pass = single_pass
        self._decides = decides

    async def check(self, lane: CrewLane) -> bool:
        """Request the crew's inputs until it answers. Returns True when it does and accepts the token."""
        stop, clock, rng = self._environment.stop, self._environment.clock, self._environment.rng
        unclear = local = 0
        while not stop.requested:
            sent_at = clock.monotonic()
            answer = await lane.client.inputs()
            match answer:
                case CrewInputs():
                    lane.record_inputs(answer)
                    lane.limits.reached()
                    return True
                case Unusable(reason):
                    lane.give_up(reason)
                    return False
                case NotSent(reason, local=True):
                    local += 1
                    if self._single_pass or local >= LOCAL_TRIES:
                        stop.request(StopReason.FILE_DESCRIPTORS, reason, leave=False)
                    else:
                        await clock.sleep(jittered(1.0, rng))
                case NotSent(reason):
                    if not await self._wait_for(lane, reason, sent_at):
                        return False
                case Unclear(reason, passing=True) if self._decides:
                    # if this meant that the crew reports no inputs, the batch would send every column from now on
                    reason += "; `send:` in the job file says what is sent without it"
                    if not await self._wait_for(lane, reason, sent_at):
                        return False
                case Unclear():
                    unclear += 1
                    if unclear >= TRIES:
                        lane.record_inputs(None)
                        return True  # it may accept kickoffs anyway, because some deployments have no /inputs
                    await clock.sleep(jittered(0.2 * unclear, rng))
        return False

    async def _wait_for(self, lane: CrewLane, reason: str, sent_at: float) -> bool:
        """Wait after a request that did not reach the crew. Returns False when this run does not repeat it."""
        lane.limits.not_sent(sent_at=sent_at)
        if self.gave_up(lane, reason):
            return False
        if lane.limits.throttle.should_warn():
            patience = format_duration(lane.limits.reachability.patience)
            tried = "the next tick will retry" if self._single_pass else f"retrying for {patience}"
            self._environment.warn(f"crew {lane.name} cannot be reached ({reason}); {tried}")
        if self._single_pass:
            return False
        await self._environment.clock.sleep(lane.limits.throttle.pause_seconds())
        return True

    def gave_up(self, lane: CrewLane, reason: str) -> bool:
        """Stop the run when the crew could not be reached for too long. Returns whether it does."""
        if not lane.limits.reachability.is_over():
            return False
        patience = format_duration(lane.limits.reachability.patience)
        detail = f"crew {lane.name} could not be reached for {patience}: {reason}"
        self._environment.stop.request(StopReason.CREW_UNUSABLE, detail, leave=True)
        return True


async def request_inputs(
    clients: "Mapping[str, CrewClient]",
    environment: RunEnvironment,
    settings: RunSettings,
    *,
    single_pass: bool,
    longest: float = math.inf,
) -> dict[str, CrewInputs | None]:
    """Request the inputs of crews before the jobs of a batch are read.

    Args:
        longest: seconds after which a run does not wait any more and stops (`max_runtime`).

    Returns:
        By crew, its inputs; None where the crew answers and reports none. A crew that was not reached, or whose server
        only fails for now, is missing: a run was stopped then, and a tick requests them again the next time.
    """
    stop, clock = environment.stop, environment.clock
    preflight = Preflight(environment, single_pass=single_pass, decides=True)
    limits = CrewLimitSettings(slots=1, breaker=settings.breaker)
    woken = asyncio.Event()
    lanes = [
        CrewLane(
            name,
            client,
            CrewLimits(limits, clock=clock, rng=environment.rng),
            environment=environment,
            changed=asyncio.Event(),
        )
        for name, client in clients.items()
    ]
    checks = [asyncio.ensure_future(preflight.check(lane)) for lane in lanes]
    stopping = asyncio.ensure_future(stop.changed.wait())
    for task in (stopping, *checks):
        task.add_done_callback(lambda _: woken.set())
    until = clock.monotonic() + longest
    try:
        while not all(task.done() for task in checks) and not stop.requested and clock.monotonic() < until:
            woken.clear()
            await clock.wait(woken, None if longest == math.inf else max(0.0, until - clock.monotonic()))
    finally:
        for task in (stopping, *checks):
            task.cancel()
        results = await asyncio.gather(stopping, *checks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
    if not single_pass and not all(lane.checked for lane in lanes) and clock.monotonic() >= until:
        stop.request(StopReason.MAX_RUNTIME, f"max_runtime of {format_duration(longest)} has passed", leave=True)
    return {lane.name: lane.inputs for lane in lanes if lane.checked}
