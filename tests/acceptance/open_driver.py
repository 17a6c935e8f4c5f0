"""`batchcrew ARGUMENTS`, then a line on stdout with the database files that it opened past SQLite."""

import re
import sys
from typing import Any

from batchcrew.cli import main

DATABASE = re.compile(r"\.db(-wal|-shm|-journal)?$")
opened: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """See every file that Python opens; what SQLite opens is not reported."""
    if (
        event == "open"
        and isinstance(arguments[0], str | bytes)
        and DATABASE.search(str(arguments[0], "utf-8", "replace") if isinstance(arguments[0], bytes) else arguments[0])
    ):
        opened.append(str(arguments[0]))


if __name__ == "__main__":
    sys.addaudithook(watch)
    try:
        main(sys.argv[1:])
    finally:
        print("opened:", opened, flush=True)
