"""The words that semantic-kernel's CrewAI client accepts. It refuses the guide's `inputs` and `result`."""

from collections.abc import Mapping

from batchcrew.server.dialects.guide import STATES
from batchcrew.server.dialects.live import Live
from batchcrew.server.report import Phase

_NAME = "semantic-kernel"
_HEADERS = ("user_agent", "User-Agent")
"""The client sends its name in the first of these headers."""


class SemanticKernel(Live):
    """Implements `DialectFormat`."""

    _words: Mapping[Phase, str] = {**STATES, "paused": STATES["running"]}  # it knows no other word for a pause


def is_semantic_kernel(headers: Mapping[str, str]) -> bool:
    """Return whether a request is from this client.

    Args:
        headers: the request's, whose keys are the same in any case.
    """
    return any(headers.get(name, "").startswith(_NAME) for name in _HEADERS)
