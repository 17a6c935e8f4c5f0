"""The crew server: the crew API with real CrewAI crews behind it, or a demo travel planner for rehearsals.

`app.py` has the routes, `kickoff.py` and `resume.py` read what a client asks for, `dialects.py` says what answers look
like, `executor.py` what the routes know of a crew, `openapi.py` the description, `faults.py` what goes wrong on
purpose, `server.py` start and stop.

Real crews: `crews.py` follows executions, `processes.py` runs them in `worker.py` processes (`library.py` and
`listening.py` are all that knows CrewAI), `following.py` says what a worker's message makes of an execution,
`archive.py` keeps them, `callbacks.py`, `event_stream.py` and `outbox.py` call back.

The demo: `demo.py`, `crew.py` its texts, `execution.py` one execution as a function of time, `state.py` where they
are kept, `webhooks.py` the calls back.

It imports nothing of batchcrew but `errors`: it shares no parsing with the client, so they cannot share a bug.
"""

import importlib
from typing import TYPE_CHECKING, Any

from batchcrew.server.dialects import DEFAULT_DIALECT, DIALECTS
from batchcrew.server.faults import Fault, Faults
from batchcrew.server.options import CrewOptions, ServeOptions, Spread, parse_share
from batchcrew.server.targets import Target, parse_target

if TYPE_CHECKING:
    from batchcrew.server.server import CrewServer

__all__ = [
    "DEFAULT_DIALECT",
    "DIALECTS",
    "CrewOptions",
    "CrewServer",
    "Fault",
    "Faults",
    "ServeOptions",
    "Spread",
    "Target",
    "parse_share",
    "parse_target",
]


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for: worker processes import this package, and serve nothing."""
    if name == "CrewServer":
        return importlib.import_module("batchcrew.server.server").CrewServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
