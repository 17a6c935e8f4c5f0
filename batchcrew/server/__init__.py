"""The crew server: the crew API with real CrewAI crews, or with a demo travel planner for rehearsals.

| package or module | contains |
|---|---|
| `server.py` | start and stop |
| `api/` | the routes, what a kickoff contains, the OpenAPI description, and `Executor`, which runs executions |
| `dialects/` | the wording of the answers |
| `executors.py` | which executor serves which options |
| `demo/` | the demo crew: `execution.py` is one execution as a function of time, `crew.py` has its texts |
| `crews/` | real crews: `executor.py` follows their executions, `outbox.py` sends their webhooks |
| `workers/` | the processes of real crews as the server sees them, and the messages to and from them |
| `worker/` | the program of such a process, in the project's own interpreter; only it imports CrewAI |
| `report.py`, `state_file.py`, `webhook_sender.py`, `waiting.py` | what the demo crew and real crews have in common |
| `options.py`, `target.py`, `targets.py`, `faults.py` | what is served, and what fails on purpose |
| `interpreters.py` | the Python that a project's workers run under |
| `execution_times.py`, `phases.py` | how long the demo crew's executions take, and values that change while it runs |

It imports only `batchcrew.base`: client and server share no parsing, so that they cannot share a mistake.
"""

from typing import TYPE_CHECKING, Any

from batchcrew.server.dialects import DEFAULT_DIALECT, DIALECTS
from batchcrew.server.execution_times import Spread
from batchcrew.server.faults import Fault, Faults
from batchcrew.server.options import CrewOptions, ServeOptions, parse_max_running, parse_share
from batchcrew.server.phases import Phases
from batchcrew.server.target import Target
from batchcrew.server.targets import parse_target

if TYPE_CHECKING:
    from batchcrew.server.server import CrewServer

__all__ = [
    "DEFAULT_DIALECT",
    "DIALECTS",
    "CrewOptions",
    "CrewServer",
    "Fault",
    "Faults",
    "Phases",
    "ServeOptions",
    "Spread",
    "Target",
    "parse_max_running",
    "parse_share",
    "parse_target",
]


def __getattr__(name: str) -> Any:
    """Import the server on first use, because worker processes import this package and do not serve."""
    if name == "CrewServer":
        from batchcrew.server.server import CrewServer  # noqa: PLC0415 - see above

        return CrewServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
