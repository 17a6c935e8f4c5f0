"""File descriptors of this process: how many it may have, and raising that limit. Connections take one each."""

import sys
from pathlib import Path

if sys.platform != "win32":  # Windows has no such limit
    import resource

MOST = 65_536
"""The limit is never raised above this, because some child processes iterate over all descriptors that they may
have."""


def soft_limit() -> int | None:
    """Return how many descriptors this process may have; None: no limit."""
    if sys.platform == "win32":
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def raise_limit(wanted: int) -> int | None:
    """Raise the soft limit to `wanted` where it is lower, up to the hard limit; returns the soft limit, None: none.

    Args:
        wanted: descriptors that the process may come to need.
    """
    if sys.platform == "win32":
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    wanted = min(wanted, MOST)
    if soft >= wanted:
        return soft
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):  # some systems refuse a value that they report as allowed
        return soft
    return raised


def raise_to_most() -> None:
    """Raise the soft limit as far as is sensible: for a server, which does not know how many clients will come."""
    raise_limit(MOST)


def in_use() -> int:
    """Return the number of open descriptors, estimated if the system does not list them. Blocks: call it in a
    thread."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return sum(1 for _ in Path(folder).iterdir()) - 1  # one of them is the listing itself
        except OSError:
            continue
    return 32
