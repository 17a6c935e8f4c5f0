"""The memory of crews, flows and agents: fresh for each execution, or off.

One memory object may serve many executions, such as that of a template that is copied. So its storage is replaced by
one that passes each call to the storage of the current execution.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchcrew.server.worker.older_memory import set_up_older_memory
from batchcrew.server.worker.workspace import current_workspace

_LANCE = "lancedb"
_QDRANT = "qdrant-edge"


def set_up_memory(mode: str, warn: Callable[[str], None], *, alone: bool = False) -> None:
    """Change how the library stores memories from now on.

    Args:
        mode: `isolated`, `shared` (as the library does it) or `off`.
        warn: reports a storage that cannot be used in isolated executions.
        alone: the worker runs one execution, and no other worker uses its storage folder.
    """
    try:
        from crewai.memory.unified_memory import Memory
    except ImportError:
        set_up_older_memory("shared" if mode == "isolated" and alone else mode)
        return
    if mode == "shared":
        return
    _replace_storage(Memory, warn)
    if mode == "off":
        _switch_off(Memory)


class ExecutionStorage:
    """A memory's storage: a fresh one in each execution.

    Args:
        spec: the storage that the project names: a kind, a path, or an object of the library.
    """

    def __init__(self, spec: Any) -> None:
        self._spec = spec

    def __deepcopy__(self, memo: Any) -> "ExecutionStorage":
        """Return itself: copies of a memory in one execution have one storage, as in the library."""
        return self

    def __getattr__(self, name: str) -> Any:
        """Return a method of the current execution's storage."""
        if name.startswith("__"):
            raise AttributeError(name)
        workspace = current_workspace()
        if workspace is None:
            raise RuntimeError("the memory is used outside of an execution")
        return getattr(workspace.once(f"memory {_key(self._spec)}", lambda folder: _made(self._spec, folder)), name)


def _replace_storage(memory: Any, warn: Callable[[str], None]) -> None:
    original = memory.model_post_init

    def model_post_init(self: Any, context: Any, /) -> None:
        original(self, context)
        storage = self._storage
        if isinstance(storage, ExecutionStorage):
            return
        spec = self.storage
        if not isinstance(spec, str) and not _folder_of(spec):
            name = type(spec).__name__
            warn(f"a memory has the storage {name}; each execution gets an empty one instead, unless `memory: shared`")
        self._storage = ExecutionStorage(spec)

    def with_pool(self: Any, context: Any, /) -> None:
        model_post_init(self, context)
        workspace, pool = current_workspace(), getattr(self, "_save_pool", None)
        if workspace is not None and pool is not None:  # else its thread would remain
            workspace.once(f"pool {id(pool)}", lambda folder: _Pool(pool))

    memory.model_post_init = with_pool
    try:
        from crewai.memory.storage.factory import set_memory_storage_factory
    except ImportError:  # an older version, which makes a storage that is not used
        return
    set_memory_storage_factory(ExecutionStorage)


class _Pool:
    """The threads that store the memories of one execution; they are kept until its end."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def close(self) -> None:
        """End them."""
        self._pool.shutdown(wait=False)


def _key(spec: Any) -> str:
    return spec if isinstance(spec, str) else _folder_of(spec) or f"{type(spec).__name__} {id(spec)}"


def _folder_of(spec: Any) -> str:
    """Return the folder of a storage object of the library; empty if it has none."""
    if type(spec).__module__.startswith("crewai.memory.storage."):
        path = getattr(spec, "_path", None) or getattr(spec, "path", None)
        return str(path) if isinstance(path, str | Path) else ""
    return ""


def _made(spec: Any, folder: Path) -> Any:
    """Make the storage of one execution. Where the project names a folder, it begins with the contents of that one."""
    named = spec if isinstance(spec, str) and spec not in {_LANCE, _QDRANT} else ""
    if not isinstance(spec, str):
        named = _folder_of(spec)
    if named and Path(named).is_dir():
        shutil.copytree(named, folder, dirs_exist_ok=True)
    if spec == _QDRANT or type(spec).__name__ == "QdrantEdgeStorage":
        from crewai.memory.storage.qdrant_edge_storage import QdrantEdgeStorage

        return QdrantEdgeStorage(path=str(folder))
    from crewai.memory.storage.lancedb_storage import LanceDBStorage

    return LanceDBStorage(path=folder)


def _switch_off(memory: Any) -> None:
    """Store and find nothing, call no model for it, and give agents no tools for it."""
    from crewai.tools import memory_tools

    memory.recall = lambda self, *_, **__: []
    memory.remember = lambda self, *_, **__: None
    memory.remember_many = lambda self, *_, **__: []
    memory.extract_memories = lambda self, *_, **__: []
    memory_tools.create_memory_tools = lambda *_, **__: []
