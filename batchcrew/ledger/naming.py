"""Refuse a ledger whose name or path is too long, before anything starts. Everything here blocks."""

import os
from pathlib import Path

from batchcrew.base.errors import UsageError

LONGEST_SUFFIX_BYTES = len(".0123456789abcdef.spill")
"""The longest suffix of the files next to a ledger (`-wal`, `-journal`, `.locks`, the spill file)."""
LONGEST_PATH_BYTES = 512 - len("-journal")
"""SQLite opens no file whose absolute path is longer."""
_USUAL_NAME_BYTES = 255
_SHOWN_CHARACTERS = 40


def require_usable_name(ledger: Path) -> None:
    """Check that the files next to a ledger can be created, and that SQLite can open it.

    Raises:
        UsageError: its name or its path is too long.
    """
    resolved = Path(os.path.realpath(ledger))  # the files are next to the target of a link
    name, most = os.fsencode(resolved.name), _longest_name(resolved.parent) - LONGEST_SUFFIX_BYTES
    if len(name) > most:
        shown = repr(resolved.name[:_SHOWN_CHARACTERS] + "…")
        raise UsageError(
            f"ledger name too long: {shown} has {len(name)} bytes (expected at most {most} bytes: files next to it have"
            " longer names); name another one with --ledger"
        )
    length = len(os.fsencode(resolved))
    if length > LONGEST_PATH_BYTES:
        raise UsageError(
            f"ledger path too long: {length} bytes from the root (expected at most {LONGEST_PATH_BYTES} bytes, which is"
            f" SQLite's limit): {resolved}; name another one with --ledger"
        )


def _longest_name(folder: Path) -> int:
    """Return the most bytes of a name in the folder, or in the file system in which it will be created."""
    for place in (folder, *folder.parents):
        try:
            return os.pathconf(place, "PC_NAME_MAX")
        except FileNotFoundError:
            continue
        except OSError:  # a folder that cannot be entered, or a file system without a known limit
            break
    return _USUAL_NAME_BYTES
