"""The files that tasks write (`output_file`): into the folder of their execution, and read from there again.

Rows that run concurrently would overwrite each other's `report.md`, and a task that reads the file of an earlier task
would find another row's.
"""

import builtins
import functools
import io
import os
from collections.abc import Callable
from typing import Any

from batchcrew.server.worker.workspace import current_workspace


def redirect_output_files(warn: Callable[[str], None]) -> None:
    """Write the files of tasks where the current execution keeps its artifacts, from now on.

    A file that cannot be written there does not fail the execution: its text is the task's output.

    Args:
        warn: reports such a file.
    """
    from crewai import Task

    original: Any = getattr(Task, "_save_file", None)
    if original is None:
        return

    @functools.wraps(original)
    def save(self: Any, result: Any) -> Any:
        workspace, written = current_workspace(), self.output_file
        if workspace is None or not written or not workspace.artifacts.kept:
            return original(self, result)
        try:
            self.output_file = str(workspace.artifacts.path(written))
            return original(self, result)
        except (OSError, RuntimeError) as error:
            warn(f"the file {written} of a task could not be written: {error}")
        finally:
            self.output_file = written

    task: Any = Task
    task._save_file = save  # noqa: SLF001 - the library has no other way to redirect a task's file
    modules: tuple[Any, ...] = (builtins, io)
    for module in modules:
        module.open = _reading_artifacts(module.open)


def _reading_artifacts(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def opened(file: Any, mode: Any = "r", *arguments: Any, **named: Any) -> Any:
        workspace = current_workspace()
        if workspace is not None and isinstance(mode, str) and not set(mode) & set("wax+"):
            file = _redirected(file, workspace.artifacts.of) or file
        return original(file, mode, *arguments, **named)

    return opened


def _redirected(file: Any, of: Callable[[str], Any]) -> Any:
    return of(os.fspath(file)) if isinstance(file, str | os.PathLike) and isinstance(os.fspath(file), str) else None
