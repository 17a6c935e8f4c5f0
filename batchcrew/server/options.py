"""The options of the embedded crew server."""

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchcrew.base.errors import UsageError
from batchcrew.base.serving import (
    DEFAULT_EXECUTION_SECONDS,
    DEFAULT_THREADS,
    DEFAULT_WORKERS,
    ISOLATION_MODES,
    MAX_THREADS,
    MAX_WORKERS,
    MEMORY_MODES,
)
from batchcrew.server.dialects import DEFAULT_DIALECT, DIALECTS
from batchcrew.server.execution_times import Spread
from batchcrew.server.phases import Phases
from batchcrew.server.target import Target

MAX_BODY_BYTES = 2**20
"""Largest kickoff body; a larger one is answered with 413."""
ENTRY = str(Path(__file__).with_name("worker") / "entry.py")
"""The program of a worker, for any interpreter."""
WORKER = (sys.executable, ENTRY)
DEFAULT_EXECUTION_TIME = Spread(2.0, 0.5)
_MOST = {"workers": MAX_WORKERS, "threads": MAX_THREADS, "max_queue": 10**7, "keep_count": 10**9}
WEBHOOK_RATES = ("webhook_drop_rate", "webhook_double_rate", "webhook_delay_rate", "webhook_forge_rate")
_TOKEN = re.compile(r"[\x21-\x7e]+")


def parse_max_running(text: str) -> Phases[int]:
    """Read a number of executions, or several that follow each other: `40`, `40,20@60s`.

    Raises:
        UsageError: the text is something else.
    """
    return Phases.parse(text, _whole_number)


def _whole_number(text: str) -> int:
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None:
        raise UsageError(f"invalid number of executions: {text!r} (expected e.g. 40)")
    return int(text)


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
    load_timeout: float = 300.0
    log: Path | None = None
    """The file for what crews print; None: stderr."""
    memory: str = "isolated"
    """One of MEMORY_MODES."""
    isolation: str = "thread"
    """One of ISOLATION_MODES. With `process`, each worker runs one execution at a time, and only one."""
    artifacts: Path | None = None
    """The folder for files that tasks write (`output_file`); None: they are written where the tasks say."""
    command: tuple[str, ...] = WORKER
    """The command that starts a worker."""
    environment: Mapping[str, str] | None = None
    """The variables of the workers; None: those of this process."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Values of inputs that kickoffs need not name; None for an input that the crew supplies itself."""
    describe: bool = False
    """Find out what `CrewServer.details` has."""

    @property
    def places(self) -> int:
        """Most concurrent executions."""
        return self.workers if self.isolation == "process" else self.workers * self.threads

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"invalid {name}: {getattr(self, name)} (expected 1 to {most})")
        for name, known in (("memory", MEMORY_MODES), ("isolation", ISOLATION_MODES)):
            if getattr(self, name) not in known:
                raise UsageError(f"invalid {name}: {getattr(self, name)!r} (expected one of {', '.join(known)})")
        if self.memory == "shared" and self.isolation == "process":
            raise UsageError("memory `shared` and isolation `process` exclude each other; keep one")
        if self.execution_timeout is not None and self.execution_timeout <= 0:
            raise UsageError("invalid execution timeout: 0 (expected a duration above 0)")


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
    execution_time: Spread | Phases[Spread] = DEFAULT_EXECUTION_TIME
    fail_rate: float = 0.0
    """Share of executions that fail."""
    human_rate: float = 0.0
    """Share of executions that wait for human input after their first task."""
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
    webhook_secret: str | None = None
    """Secret with which the demo crew signs webhooks about human input; None: it does not."""
    max_running: int | Phases[int] | None = None
    """Most concurrent executions; further kickoffs are answered with 429 and Retry-After."""
    seed: int | None = None
    """The same seed and the same jobs give the same execution times and failures, in any order of the jobs."""
    idempotency: bool = True
    """Honour `Idempotency-Key`; deployed crews do not."""
    state: Path | None = None
    """SQLite file that stores executions for the next server; None: memory."""
    webhook_allow: tuple[str, ...] = ()
    """Patterns of allowed webhook URLs (`https://*.example.com/*`); if empty, all public addresses are allowed."""
    private: bool = False
    """True: only this process has the token, so that webhooks may also be sent to addresses inside the network."""
    crew: CrewOptions | None = None
    """Real crews; None: the demo crew."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"invalid port: {self.port} (expected 1 to 65535, or 0 for any free one)")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError(
                "invalid token: it is empty, or contains blanks or characters that are not allowed in an HTTP header"
            )
        _check_patterns(self.webhook_allow)
        if self.dialect not in DIALECTS:
            raise UsageError(f"invalid dialect: {self.dialect!r} (expected one of {', '.join(DIALECTS)})")
        for name in ("fail_rate", "human_rate", "http_error_rate", "drop_rate", *WEBHOOK_RATES):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"invalid {name}: {getattr(self, name)} (expected a share between 0 and 1)")
        if self.http_error_rate + self.drop_rate > 1:
            raise UsageError("http_error_rate and drop_rate add up to more than 1 (a request can fail only once)")
        if self.crew is not None and any(getattr(self, name) for name in WEBHOOK_RATES):
            raise UsageError("the rates of webhook faults apply to the demo crew only, not to real crews")
        if self.crew is not None and (
            self.fail_rate or self.human_rate or self.max_running is not None or self.seed is not None
        ):
            raise UsageError(
                "fail_rate, human_rate, max_running and seed apply to the demo crew only, not to real crews"
            )
        for most in () if self.max_running is None else Phases.of(self.max_running).values:
            if most < 1:
                raise UsageError(f"invalid max_running: {most} (expected 1 or more, or omit it for no limit)")


def _check_patterns(patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not pattern.lower().startswith(("http://", "https://")):
            raise UsageError(f"invalid webhook pattern: {pattern!r} (expected e.g. https://hooks.example.com/*)")
