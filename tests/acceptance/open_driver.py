"""Call `batchcrew` repeatedly in this process, and write to LOG the files that it opens without SQLite.

    open_driver.py LOG COMMANDS

COMMANDS is a JSON list of argument lists. For each, LOG gets a line `[exit code, [database files that were opened]]`.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from batchcrew.cli import main

DATABASE = re.compile(r"\.db(-wal|-shm|-journal)?$")
opened: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """See every file that Python opens; what SQLite opens is not reported."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        name = os.fsdecode(arguments[0])
        if DATABASE.search(name):
            opened.append(name)


if __name__ == "__main__":
    sys.addaudithook(watch)
    os._exit = sys.exit  # type: ignore[assignment]  # a thread of a pool that still ends does not end this process
    with Path(sys.argv[1]).open("w", encoding="utf-8", buffering=1) as log:
        for words in json.loads(sys.argv[2]):
            opened.clear()
            try:
                main(words)
            except SystemExit as end:
                print(json.dumps([end.code or 0, opened]), file=log)
