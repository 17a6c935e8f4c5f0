"""The executors that the server runs crews with. To add one, write its module and add it to EXECUTORS."""

from batchcrew.server.api.executor import Executor, ExecutorContext, ExecutorKind
from batchcrew.server.crews.executor import CREWS
from batchcrew.server.demo.executor import DEMO
from batchcrew.server.options import ServeOptions

EXECUTORS: tuple[ExecutorKind, ...] = (
    CREWS,
    DEMO,
)
"""The first one that serves the options is used."""


def make_executor(options: ServeOptions, context: ExecutorContext) -> Executor:
    """Return the executor for these options, not opened yet.

    Raises:
        UsageError: the state file cannot be used.
    """
    kind = next(kind for kind in EXECUTORS if kind.serves(options))
    return kind.make(options, context)
