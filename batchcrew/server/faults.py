"""What goes wrong on purpose: scripted for tests, by chance for rehearsals."""

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from batchcrew.server.options import ServeOptions

Route: TypeAlias = Literal["kickoff", "status"]
Fault: TypeAlias = int | Literal["drop_before_accept", "drop_after_accept", "error_after_accept"]
"""An HTTP status that is answered in place of the work (200: nothing goes wrong), or a connection that is
dropped, or an error that is answered, before or after a kickoff has started its crew."""


class Faults:
    """Scripted faults, one a request, then none: `Faults(kickoff=[500, "drop_after_accept", 200])`."""

    def __init__(self, *, kickoff: Iterable[Fault] = (), status: Iterable[Fault] = ()) -> None:
        self._script: dict[Route, deque[Fault]] = {"kickoff": deque(kickoff), "status": deque(status)}

    def next(self, route: Route) -> Fault | None:
        """The fault of this request; None when the script has ended."""
        script = self._script[route]
        return script.popleft() if script else None


@dataclass(frozen=True, slots=True)
class ChanceFaults:
    """Faults at the rates of the options."""

    options: ServeOptions
    chance: random.Random

    def next(self, route: Route) -> Fault | None:
        """The fault of this request, half of those of a kickoff after its crew has really started."""
        drawn = self.chance.random()
        after = route == "kickoff" and self.chance.random() < 0.5
        if drawn < self.options.http_error_rate:
            # 503 says "refused": it would be a lie about a crew that has started
            return "error_after_accept" if after else self.chance.choice((500, 502, 503))
        if drawn < self.options.http_error_rate + self.options.drop_rate:
            return "drop_after_accept" if after else "drop_before_accept"
        return None
