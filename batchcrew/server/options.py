"""What a person can set of the embedded crew server."""

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias, get_args

from batchcrew.base.errors import UsageError
from batchcrew.server.targets import Target

Dialect: TypeAlias = Literal["guide", "live", "legacy"]
DIALECTS: tuple[str, ...] = get_args(Dialect)
MAX_BODY_BYTES = 2**20
"""Largest kickoff body; a larger one is answered with 413."""
MAX_EXECUTION_SECONDS = 86400.0
WORKER = (sys.executable, "-P", "-c", "from batchcrew.server.worker.main import main; main()")
"""`-P`: the folder that the server was started in shadows no library; the worker adds the target's own."""
_SPREAD = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*(?:(?:±|\+-|\+/-)\s*(\d+(?:\.\d+)?)\s*%)?", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Spread:
    """A duration and how far it may differ, evenly: `2s±50%` is between 1 s and 3 s."""

    seconds: float
    share: float = 0.0
    """0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= MAX_EXECUTION_SECONDS:
            raise UsageError(f"an execution time of {self.seconds:g} s is out of range; give 0s to 24h")
        if not 0 <= self.share <= 1:
            raise UsageError(f"a spread of ±{self.share:.0%} is out of range; give ±0% to ±100%")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `2s±50%`, `2s+-50%`, `500ms` or a number of seconds.

        Raises:
            UsageError: the text is none of these, or out of range.
        """
        match = _SPREAD.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is no execution time; write it like 2s, 500ms or 2s±50%")
        return cls(float(match[1]) * _UNITS[match[2] or "s"], float(match[3] or 0) / 100)

    def at(self, rng: float) -> float:
        """The duration in seconds for a `rng` of 0 (the shortest) to 1 (the longest)."""
        return self.seconds * (1 + self.share * (2 * rng - 1))


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
class CrewOptions:
    """Real crews: which, how many at once, and for how long. Durations are in seconds.

    Raises:
        UsageError: a value is out of its range.
    """

    target: Target
    workers: int = 2
    """Processes that run crews."""
    threads: int = 4
    """Executions at once in each."""
    max_queue: int = 1000
    """Executions that may wait for a free thread; beyond it a kickoff is answered with 429 and Retry-After."""
    execution_timeout: float | None = 1800.0
    """Longest time of one execution; waiting for a thread or a person does not count."""
    stop_timeout: float = 10.0
    """How long what runs may take to come to its end once the server is asked to stop."""
    keep_seconds: float = 30 * 86400.0
    """Age at which ended executions are forgotten."""
    keep_count: int = 100_000
    """Ended executions that are kept."""
    webhook_allow: tuple[str, ...] = ()
    """Patterns of URLs that may be called back (`https://*.example.com/*`); none: every http and https URL."""
    log: Path | None = None
    """What crews print goes to this file; None: to stderr."""
    command: tuple[str, ...] = WORKER
    """What starts a worker."""

    def __post_init__(self) -> None:
        for name, most in (("workers", 256), ("threads", 256), ("max_queue", 10**7), ("keep_count", 10**9)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 to {most}")
        if self.execution_timeout is not None and self.execution_timeout <= 0:
            raise UsageError("the execution timeout is 0; give a duration, or leave it out")
        for pattern in self.webhook_allow:
            if not pattern.lower().startswith(("http://", "https://")):
                raise UsageError(
                    f"{pattern!r} is no pattern of webhook URLs; write it like https://hooks.example.com/*"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where the server listens, whom it lets in, how it speaks, and what it gets wrong on purpose.

    Raises:
        UsageError: a value is out of its range.
    """

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
    """The same seed and the same jobs give the same execution times and failures, in whatever order they come."""
    idempotency: bool = True
    """Honour `Idempotency-Key`; deployed crews do not."""
    state: Path | None = None
    """SQLite file where executions outlive the server; None: memory."""
    crew: CrewOptions | None = None
    """Real crews; None: the demo crew."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port {self.port} is out of range; give 1 to 65535, or 0 for any free one")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError("the token is empty, or has blanks or characters that no HTTP header can carry")
        if self.dialect not in DIALECTS:
            raise UsageError(f"{self.dialect!r} is no dialect; there are {', '.join(DIALECTS)}")
        for name in ("fail_rate", "http_error_rate", "drop_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give a share between 0 and 1")
        if self.http_error_rate + self.drop_rate > 1:
            raise UsageError("http_error_rate and drop_rate are over 1 together; a request can go wrong only once")
        if self.crew is not None and (self.fail_rate or self.max_running is not None or self.seed is not None):
            raise UsageError("fail_rate, max_running and seed are of the demo crew; real crews are given")
        if self.max_running is not None and self.max_running < 1:
            raise UsageError(f"max_running is {self.max_running}; give 1 or more, or leave it out for no limit")
