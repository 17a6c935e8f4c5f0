"""All settings with their defaults, as validated value objects.

Durations are stored as float seconds; a job file or an option writes them as `30s`, `5m`, `1h30m` or a
bare number of seconds. The environment is not read here (it is read in `cli/`).
"""

import contextlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import UNITS, parse_duration, parse_size
from batchcrew.base.reasons import PERMANENT_REASONS

EMBEDDED = "embedded"
"""Value of `crew.url` that starts a local demo crew for the run."""
DEFAULT_CREW = "default"
"""Name of the crew of a job file that has a single one."""

DEFAULT_IN_A_ROW = 10
"""Failures in a row, all for the same reason, after which a run stops by default."""
SHARE_SAMPLE = 10
"""Number of ended jobs from which on the share of failures is checked."""

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h|sec|min|second|minute|hour)")

Duration = Annotated[
    float,
    BeforeValidator(
        parse_duration,
        json_schema_input_type=Annotated[str, Field(description="A duration: 30s, 5m or 1h30m.")]
        | Annotated[float, Field(description="A number of seconds.")],
    ),
]
PositiveDuration = Annotated[Duration, Field(gt=0)]
NonNegativeDuration = Annotated[Duration, Field(ge=0)]
Size = Annotated[
    int,
    BeforeValidator(
        parse_size,
        json_schema_input_type=Annotated[str, Field(description="A size: 64MiB or 10 MB.")]
        | Annotated[int, Field(description="A number of bytes.")],
    ),
    Field(gt=0),
]


