"""Memory in versions of CrewAI before its unified `Memory`: short-term, long-term and entity memories.

They keep files in the library's storage folder, or collections of one database in it. They are made with their crew, so
those of an execution are made in it.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

from batchcrew.server.worker.crewai_versions import found
from batchcrew.server.worker.workspace import current_workspace

_OF_CREW = ("_short_term_memory", "_long_term_memory", "_entity_memory", "_external_memory", "_user_memory")
_STARTS = ("kickoff", "kickoff_async", "akickoff")


def separate_memories() -> None:
    """Give the memories that are made in an execution files and collections which are deleted at its end."""
    for name, module in list(sys.modules.items()):
        if name.startswith("crewai.memory.") and callable(getattr(module, "db_storage_path", None)):
            setattr(module, "db_storage_path", _of_execution(module.db_storage_path))  # noqa: B010 - of any module
    storage = found("crewai.memory.storage.rag_storage:RAGStorage")
    if storage is not None:
        storage.__init__ = _in_own_collection(storage.__init__)


def _of_execution(original: Callable[[], str]) -> Callable[[], str]:
    def path() -> str:
        workspace = current_workspace()
        return original() if workspace is None else str(workspace.once("storage", lambda folder: folder))

    return path


def _in_own_collection(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def make(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        workspace = current_workspace()
        if workspace is not None and isinstance(getattr(self, "agents", None), str):
            self.agents = f"{workspace.kickoff_id[:8]}_{self.agents}"  # a part of the collection's name
            workspace.once(f"memory {id(self)}", lambda folder: _Collection(self))

    return make


class _Collection:
    """A memory of one execution; it is kept alive until then."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def close(self) -> None:
        """Delete it."""
        self._storage.reset()


def switch_off_memories() -> None:
    """Run every crew as if it had no memory."""
    crew = found("crewai:Crew")
    for name in _STARTS:
        original = getattr(crew, name, None)
        if original is not None:
            setattr(crew, name, _without_memory(original))


def _without_memory(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start(self: Any, *arguments: Any, **named: Any) -> Any:
        self.memory = False
        for name in _OF_CREW:
            if getattr(self, name, None) is not None:
                setattr(self, name, None)
        return original(self, *arguments, **named)

    return start
