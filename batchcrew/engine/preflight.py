"""Asking a crew for its inputs before its first kickoff: is it there, does it know us, may a kickoff be repeated?"""

import asyncio
import math
import random
from collections.abc import Mapping

from batchcrew.base.clock import Clock
from batchcrew.base.quantities import format_duration
from batchcrew.config.settings import RunSettings
from batchcrew.crew import CrewClient
from batchcrew.engine.limits.gate import Gate
from batchcrew.engine.retry import jittered
from batchcrew.engine.stopping import Stop
from batchcrew.model.crew_answers import CrewInputs, NotSent, Unclear, Unusable
from batchcrew.model.events import Observe, Warned
from batchcrew.model.run import StopReason

UNREACHABLE_SECONDS = 60.0
"""A crew that cannot be reached for so long, without a single success, is given up for this run."""
TRIES = 3
"""How often a crew's inputs are asked for when the answer makes no sense."""


LOCAL_TRIES = 10
"""How often, one second apart, when this machine has no file descriptor left."""


class Preflight:
    """Asks, and gives a crew up that was never reached.

    Args:
        unreachable: seconds after which a crew is given up that was never reached.
        give_up: the same for one that was.
        once: a tick: what does not answer is left for the next one.
        decides: the answer decides what is sent: one that may soon be another one is waited for.
    """

    def __init__(
        self,
        clients: Mapping[str, CrewClient],
        *,
        stop: Stop,
        clock: Clock,
        rng: random.Random,
        observe: Observe,
        unreachable: float,
        give_up: float,
        once: bool,
        decides: bool = False,
    ) -> None:
        self._clients = clients
        self._stop = stop
        self._clock = clock
        self._rng = rng
        self._observe = observe
        self._unreachable = unreachable
        self._give_up = give_up
        self._once = once
        self._decides = decides
        self.answers: dict[str, CrewInputs | None] = {}
        """By crew, what it asks for; None: it answers and does not say."""

    async def check(self, gate: Gate) -> bool:
        """True when the crew answers and takes our token."""
        unclear = local = 0
        while not self._stop.requested:
            asked_at = self._clock.monotonic()
            answer = await self._clients[gate.name].inputs()
            match answer:
                case CrewInputs():
                    self.answers[gate.name] = answer
                    gate.idempotent = answer.idempotent_kickoff
                    gate.required = answer.required
                    gate.reached()
                    return True
                case Unusable(reason):
                    detail = f"crew {gate.name}: {reason}"
                    self._stop.request(StopReason.CREW_UNUSABLE, detail, leave=True)
                    return False
                case NotSent(reason, local=True):
                    local += 1
                    if self._once or local >= LOCAL_TRIES:
                        self._stop.request(StopReason.FILE_DESCRIPTORS, reason, leave=False)
                    else:
                        await self._clock.sleep(jittered(1.0, self._rng))
                case NotSent(reason):
                    gate.not_sent(sent_at=asked_at)
                    if not self._tries_again(gate, reason):
                        return False
                    await self._clock.sleep(gate.pause_seconds())
                case Unclear(reason, passing=True) if self._decides:
                    # were this taken for "it does not say", the batch would send every column from now on
                    gate.not_sent(sent_at=asked_at)
                    if not self._tries_again(gate, f"{reason}; `send:` in the job file says what is sent without it"):
                        return False
                    await self._clock.sleep(gate.pause_seconds())
                case Unclear():
                    unclear += 1
                    if unclear >= TRIES:
                        self.answers[gate.name] = None
                        return True  # it may still take kickoffs: some deployments have no /inputs
                    await self._clock.sleep(jittered(0.2 * unclear, self._rng))
        return False

    def _tries_again(self, gate: Gate, reason: str) -> bool:
        """Whether a crew that cannot be reached is asked again in this run."""
        if self.gave_up(gate, reason):
            return False
        if gate.should_warn():
            patience = self._give_up if gate.was_reached else self._unreachable
            tried = "the next tick will retry" if self._once else f"retrying for {format_duration(patience)}"
            self._observe(Warned(f"crew {gate.name} cannot be reached ({reason}); {tried}"))
        return not self._once

    def gave_up(self, gate: Gate, reason: str) -> bool:
        """End the run when nothing of the crew was reached for long enough."""
        patience = self._give_up if gate.was_reached else self._unreachable
        if gate.silent_since is None or self._clock.monotonic() - gate.silent_since < patience:
            return False
        detail = f"crew {gate.name} could not be reached for {format_duration(patience)}: {reason}"
        self._stop.request(StopReason.CREW_UNUSABLE, detail, leave=True)
        return True


async def ask_for_inputs(
    clients: Mapping[str, CrewClient],
    *,
    settings: RunSettings,
    stop: Stop,
    clock: Clock,
    rng: random.Random,
    observe: Observe,
    once: bool,
    longest: float = math.inf,
) -> dict[str, CrewInputs | None]:
    """Ask crews for their inputs before a batch is taken in; None: the crew answers and does not say.

    A crew that was not reached, or whose server only fails for now, is missing. A run has then been stopped; a tick
    asks again the next time.

    Args:
        longest: seconds after which it is not waited for any more: a run stops then (`max_runtime`).
    """
    preflight = Preflight(
        clients,
        stop=stop,
        clock=clock,
        rng=rng,
        observe=observe,
        unreachable=UNREACHABLE_SECONDS,
        give_up=settings.breaker.give_up,
        once=once,
        decides=True,
    )
    gates = [
        Gate(name, slots=1, rate=None, breaker=settings.breaker, clock=clock, rng=rng, burst=once) for name in clients
    ]
    woken = asyncio.Event()
    asking = [asyncio.ensure_future(preflight.check(gate)) for gate in gates]
    for task in asking:
        task.add_done_callback(lambda _: woken.set())
    stopping = asyncio.ensure_future(stop.changed.wait())
    stopping.add_done_callback(lambda _: woken.set())
    until = clock.monotonic() + longest
    try:
        while not all(task.done() for task in asking) and not stop.requested and clock.monotonic() < until:
            woken.clear()
            await clock.wait(woken, None if longest == math.inf else max(0.0, until - clock.monotonic()))
    finally:
        for task in (stopping, *asking):
            task.cancel()
        results = await asyncio.gather(stopping, *asking, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
    if not once and len(preflight.answers) < len(clients) and clock.monotonic() >= until:
        stop.request(StopReason.MAX_RUNTIME, f"max_runtime of {format_duration(longest)} is over", leave=True)
    return preflight.answers
