"""The options of the embedded crew server."""

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from batchcrew.base.errors import UsageError
from batchcrew.base.serving import (
    DEFAULT_EXECUTION_SECONDS,
    DEFAULT_THREADS,
    DEFAULT_WORKERS,
    MAX_THREADS,
    MAX_WORKERS,
)
from batchcrew.server.dialects import DEFAULT_DIALECT, DIALECTS
from batchcrew.server.targets import Target

MAX_BODY_BYTES = 2**20
"""Largest kickoff body; a larger one is answered with 413."""
MAX_EXECUTION_SECONDS = 86400.0
WORKER = (sys.executable, "-P", "-c", "from batchcrew.server.worker.main import main; main()")
"""`-P`: modules in the server's folder do not hide libraries; the worker adds the target's folder."""
_SPREAD = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*(?:(?:±|\+-|\+/-)\s*(\d+(?:\.\d+)?)\s*%)?", re.ASCII)
_MOST = {"workers": MAX_WORKERS, "threads": MAX_THREADS, "max_queue": 10**7, "keep_count": 10**9}
WEBHOOK_RATES = ("webhook_drop_rate", "webhook_double_rate", "webhook_delay_rate", "webhook_forge_rate")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Spread:
    """A random duration, evenly distributed: `2s±50%` is between 1 s and 3 s."""

    seconds: float
    share: float = 0.0
    """0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= MAX_EXECUTION_SECONDS:
            raise UsageError(f"invalid execution time: {self.seconds:g}s (expected 0s to 24h)")
        if not 0 <= self.share <= 1:
            raise UsageError(f"invalid spread: ±{self.share:.0%} (expected ±0% to ±100%)")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2s±50%`, `2s+-50%`, `500ms` or a number of seconds.

        Raises:
            UsageError: the text is something else, or out of range.
        """
        match = _SPREAD.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"invalid execution time: {text!r} (expected e.g. 2s, 500ms or 2s±50%)")
        return cls(float(match[1]) * _UNITS[match[2] or "s"], float(match[3] or 0) / 100)

    def at(self, rng: float) -> float:
        """Return the duration in seconds for a `rng` of 0 (the shortest) to 1 (the longest)."""
        return self.seconds * (1 + self.share * (2 * rng - 1))


def parse_share(text: str) -> float:
    """Read a share: `0.2` or `20%`.

    Raises:
        UsageError: the text is not a share between 0 and 1.
    """
    try:
        share = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"invalid share: {text!r} (expected e.g. 0.2 or 20%)")
    return share


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewOptions:
    """Real crews: which, how many concurrently, and for how long. Durations are in seconds.

    Raises:
        UsageError: a value is out of its range.
    """

    target: Target
    workers: int = DEFAULT_WORKERS
    """Processes that run crews."""
    threads: int = DEFAULT_THREADS
    """Concurrent executions in each process."""
    max_queue: int = 1000
    """Executions that may wait for a free thread; further kickoffs are answered with 429 and Retry-After."""
    execution_timeout: float | None = DEFAULT_EXECUTION_SECONDS
    """Longest time of one execution, without waiting for a thread or for human input."""
    stop_timeout: float = 10.0
    """How long to wait for running executions when the server stops."""
    keep_seconds: float = 30 * 86400.0
    """Age at which ended executions are deleted."""
    keep_count: int = 100_000
    """Most ended executions that are stored."""
    webhook_allow: tuple[str, ...] = ()
    """Patterns of allowed webhook URLs (`https://*.example.com/*`); if empty, all http and https URLs are allowed."""
    log: Path | None = None
    """The file for what crews print; None: stderr."""
    command: tuple[str, ...] = WORKER
    """The command that starts a worker."""

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"invalid {name}: {getattr(self, name)} (expected 1 to {most})")
        if self.execution_timeout is not None and self.execution_timeout <= 0:
            raise UsageError("invalid execution timeout: 0 (expected a duration above 0)")
        for pattern in self.webhook_allow:
            if not pattern.lower().startswith(("http://", "https://")):
                raise UsageError(f"invalid webhook pattern: {pattern!r} (expected e.g. https://hooks.example.com/*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The server's address, token, dialect, and failures on purpose.

    Raises:
        UsageError: a value is out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
    token: str | None = None
    """The bearer token; None: one is generated."""
    dialect: str = DEFAULT_DIALECT
    execution_time: Spread = Spread(2.0, 0.5)
    fail_rate: float = 0.0
    """Share of executions that fail."""
    http_error_rate: float = 0.0
    """Share of kickoff and status requests answered with 500, 502 or 503."""
    drop_rate: float = 0.0
    """Share of kickoff and status requests whose connection is dropped without an answer."""
    webhook_drop_rate: float = 0.0
    """Share of webhooks that are never sent."""
    webhook_double_rate: float = 0.0
    """Share of webhooks that are sent twice."""
    webhook_delay_rate: float = 0.0
    """Share of webhooks that are sent up to two seconds late, and so after later ones."""
    webhook_forge_rate: float = 0.0
    """Share of webhooks that are accompanied by forged ones: with a wrong token, with a false content, cut off."""
    max_running: int | None = None
    """Most concurrent executions; further kickoffs are answered with 429 and Retry-After."""
    seed: int | None = None
    """The same seed and the same jobs give the same execution times and failures, in any order of the jobs."""
    idempotency: bool = True
    """Honour `Idempotency-Key`; deployed crews do not."""
    state: Path | None = None
    """SQLite file that stores executions for the next server; None: memory."""
    crew: CrewOptions | None = None
    """Real crews; None: the demo crew."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"invalid port: {self.port} (expected 1 to 65535, or 0 for any free one)")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError(
                "invalid token: it is empty, or contains blanks or characters that are not allowed in an HTTP header"
            )
        if self.dialect not in DIALECTS:
            raise UsageError(f"invalid dialect: {self.dialect!r} (expected one of {', '.join(DIALECTS)})")
        for name in ("fail_rate", "http_error_rate", "drop_rate", *WEBHOOK_RATES):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"invalid {name}: {getattr(self, name)} (expected a share between 0 and 1)")
        if self.http_error_rate + self.drop_rate > 1:
            raise UsageError("http_error_rate and drop_rate add up to more than 1 (a request can fail only once)")
        if self.crew is not None and any(getattr(self, name) for name in WEBHOOK_RATES):
            raise UsageError("the rates of webhook faults apply to the demo crew only, not to real crews")
        if self.crew is not None and (self.fail_rate or self.max_running is not None or self.seed is not None):
            raise UsageError("fail_rate, max_running and seed apply to the demo crew only, not to real crews")
        if self.max_running is not None and self.max_running < 1:
            raise UsageError(f"invalid max_running: {self.max_running} (expected 1 or more, or omit it for no limit)")