class Settings(BaseModel):
    """Base of the value objects: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Rate(Settings):
    """Maximum kickoffs per period, evenly spaced: no window of one period has more than `count` + 1."""

    count: float = Field(gt=0)
    period_seconds: float = Field(gt=0)

    @property
    def interval_seconds(self) -> float:
        """Seconds between two kickoffs."""
        return self.period_seconds / self.count

    def __str__(self) -> str:
        unit = {1.0: "s", 60.0: "m", 3600.0: "h"}[self.period_seconds]
        return f"{self.count:g}/{unit}"


def parse_rate(value: object) -> Any:
    """Parse a `Rate` from `60/m`, `2/s` or `500/h`."""
    if isinstance(value, Rate):
        return value
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"invalid rate: {value!r} (expected e.g. 2/s, 60/m or 500/h)")
    return Rate(count=float(match[1]), period_seconds=UNITS[match[2][0]])


RateText = Annotated[
    Rate,
    BeforeValidator(
        parse_rate,
        json_schema_input_type=Annotated[
            str, Field(description="Kickoffs per second, minute or hour: 2/s, 60/m, 500/h.")
        ],
    ),
]


def parse_share(value: object) -> Any:
    """Parse a share between 0 and 1 from `80%` or `0.8`."""
    if isinstance(value, Decimal):
        return value
    text = str(value).strip()
    percent = text.endswith("%")
    if not isinstance(value, bool) and re.fullmatch(r"\d+(?:\.\d+)?", text.removesuffix("%").strip()):
        share = Decimal(text.removesuffix("%").strip()) / (100 if percent else 1)
        if share <= 1:
            return share
    raise ValueError(f"invalid share: {value!r} (expected e.g. 80% or 0.8)")


Share = Annotated[
    Decimal,
    BeforeValidator(
        parse_share,
        json_schema_input_type=Annotated[str, Field(description="A share: 80%.")]
        | Annotated[float, Field(ge=0, le=1, description="A share: 0.8.")],
    ),
]


class FailureLimit(Settings):
    """Failures after which a run starts no new jobs."""

    in_a_row: int | None = Field(default=None, ge=1, le=10_000)
    """Number of executions of one crew that failed in a row, over all runs of the batch. Default: 10, unless `count`
    or `share` is given."""
    same: bool = True
    """Count only executions in a row that failed for the same reason."""
    count: int | None = Field(default=None, ge=1)
    """Number of failed jobs in this run."""
    share: Annotated[Share, Field(gt=0)] | None = None
    """Failure rate: share of the ended jobs of this run that failed, once 10 jobs have ended."""

    @model_validator(mode="before")
    @classmethod
    def _has_a_rule(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not any(data.get(name) for name in ("in_a_row", "count", "share")):
            return {"in_a_row": DEFAULT_IN_A_ROW, **{name: value for name, value in data.items() if value is not None}}
        return data

    def reached(self, *, failed: int, ended: int) -> bool:
        """Return whether `failed` of the `ended` jobs of this run are enough to stop, by `count` or `share`.

        A share is judged from 10 ended jobs on: one failure among the first two means little.
        """
        if self.count is not None and failed >= self.count:
            return True
        return self.share is not None and ended >= SHARE_SAMPLE and failed > 0 and Decimal(failed) >= self.share * ended

    def __str__(self) -> str:
        share = None if self.share is None else f"{float(self.share * 100):g}%"
        return " or ".join(text for text in (self.count and str(self.count), share) if text)


def parse_failure_limit(value: object) -> Any:
    """Read a `FailureLimit` from `10%`, a count, a mapping, or `in_a_row=5,same=false`; None from `none`."""
    if value is None or isinstance(value, FailureLimit | Mapping):
        return value
    text = str(value).strip()
    if text.lower() == "none":
        return None
    if not isinstance(value, bool) and re.fullmatch(r"\d+", text) and int(text) > 0:
        return FailureLimit(count=int(text))
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    if percent and 0 < Decimal(percent[1]) <= 100:
        return FailureLimit(share=Decimal(percent[1]) / 100)
    pairs = [part.partition("=") for part in text.split(",")]
    if all(name.strip() and equals and given.strip() for name, equals, given in pairs):
        with contextlib.suppress(ValidationError):  # its error would name a key that is not in the input
            return FailureLimit.model_validate({name.strip(): given.strip() for name, _, given in pairs})
    raise ValueError(
        f"invalid failure limit: {value!r} (expected a count like 20, a share like 10%, none, or"
        " {in_a_row: 10, same: true})"
    )


FailureLimitText = Annotated[
    FailureLimit | None,
    BeforeValidator(
        parse_failure_limit,
        json_schema_input_type=Annotated[str, Field(description="A failure rate: 10%, or none.")]
        | Annotated[int, Field(description="A number of failed jobs: 20.")]
        | FailureLimit
        | None,
    ),
]


def parse_plan_guard(value: object) -> Any:
    """Read a share, or None from `off`."""
    if value is None or value is False or (isinstance(value, str) and value.strip().lower() in {"off", "none"}):
        return None
    return parse_share(value)


OnChange = Literal["keep", "rerun"]
Reuse = Annotated[
    Literal["batch", "off"],
    BeforeValidator(lambda value: "off" if value is False else value, json_schema_input_type=Literal["batch", "off"]),
]
PlanGuard = Annotated[
    Decimal | None,
    BeforeValidator(
        parse_plan_guard,
        json_schema_input_type=Annotated[str, Field(description="A share of the succeeded jobs: 20%, or off.")]
        | Annotated[float, Field(ge=0, le=1, description="A share: 0.2.")],
    ),
]


class Canary(Settings):
    """The first jobs of a batch, which must succeed before the rest starts."""

    jobs: int = Field(ge=1)
    """Number of jobs that start first."""
    succeed: Share = Decimal(1)
    """Share of these jobs that must succeed."""


def parse_canary(value: object) -> Any:
    """Parse a `Canary` from a number of jobs or a mapping."""
    return {"jobs": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


class MaxKickoffs(Settings):
    """Maximum number of kickoffs."""

    run: int | None = Field(default=None, ge=1)
    """Maximum in one run."""
    batch: int | None = Field(default=None, ge=1)
    """Maximum in the batch, over all its runs."""


def parse_max_kickoffs(value: object) -> Any:
    """Parse `MaxKickoffs` from a number (for one run) or a mapping."""
    return {"run": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


class Price(Settings):
    """Price of one kickoff."""

    amount: Decimal = Field(ge=0)
    currency: str = ""


def parse_price(value: object) -> Any:
    """Parse a `Price` from `0.50` or `0.50 USD`."""
    if isinstance(value, Price):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z€$£¥]{0,8})", str(value).strip())
    if isinstance(value, bool) or match is None:
        raise ValueError(f"invalid price: {value!r} (expected e.g. 0.50 or 0.50 USD)")
    return Price(amount=Decimal(match[1]), currency=match[2])


PriceText = Annotated[
    Price,
    BeforeValidator(
        parse_price,
        json_schema_input_type=Annotated[str, Field(description="A price with its currency: 0.50 USD.")]
        | Annotated[float, Field(ge=0, description="A price without its currency: 0.5.")],
    ),
]

RetryClass = Literal["crew_error", "lost", "timeout"]
BreakerClass = Literal["api", "crew_error"]
Delivery = Literal["at_least_once", "at_most_once"]


class RetrySettings(Settings):
    """When a failed attempt is retried."""

    attempts: int = Field(default=3, ge=1, le=100)
    """Maximum kickoffs per job. Refused kickoffs (429 and the like) do not count."""
    backoff: PositiveDuration = 5.0
    """Wait before the first retry."""
    factor: float = Field(default=2.0, ge=1, le=100)
    """Each further wait is this many times longer."""
    max: PositiveDuration = 300.0
    """Longest wait."""
    on: tuple[RetryClass, ...] = ("crew_error", "lost")
    """Outcomes to retry. The default omits timeout, because a timed-out execution may still be running."""
    never: tuple[Annotated[str, Field(min_length=3, max_length=200)], ...] = PERMANENT_REASONS
    """A failure is not retried if its reason contains one of these texts. `*` stands for one word; a text that begins
    with `!` names reasons that are retried anyway."""


class PollSettings(Settings):
    """How often executions are polled."""

    initial: PositiveDuration = 2.0
    """Wait before the first poll."""
    factor: float = Field(default=1.5, ge=1, le=100)
    """Each further wait is this many times longer."""
    max: PositiveDuration = 30.0
    """Longest wait."""
    settle: NonNegativeDuration = 10.0
    """Keep polling a completed execution without an output for this long, as its output may arrive later."""


class BreakerSettings(Settings):
    """When kickoffs to a failing crew are paused, and for how long."""

    failures: int = Field(default=5, ge=1)
    """Open the breaker after this many failed requests in a row."""
    rate: Share = Decimal("0.5")
    """Also open it when this share of the latest requests failed."""
    sample: int = Field(default=20, ge=1, le=10_000)
    """Number of latest requests that `rate` is measured over; fewer requests never open it by their rate."""
    pause: PositiveDuration = 5.0
    """Wait before the first probe; each further wait is twice as long, up to one minute."""
    give_up: PositiveDuration = 600.0
    """End the run (exit 5) when the breaker has been open for this long."""
    on: tuple[BreakerClass, ...] = ("api",)
    """Failures that count: api is failed requests, crew_error is executions that did not succeed."""


class RunSettings(Settings):
    """The `run:` section of a job file; command-line options of the same name override it."""

    concurrency: int = Field(default=10, ge=1, le=10_000)
    """Maximum executions in progress at the same time, over all crews."""
    rate: RateText | None = None
    """Maximum kickoffs per second, minute or hour, over all crews. Default: no limit."""
    timeout: PositiveDuration = 1800.0
    """Maximum time of one execution."""
    max_runtime: PositiveDuration | None = None
    """Start no new jobs after this time; the next run resumes."""
    delivery: Delivery = "at_least_once"
    """Whether a job whose kickoff is in doubt is kicked off again (at_least_once) or put on hold (at_most_once)."""
    retry: RetrySettings = RetrySettings()
    """When failed jobs are retried."""
    poll: PollSettings = PollSettings()
    """How often executions are polled."""
    stop_after_failures: FailureLimitText = FailureLimit(in_a_row=DEFAULT_IN_A_ROW)
    """Start no new jobs after this many failures in a row, this many failed jobs (20), or this failure rate (10%)."""
    canary: Annotated[Canary, BeforeValidator(parse_canary, json_schema_input_type=int | Canary)] | None = None
    """Start this many jobs first, and the rest only when enough of these have succeeded."""
    max_kickoffs: (
        Annotated[MaxKickoffs, BeforeValidator(parse_max_kickoffs, json_schema_input_type=int | MaxKickoffs)] | None
    ) = None
    """Maximum number of kickoffs in one run, or {run: …, batch: …}."""
    breaker: BreakerSettings = BreakerSettings()
    """When kickoffs to a failing crew are paused."""
    on_change: OnChange = "keep"
    """Whether a succeeded job whose inputs changed keeps its answer and becomes stale (keep), or runs, and is paid for,
    again (rerun)."""
    reuse: Reuse = "batch"
    """Whether a new job reuses the answer of a job of the batch with the same crew and inputs that is no longer in the
    file (batch), or is kicked off (off)."""
    plan_guard: PlanGuard = Decimal("0.2")
    """Stop before the first kickoff when more than this share of the succeeded jobs (and at least 10) would be paid for
    again; off disables the check."""

    @model_validator(mode="after")
    def _waits_are_ordered(self) -> Self:
        if self.retry.backoff > self.retry.max:
            raise ValueError("retry.backoff must not be longer than retry.max")
        if self.poll.initial > self.poll.max:
            raise ValueError("poll.initial must not be longer than poll.max")
        if self.breaker.rate == 0:
            raise ValueError("breaker.rate must be above 0 (at 0 the breaker would block every kickoff)")
        return self


class ServeSettings(Settings):
    """A CrewAI crew on this machine, served for the run."""

    target: str
    """`module:Crew`, `path/file.py:Crew` or the folder of a CrewAI project, relative to the job file."""
    workers: int = Field(default=2, ge=1, le=256)
    """Number of worker processes."""
    threads: int = Field(default=4, ge=1, le=256)
    """Concurrent executions per worker process."""
    timeout: PositiveDuration = 1800.0
    """Maximum time of one execution; after it, the execution is ended as an error."""
    state: str | None = None
    """SQLite file, relative to the job file, that stores executions beyond the run. Default: in memory."""


def parse_serve(value: object) -> Any:
    """Parse `ServeSettings` from a target or a mapping."""
    return {"target": value} if isinstance(value, str) else value


def _url_or_serve(schema: dict[str, Any]) -> None:
    schema.pop("required", None)
    schema["oneOf"] = [{"required": ["url"]}, {"required": ["serve"]}]


class CrewSettings(Settings):
    """Connection settings of one crew."""

    model_config = ConfigDict(json_schema_extra=_url_or_serve)

    url: str
    """Base URL of the deployed crew, or `embedded` for the built-in demo crew."""
    serve: Annotated[ServeSettings, BeforeValidator(parse_serve, json_schema_input_type=str | ServeSettings)] | None = (
        None
    )
    """Instead of `url`: a CrewAI crew, flow or project on this machine, started for the run."""
    token: SecretStr | None = None
    """Bearer token. Write ${CREW_TOKEN}, never the token itself."""
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Maximum executions in progress on this crew. Default: `run.concurrency`."""
    rate: RateText | None = None
    """Maximum kickoffs of this crew per second, minute or hour."""
    connect_timeout: PositiveDuration = 10.0
    """Maximum time to connect to the server."""
    read_timeout: PositiveDuration = 60.0
    """Maximum time without data while waiting for an answer."""
    keepalive: NonNegativeDuration = 1.0
    """Reuse an idle connection for kickoffs for this long; 0 is never. If the server closes a connection just as a
    kickoff is sent, the kickoff is in doubt."""
    max_answer: Size = 64 * 2**20
    """Maximum size of an answer; a larger one counts as an error."""
    max_kickoffs_per_month: int | None = Field(default=None, ge=1)
    """Maximum kickoffs of this crew (by its url) in a calendar month (UTC), over all batches of the ledger."""
    price_per_kickoff: PriceText | None = None
    """Price of one kickoff: 0.50 USD. `check` and the summary show the resulting cost."""

    @model_validator(mode="before")
    @classmethod
    def _served_or_reached(cls, data: Any) -> Any:
        """Identify a served crew by its target, as others are by their URL, in the ledger and in messages."""
        if not isinstance(data, dict) or data.get("serve") is None:
            return data
        if data.get("url") is not None:
            raise ValueError("`url` and `serve` exclude each other; keep one")
        serve = parse_serve(data["serve"])
        target = serve.get("target") if isinstance(serve, dict) else getattr(serve, "target", None)
        return {**data, "url": f"serve:{target}"}

    @property
    def embedded(self) -> bool:
        return self.url == EMBEDDED


