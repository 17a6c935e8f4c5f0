"""The knowledge of crews and agents: what an execution adds is found by that execution only.

The library keeps the knowledge of all crews in one collection. A function that makes a crew may give it knowledge about
its row, and each execution adds what it is given, so every row would find what others were given.
"""

import functools
from typing import Any

from batchcrew.server.worker.workspace import current_workspace

_BEFORE_STORAGE = 2
"""Arguments between `collection_name` and `storage`."""


def separate_knowledge() -> None:
    """Give the knowledge that is made in an execution a collection which is deleted at its end, from now on."""
    try:
        from crewai.knowledge.knowledge import Knowledge
    except ImportError:  # an older version
        return
    original: Any = Knowledge.__init__

    @functools.wraps(original)
    def make(self: Any, collection_name: Any = None, *arguments: Any, **named: Any) -> None:
        workspace = current_workspace()
        if workspace is None or named.get("storage") is not None or len(arguments) > _BEFORE_STORAGE:
            original(self, collection_name, *arguments, **named)
            return
        original(self, f"{workspace.kickoff_id[:8]}_{collection_name or ''}", *arguments, **named)
        workspace.reset_at_end(self)

    knowledge: Any = Knowledge
    knowledge.__init__ = make
