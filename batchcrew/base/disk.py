"""Sync folders, so that a new or renamed file survives power loss."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, so that a new or renamed file survives power loss. Blocks.

    Raises:
        OSError: the folder cannot be read, or its file system cannot sync one.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
