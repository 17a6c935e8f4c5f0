"""The engine: which job starts when, and what happens to an attempt from its intent to its outcome.

`scheduler.py` is the loop: it claims jobs, starts an `AttemptTask` for each, and records their outcomes. `attempt.py`
runs one attempt, and `in_progress.py` is the set of them. `crew_lane.py` is one crew of the run, with its limits
(`limits/`) and its servers (`addresses.py`). `observe/` finds out what an execution does, `judging.py` applies the job
file's rules to its answer, and `retry.py` decides what an outcome means for its job. `preflight.py` and
`missing_inputs.py` check a crew and its jobs before the first kickoff, and `earlier_attempts.py` finds what earlier
runs left. `webhooks.py` keeps what crews send. `context.py` holds what they share, `stopping.py` the stop.
"""

from batchcrew.engine.context import Crews, RunContext, RunEnvironment
from batchcrew.engine.judging import Judging
from batchcrew.engine.observe.settling import Settling
from batchcrew.engine.preflight import request_inputs
from batchcrew.engine.result import EngineResult
from batchcrew.engine.scheduler import TICK_SECONDS, Scheduler
from batchcrew.engine.stopping import Stop
from batchcrew.engine.webhooks import Webhooks

__all__ = [
    "TICK_SECONDS",
    "Crews",
    "EngineResult",
    "Judging",
    "RunContext",
    "RunEnvironment",
    "Scheduler",
    "Settling",
    "Stop",
    "Webhooks",
    "request_inputs",
]
