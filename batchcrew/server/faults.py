"""Failures on purpose: scripted for tests, random for rehearsals."""

import random
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from batchcrew.server.options import ServeOptions

Route: TypeAlias = Literal["kickoff", "status", "resume"]
_WORD = re.compile(r"(\d{3}|drop|error)(?:_(before|after)_accept)?")
_AFTER_ACCEPT = (500, 502)
# A 503 means "not now": a server that answers it has started no crew, and clients rely on that.
_BEFORE_ACCEPT = (500, 502, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The answer that one request gets in place of the right one."""

    status: int | None
    """HTTP status; None: the connection is dropped without an answer."""
    started: bool = False
    """True: the request takes effect first. At a kickoff, the crew starts and its answer is lost."""
    body: str | None = None
    """The body; None: the error of the dialect (HTML with a 502, as a gateway answers)."""
    headers: Mapping[str, str] = field(default_factory=dict)


FaultLike: TypeAlias = int | str | Fault
"""An HTTP status (200: the request is answered), or `drop_before_accept`, `drop_after_accept`, `error_after_accept`,
`502_after_accept` and the like, or a `Fault`."""


def fault(like: FaultLike) -> Fault | None:
    """Return the fault that is meant; None for 200.

    Raises:
        ValueError: the word is unknown.
    """
    if isinstance(like, Fault):
        return like
    match = _WORD.fullmatch(str(like))
    if match is None:
        raise ValueError(f"invalid fault: {like!r} (expected an HTTP status, drop_before_accept or drop_after_accept)")
    kind, when = match.groups()
    if kind == "200":
        return None
    status = {"drop": None, "error": 500}[kind] if kind in {"drop", "error"} else int(kind)
    headers = {"Retry-After": "1"} if status in {429, 503} else {}
    return Fault(status=status, started=when == "after", headers=headers)


class Faults:
    """Scripted faults, one for each request, then none: `Faults(kickoff=[500, "drop_after_accept", 200])`."""

    def __init__(
        self,
        *,
        kickoff: Iterable[FaultLike] = (),
        status: Iterable[FaultLike] = (),
        resume: Iterable[FaultLike] = (),
    ) -> None:
        self._script: dict[Route, deque[Fault | None]] = {
            "kickoff": deque(fault(like) for like in kickoff),
            "status": deque(fault(like) for like in status),
            "resume": deque(fault(like) for like in resume),
        }

    def next(self, route: Route) -> Fault | None:
        """Return the fault of the next request; None if it is answered."""
        script = self._script[route]
        return script.popleft() if script else None


@dataclass(frozen=True, slots=True)
class ChanceFaults:
    """Random faults at the rates of the options."""

    options: ServeOptions
    rng: random.Random

    def next(self, route: Route) -> Fault | None:
        """Return the fault of the next request; half of the faults of kickoffs come after the crew has started."""
        if route == "resume":
            return None
        drawn = self.rng.random()
        after = route == "kickoff" and self._coin()
        if drawn < self.options.http_error_rate:
            status = self.rng.choice(_AFTER_ACCEPT if after else _BEFORE_ACCEPT)
            headers = {"Retry-After": "1"} if status == 503 and self._coin() else {}
            return Fault(status=status, started=after, headers=headers)
        if drawn < self.options.http_error_rate + self.options.drop_rate:
            return Fault(status=None, started=after)
        return None

    def _coin(self) -> bool:
        return self.rng.random() < 0.5
