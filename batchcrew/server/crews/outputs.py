"""The folder of outputs that were too large to be stored (`STATE.crewai-outputs`): files named by their execution."""

import re
from collections.abc import Callable
from pathlib import Path

_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?:txt|json)")


def delete_outputs(folder: Path, is_stored: Callable[[str], bool]) -> None:
    """Delete the outputs of executions that are not stored any more; other files are left.

    Args:
        is_stored: returns whether the execution with this id is stored.
    """
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None and not is_stored(match[1]):
            file.unlink(missing_ok=True)
