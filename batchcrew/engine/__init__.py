"""The engine: which job starts when, and one attempt's life from its intent to its outcome.

`scheduler.py` holds the loop, `attempt.py` one attempt, `polling.py` how an execution is watched,
`retry.py` what an ending means for the job, `limits.py` slots and pace, `stopping.py` why and how to stop.
"""

from batchcrew.engine.result import EngineResult
from batchcrew.engine.scheduler import Scheduler
from batchcrew.engine.stopping import Stop

__all__ = ["EngineResult", "Scheduler", "Stop"]
