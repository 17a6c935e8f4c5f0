"""Whether other users of this machine can read a file that holds a secret."""

import os
import shlex
import stat
from pathlib import Path


def exposed(path: Path, secret: str) -> str | None:
    """Return a warning if every user can read the file; None if not, on Windows, and on a read-only file system.

    A folder that others cannot enter protects its files. A group may be meant to read: it is not reported.

    Args:
        secret: what the file holds: `the token`.
    """
    if os.name != "posix":
        return None
    try:
        real = path.resolve()
        modes = [folder.stat().st_mode for folder in real.parents]
        if not real.stat().st_mode & stat.S_IROTH or not all(mode & stat.S_IXOTH for mode in modes):
            return None
        if os.statvfs(real).f_flag & os.ST_RDONLY:  # a secret that a container's host mounts
            return None
    except OSError:  # what reads the file reports it
        return None
    command = f"chmod 600 {shlex.quote(str(path))}"
    return f"{path}: every user of this machine can read {secret} in this file; run `{command}`"
