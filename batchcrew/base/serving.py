"""Defaults and limits of served crews, for job files (`serve:`), `batchcrew serve` and the server itself."""

import re
from typing import Literal, TypeAlias, get_args

DEFAULT_WORKERS = 2
"""Worker processes of a served crew."""
MAX_WORKERS = 256
DEFAULT_THREADS = 4
"""Concurrent executions per worker process."""
MAX_THREADS = 256
DEFAULT_EXECUTION_SECONDS = 1800.0
"""Maximum time of one execution."""
Memory: TypeAlias = Literal["isolated", "shared", "off"]
MEMORY_MODES: tuple[Memory, ...] = get_args(Memory)
"""`isolated`: each execution has an empty memory. `shared`: those of one worker have one. `off`: there is none."""
Isolation: TypeAlias = Literal["thread", "process"]
ISOLATION_MODES: tuple[Isolation, ...] = get_args(Isolation)
"""`thread`: the executions of one worker share its process. `process`: each execution has a process alone."""
OLDEST_CREWAI, NEWEST_CREWAI = (0, 100), (1, 15)
"""The first and the last minor version of crewai that batchcrew was tried with."""
INTERRUPTED = "interrupted by a restart"
"""The error of an execution that ended with its server. A run that serves the crew itself knows what it means."""
MAX_INPUT_NAME = 200
_INPUT_NAME = re.compile(r"[^\W\d][\w\-]*")


def minor_version(version: str) -> tuple[int, int] | None:
    """Return the first two numbers of a version; None if it does not begin with them."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return None if match is None else (int(match[1]), int(match[2]))


def check_input_name(name: str) -> str:
    """Return the name of an input that the operator declares for a served crew.

    Raises:
        ValueError: no input can have this name.
    """
    if len(name) > MAX_INPUT_NAME or not _INPUT_NAME.fullmatch(name):
        raise ValueError(f"invalid input name: {name[:MAX_INPUT_NAME]!r} (expected a name such as current_year)")
    return name
