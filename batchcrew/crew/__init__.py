"""The client of the crew API: `CrewClient` sends requests and gives each answer a meaning. Open `client.py` first."""

from batchcrew.crew.client import CrewClient
from batchcrew.crew.connect import crew_address
from batchcrew.crew.kickoff_answers import wrong_kickoff_id
from batchcrew.crew.ping import Moment, ping

__all__ = ["CrewClient", "Moment", "crew_address", "ping", "wrong_kickoff_id"]
