"""The embedded crew server: the crew API with a demo travel planner behind it. No language model is asked.

`app.py` has the routes, `kickoff.py` reads what a client asks for, `dialects.py` says what answers look like,
`crew.py` is the demo crew, `execution.py` one execution as a function of time, `state.py` where executions are
kept, `faults.py` what goes wrong on purpose, `webhooks.py` the calls back, `openapi.py` the description,
`server.py` start and stop.

It imports nothing of batchcrew but `errors`: it shares no parsing with the client, so they cannot share a bug.
"""

from batchcrew.server.faults import Fault, Faults
from batchcrew.server.options import DIALECTS, ServeOptions, Spread, parse_share
from batchcrew.server.server import CrewServer

__all__ = ["DIALECTS", "CrewServer", "Fault", "Faults", "ServeOptions", "Spread", "parse_share"]
