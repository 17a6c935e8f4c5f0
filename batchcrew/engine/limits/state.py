"""What holds kickoffs back, from one run or tick to the next."""

from collections.abc import Mapping
from typing import Any

from batchcrew.engine.limits.gate import Gate
from batchcrew.engine.limits.rate_limiter import Pace
from batchcrew.ledger import BatchKey, Ledger

WHOLE_BATCH = ""
"""Stands for no crew: the batch's own rate."""


async def recall(ledger: Ledger, batch: BatchKey, pace: Pace, gates: Mapping[str, Gate], *, everything: bool) -> None:
    """Waits that a server asked for and rates hold from run to run; with `everything`, all that ticks have learned."""
    for name, (state, ago) in (await ledger.paces(batch)).items():
        if name == WHOLE_BATCH:
            pace.recall(state["pace"], ago)
        elif name in gates:
            gate = gates[name]
            (gate.recall if everything else gate.recall_waits)(state, ago)


async def remember(ledger: Ledger, batch: BatchKey, pace: Pace, gates: Mapping[str, Gate]) -> None:
    """Keep it for the next one."""
    states: dict[str, dict[str, Any]] = {name: gate.remember() for name, gate in gates.items()}
    states[WHOLE_BATCH] = {"pace": pace.next_in()}
    await ledger.keep_paces(batch, states)
