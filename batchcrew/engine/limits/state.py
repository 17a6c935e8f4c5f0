"""What holds kickoffs back, from one run or tick to the next."""

from collections.abc import Mapping
from typing import Any

from batchcrew.engine.limits.gate import Gate
from batchcrew.engine.limits.rate_limiter import RateLimiter
from batchcrew.ledger import BatchKey, Ledger

WHOLE_BATCH = ""
"""Stands for no crew: the batch's own rate."""


async def restore_throttles(
    ledger: Ledger, batch: BatchKey, rate_limiter: RateLimiter, gates: Mapping[str, Gate], *, everything: bool
) -> None:
    """Restore what the last run has saved: the pauses that a server asked for, and rates.

    Args:
        everything: also what ticks have learned of a crew.
    """
    for name, (state, ago) in (await ledger.throttle_states(batch)).items():
        if name == WHOLE_BATCH:
            rate_limiter.restore(state["pace"], ago)
        elif name in gates:
            gate = gates[name]
            (gate.restore if everything else gate.restore_pauses)(state, ago)


async def save_throttles(ledger: Ledger, batch: BatchKey, rate_limiter: RateLimiter, gates: Mapping[str, Gate]) -> None:
    """Save what holds kickoffs back for the next run."""
    states: dict[str, dict[str, Any]] = {name: gate.saved() for name, gate in gates.items()}
    states[WHOLE_BATCH] = {"pace": rate_limiter.next_in()}
    await ledger.save_throttle_states(batch, states)
