"""`batchcrew ARGUMENTS`; each database file that it opens past SQLite becomes a line of LOG.

open_driver.py LOG ARGUMENTS
"""

import os
import re
import sys
from typing import Any

from batchcrew.cli import main

DATABASE = re.compile(rb"\.db(-wal|-shm|-journal)?$")
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """See every file that Python opens; what SQLite opens is not reported."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        name = os.fsencode(arguments[0])
        if DATABASE.search(name):
            os.write(log, name + b"\n")


if __name__ == "__main__":
    sys.addaudithook(watch)
    main(sys.argv[2:])
