"""Fixtures that rooms share."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """A blocking call of ours inside the event loop is an error.

    The embedded server is a rehearsal stage with its executions in an in-process SQLite: it may.
    """
    with blockbuster_ctx(scanned_modules=["batchcrew"], excluded_modules=["batchcrew.server"]) as blockbuster:
        yield blockbuster