_DURATION_EXPECTED = "a duration above 0 such as 90s, 30m or 1h30m"
EXPECTED = {
    "concurrency": "a number of executions, 1 to 10000",
    "rate": "e.g. 2/s, 60/m or 500/h",
    "timeout": _DURATION_EXPECTED,
    "max_runtime": _DURATION_EXPECTED,
    "delivery": "at_least_once or at_most_once",
    "stop_after_failures": "e.g. 20, 10%, in_a_row=10 (at most 10000), in_a_row=10,same=false, or none",
    "canary": "a number of jobs, 1 or more",
    "max_kickoffs": "a number of kickoffs, 1 or more",
    "on_change": "keep or rerun",
}
"""Expected value of a command-line option, by the setting that it overrides."""


def with_overrides(run: RunSettings, overrides: Mapping[str, str | int]) -> RunSettings:
    """Return the job file's run settings, overridden by those of the command line.

    Raises:
        UsageError: an override is not valid; the message names its option.
    """
    given = {name: getattr(run, name) for name in RunSettings.model_fields}
    try:
        return RunSettings.model_validate({**given, **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        # the error may name a part of the option's value (`in_a_row=x`); the first name is the option's own setting
        name = str(first["loc"][0]) if first["loc"] else ""
        if name not in overrides:
            raise UsageError(first["msg"].removeprefix("Value error, ")) from None
        option = "--" + name.replace("_", "-")
        raise UsageError(f"invalid {option}: {overrides[name]!r} (expected {EXPECTED[name]})") from None
