"""What a person can set of the embedded crew server."""

import math
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias, get_args

from batchcrew.errors import UsageError

Dialect: TypeAlias = Literal["guide", "live", "legacy"]
DIALECTS: tuple[str, ...] = get_args(Dialect)
MAX_BODY_BYTES = 2**20
_SPREAD = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*(?:(?:±|\+-|\+/-)\s*(\d+(?:\.\d+)?)\s*%)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Spread:
    """A duration and how far it may differ: `2s±50%` is between 1 s and 3 s."""

    seconds: float
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `2s±50%`, `2s+-50%`, `500ms` or a number of seconds.

        Raises:
            UsageError: the text is none of these.
        """
        match = _SPREAD.fullmatch(text.strip())
        if match is None or float(match[3] or 0) > 100:
            raise UsageError(f"{text!r} is no execution time; write it like 2s, 500ms or 2s±50%")
        return cls(float(match[1]) * _UNITS[match[2] or "s"], float(match[3] or 0) / 100)

    def draw(self, chance: random.Random) -> float:
        """One duration in seconds."""
        return self.seconds * chance.uniform(1 - self.share, 1 + self.share)


def parse_share(text: str) -> float:
    """A share from `0.2` or `20%`.

    Raises:
        UsageError: the text is no share between 0 and 1.
    """
    try:
        share = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"{text!r} is no share; write it like 0.2 or 20%")
    return share


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where the server listens, whom it lets in, how it speaks, and what it gets wrong on purpose."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
    token: str | None = None
    """The bearer token; None: one is made."""
    dialect: Dialect = "guide"
    execution_time: Spread = Spread(2.0, 0.5)
    fail_rate: float = 0.0
    """Share of executions that end as failed."""
    http_error_rate: float = 0.0
    """Share of kickoff and status requests answered with 500, 502 or 503."""
    drop_rate: float = 0.0
    """Share of kickoff and status requests whose connection is dropped without an answer."""
    max_running: int | None = None
    """Executions at once; beyond it a kickoff is answered with 429 and Retry-After."""
    seed: int | None = None
    """Rehearsals that repeat."""
    idempotency: bool = True
    """Honour `Idempotency-Key`; deployed crews do not."""
    state: Path | None = None
    """SQLite file where executions outlive the server; None: memory."""
