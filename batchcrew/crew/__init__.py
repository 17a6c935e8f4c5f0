"""The client of the crew API: `CrewClient` sends requests and interprets each answer. Open `client.py` first.

`ping.py` notifies a monitor. Import it, as `CrewClient`, where it is used: both import aiohttp.
"""

from typing import TYPE_CHECKING, Any

from batchcrew.crew.address import crew_address
from batchcrew.crew.kickoff_answers import wrong_kickoff_id

if TYPE_CHECKING:
    from batchcrew.crew.client import CrewClient

__all__ = ["CrewClient", "crew_address", "wrong_kickoff_id"]


def __getattr__(name: str) -> Any:
    """Import aiohttp on first use: a run that has nothing to do, as most calls of cron, sends no request."""
    if name == "CrewClient":
        from batchcrew.crew.client import CrewClient  # noqa: PLC0415 - see above

        return CrewClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
