"""The engine: which job starts when, and one attempt's life from its intent to its outcome.

`scheduler.py` holds the loop, `attempt.py` one attempt, `lives.py` the tasks of those in flight, `polling.py` how an
execution is watched, `retry.py` what an ending means for the job. What holds kickoffs back: `gate.py` (slots and
pauses of a crew), `pace.py` (rates), `breaker.py` (a crew that is ill), `allowance.py` (spending), `greeting.py` (is
it there at all?). `stopping.py` says why and how to stop.
"""

from batchcrew.engine.observe.polling import Settling
from batchcrew.engine.preflight import ask_for_inputs
from batchcrew.engine.result import EngineResult
from batchcrew.engine.scheduler import TICK_SECONDS, Scheduler
from batchcrew.engine.stopping import Stop

__all__ = ["TICK_SECONDS", "EngineResult", "Scheduler", "Settling", "Stop", "ask_for_inputs"]
