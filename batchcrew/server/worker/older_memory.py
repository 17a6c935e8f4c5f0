"""Memory in versions of CrewAI before its unified `Memory`: short-term, long-term and entity memories.

They keep files in the library's storage folder, or collections of one database in it. They are made with their crew, so
those of an execution are made in it.
"""

import functools
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from batchcrew.server.worker.crewai_versions import found
from batchcrew.server.worker.running import TargetError
from batchcrew.server.worker.workspace import current_workspace

NOT_ISOLATED = (
    "the crew names memory objects, which this version of crewai shares between the executions of a process; use"
    " memory=True, isolation: process (--isolation process), memory: off or memory: shared (--memory)"
)
_OBJECTS = ("short_term_memory", "long_term_memory", "entity_memory", "external_memory")


def set_up_older_memory(mode: str) -> None:
    """Switch the memory of crews off, or isolate it: `memory=True` gets files and collections of the execution.

    A crew with memory objects is not isolated but refused, because others may use them. Crews with a memory are made
    one at a time, because the library opens its database then, which fails in concurrent threads.

    Args:
        mode: `isolated`, `shared` or `off`.
    """
    crew = found("crewai:Crew")
    original = crew.__init__
    opening = threading.RLock()

    @functools.wraps(original)
    def make(self: Any, /, *arguments: Any, **named: Any) -> None:
        if mode == "off":
            named = {name: value for name, value in named.items() if name not in {"memory", *_OBJECTS}}
        elif mode == "isolated" and any(named.get(name) for name in _OBJECTS):
            raise TargetError(NOT_ISOLATED)
        remembers = any(named.get(name) for name in ("memory", *_OBJECTS))
        with opening if remembers else nullcontext():
            original(self, *arguments, **named)

    crew.__init__ = make
    if mode == "isolated":
        _separate_memories()


def _separate_memories() -> None:
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
            workspace.reset_at_end(self)

    return make
