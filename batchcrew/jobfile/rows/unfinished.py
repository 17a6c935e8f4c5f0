"""Recognize rows files that another program is still writing: they change while they are read, or end inside a row."""

import os
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int]
"""Inode, size in bytes, and time of the last change in nanoseconds."""

CUT = (
    "the file ends inside this row, without a line end: it may still be being written;"
    " run again once it is complete, or correct the row"
)
CHANGED = (
    "the file changed while it was read: another program may still be writing it; nothing was started,"
    " run again once it is complete"
)
_TAIL = 4


def stamp(path: Path) -> Stamp:
    """Return a value that changes if the file at `path` is written to or replaced."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def ends_with_line_end(path: Path) -> bool:
    """Return whether the file's last character is a line end, in UTF-16 too."""
    with path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - _TAIL))
        return stream.read().rstrip(b"\0").endswith((b"\n", b"\r"))
