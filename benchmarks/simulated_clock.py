"""The clock of the benchmarks that simulate time."""

from datetime import UTC, datetime


class SimulatedClock:
    """A clock that the simulation sets to the time of each event."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)
