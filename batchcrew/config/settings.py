"""Every default once, and validated value objects for what a person can set.

Durations are float seconds inside; a job file or an option writes them as `30s`, `5m`, `1h30m` or a
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
"""`crew.url: embedded` starts a local demo crew for the run."""
DEFAULT_CREW = "default"
"""Name of the crew of a job file that has a single one."""

DEFAULT_IN_A_ROW = 10
"""Failures in a row, all for the same reason, after which a run stops if nothing else is said."""
SHARE_SAMPLE = 10
"""Ended jobs from which on a share of failures is judged."""

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h|sec|min|second|minute|hour)")

Duration = Annotated[
    float,
    BeforeValidator(
        parse_duration,
        json_schema_input_type=Annotated[str, Field(description="A duration: 30s, 5m, 1h30m …")]
        | Annotated[float, Field(description="A number of seconds.")],
    ),
]
PositiveDuration = Annotated[Duration, Field(gt=0)]
NonNegativeDuration = Annotated[Duration, Field(ge=0)]
Size = Annotated[
    int,
    BeforeValidator(
        parse_size,
        json_schema_input_type=Annotated[str, Field(description="64MiB, 10 MB …")]
        | Annotated[int, Field(description="A number of bytes.")],
    ),
    Field(gt=0),
]


class Settings(BaseModel):
    """Base of the value objects: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Rate(Settings):
    """Kickoffs per period. Kickoffs are spaced evenly, so no window of a period sees more than `count` + 1."""

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
    """A `Rate` from `60/m`, `2/s` or `500/h`."""
    if isinstance(value, Rate):
        return value
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"{value!r} is no rate; write it like 2/s, 60/m or 500/h")
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
    """A share between 0 and 1 from `80%` or `0.8`."""
    if isinstance(value, Decimal):
        return value
    text = str(value).strip()
    percent = text.endswith("%")
    if not isinstance(value, bool) and re.fullmatch(r"\d+(?:\.\d+)?", text.removesuffix("%").strip()):
        share = Decimal(text.removesuffix("%").strip()) / (100 if percent else 1)
        if share <= 1:
            return share
    raise ValueError(f"{value!r} is no share; write it like 80% or 0.8")


Share = Annotated[
    Decimal,
    BeforeValidator(
        parse_share,
        json_schema_input_type=Annotated[str, Field(description="A share: 80%.")]
        | Annotated[float, Field(ge=0, le=1, description="A share: 0.8.")],
    ),
]


class FailureLimit(Settings):
    """After which failures a run starts nothing more."""

    in_a_row: int | None = Field(default=None, ge=1, le=10_000)
    """Executions of one crew that failed in a row, over all runs of the batch. Default 10, unless `count` or `share`
    is given."""
    same: bool = True
    """Only executions that failed for the same reason make a row."""
    count: int | None = Field(default=None, ge=1)
    """Failed jobs of this run."""
    share: Annotated[Share, Field(gt=0)] | None = None
    """Share of the jobs that ended in this run, from 10 on."""

    @model_validator(mode="before")
    @classmethod
    def _has_a_rule(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not any(data.get(name) for name in ("in_a_row", "count", "share")):
            return {"in_a_row": DEFAULT_IN_A_ROW, **{name: value for name, value in data.items() if value is not None}}
        return data

    def reached(self, *, failed: int, ended: int) -> bool:
        """Return whether `failed` of the `ended` jobs of this run are enough to stop, by `count` or `share`.

        A share is judged from 10 ended jobs on: one failure among the first two is no pattern.
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
        with contextlib.suppress(ValidationError):  # it would name a key that nobody has written as one
            return FailureLimit.model_validate({name.strip(): given.strip() for name, _, given in pairs})
    raise ValueError(
        f"invalid limit of failures: {value!r} (expected a count like 20, a share like 10%, none, or"
        " {in_a_row: 10, same: true})"
    )


FailureLimitText = Annotated[
    FailureLimit | None,
    BeforeValidator(
        parse_failure_limit,
        json_schema_input_type=Annotated[str, Field(description="A share of the jobs that ended: 10%. Or none.")]
        | Annotated[int, Field(description="A count of failed jobs: 20.")]
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
        json_schema_input_type=Annotated[str, Field(description="A share of the succeeded jobs: 20%. Or off.")]
        | Annotated[float, Field(ge=0, le=1, description="A share: 0.2.")],
    ),
]


class Canary(Settings):
    """The first jobs of a batch must end well before the rest may start."""

    jobs: int = Field(ge=1)
    """How many jobs go first."""
    succeed: Share = Decimal(1)
    """Share of them that must succeed."""


def parse_canary(value: object) -> Any:
    """A `Canary` from a number of jobs or its mapping."""
    return {"jobs": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


class MaxKickoffs(Settings):
    """How many kickoffs may be spent."""

    run: int | None = Field(default=None, ge=1)
    """In one run."""
    batch: int | None = Field(default=None, ge=1)
    """In the batch, over all its runs."""


def parse_max_kickoffs(value: object) -> Any:
    """A `MaxKickoffs` from a number (of one run) or its mapping."""
    return {"run": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


class Price(Settings):
    """What one kickoff costs."""

    amount: Decimal = Field(ge=0)
    currency: str = ""


def parse_price(value: object) -> Any:
    """A `Price` from `0.50`, or `0.50 USD`."""
    if isinstance(value, Price):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z€$£¥]{0,8})", str(value).strip())
    if isinstance(value, bool) or match is None:
        raise ValueError(f"{value!r} is no price; write it like 0.50 or 0.50 USD")
    return Price(amount=Decimal(match[1]), currency=match[2])


PriceText = Annotated[
    Price,
    BeforeValidator(
        parse_price,
        json_schema_input_type=Annotated[str, Field(description="A price: 0.50 USD.")]
        | Annotated[float, Field(ge=0, description="A price without its currency: 0.5.")],
    ),
]

RetryClass = Literal["crew_error", "lost", "timeout"]
BreakerClass = Literal["api", "crew_error"]
Delivery = Literal["at_least_once", "at_most_once"]


class RetrySettings(Settings):
    """When a job whose attempt failed is kicked off again."""

    attempts: int = Field(default=3, ge=1, le=100)
    """Most kickoffs of one job. Refusals (429 and the like) use up none."""
    backoff: PositiveDuration = 5.0
    """Wait before the second attempt."""
    factor: float = Field(default=2.0, ge=1, le=100)
    """Each further wait is this many times longer."""
    max: PositiveDuration = 300.0
    """Longest wait."""
    on: tuple[RetryClass, ...] = ("crew_error", "lost")
    """Which outcomes are tried again. A timed-out execution may still be running: it is not in the default."""
    never: tuple[Annotated[str, Field(min_length=3, max_length=200)], ...] = PERMANENT_REASONS
    """A failure whose reason has one of these texts in it is not retried. `*` stands for one word; a text that begins
    with `!` names reasons that are retried all the same."""


class PollSettings(Settings):
    """How often an execution is polled."""

    initial: PositiveDuration = 2.0
    """Wait before the first poll."""
    factor: float = Field(default=1.5, ge=1, le=100)
    """Each further wait is this many times longer."""
    max: PositiveDuration = 30.0
    """Longest wait."""
    settle: NonNegativeDuration = 10.0
    """Poll a completed execution without an output for this long before it counts: its output may come later."""


class BreakerSettings(Settings):
    """When a crew that is ill is left alone, and for how long."""

    failures: int = Field(default=5, ge=1)
    """So many calls in a row that went wrong open it."""
    rate: Share = Decimal("0.5")
    """So large a share of the latest calls opens it as well."""
    sample: int = Field(default=20, ge=1, le=10_000)
    """How many calls the share is of; it opens by its rate only once there were so many."""
    pause: PositiveDuration = 5.0
    """Wait before the first probe; each further wait is twice as long, up to a minute."""
    give_up: PositiveDuration = 600.0
    """Open for so long, it ends the run (exit 5)."""
    on: tuple[BreakerClass, ...] = ("api",)
    """What counts: calls of the API that went wrong, and (crew_error) executions that did not succeed."""


class RunSettings(Settings):
    """The `run:` section of a job file; a command-line option of the same name wins over it."""

    concurrency: int = Field(default=10, ge=1, le=10_000)
    """Executions in flight, over all crews."""
    rate: RateText | None = None
    """Kickoffs per second, minute or hour, over all crews; default none."""
    timeout: PositiveDuration = 1800.0
    """Longest time of one execution."""
    max_runtime: PositiveDuration | None = None
    """Stop starting after this time and leave the rest for the next run."""
    delivery: Delivery = "at_least_once"
    """What becomes of a job whose kickoff is in doubt: kicked off again, or held for a person."""
    retry: RetrySettings = RetrySettings()
    """When a failed job is tried again."""
    poll: PollSettings = PollSettings()
    """How executions are watched."""
    stop_after_failures: FailureLimitText = FailureLimit(in_a_row=DEFAULT_IN_A_ROW)
    """Start no new jobs after this many failures in a row, this many failed jobs (20), or this failure rate (10%)."""
    canary: Annotated[Canary, BeforeValidator(parse_canary, json_schema_input_type=int | Canary)] | None = None
    """So many jobs first; the rest start only when enough of these have succeeded."""
    max_kickoffs: (
        Annotated[MaxKickoffs, BeforeValidator(parse_max_kickoffs, json_schema_input_type=int | MaxKickoffs)] | None
    ) = None
    """Most kickoffs of one run, or {run: …, batch: …}."""
    breaker: BreakerSettings = BreakerSettings()
    """When a crew that is ill is left alone."""
    on_change: OnChange = "keep"
    """What becomes of a job that has succeeded and whose inputs changed: it keeps its answer and is stale, or it runs
    again and is paid for again."""
    reuse: Reuse = "batch"
    """Whether a job takes over the answer of another job of the batch with the same crew and inputs that is no longer
    in the file; off: it is kicked off."""
    plan_guard: PlanGuard = Decimal("0.2")
    """Stop before the first kickoff when more than this share of the jobs that have succeeded (and at least 10) would
    be paid for again; off: never."""

    @model_validator(mode="after")
    def _waits_are_ordered(self) -> Self:
        if self.retry.backoff > self.retry.max:
            raise ValueError("retry.backoff is longer than retry.max")
        if self.poll.initial > self.poll.max:
            raise ValueError("poll.initial is longer than poll.max")
        if self.breaker.rate == 0:
            raise ValueError("breaker.rate is 0: it would never let a kickoff through")
        return self


class ServeSettings(Settings):
    """A CrewAI crew of this machine, served for the run."""

    target: str
    """`module:Crew`, `path/file.py:Crew` or a CrewAI project's folder, relative to the job file."""
    workers: int = Field(default=2, ge=1, le=256)
    """Processes that run crews."""
    threads: int = Field(default=4, ge=1, le=256)
    """Executions at once in each of them."""
    timeout: PositiveDuration = 1800.0
    """Longest time of one execution; then it is ended as an error."""
    state: str | None = None
    """SQLite file, relative to the job file, in which executions outlive the run; default memory."""


def parse_serve(value: object) -> Any:
    """A `ServeSettings` from its target or its mapping."""
    return {"target": value} if isinstance(value, str) else value


def _url_or_serve(schema: dict[str, Any]) -> None:
    schema.pop("required", None)
    schema["oneOf"] = [{"required": ["url"]}, {"required": ["serve"]}]


class CrewSettings(Settings):
    """How one crew is reached."""

    model_config = ConfigDict(json_schema_extra=_url_or_serve)

    url: str
    """Base URL of the deployed crew, or `embedded` for the local demo crew."""
    serve: Annotated[ServeSettings, BeforeValidator(parse_serve, json_schema_input_type=str | ServeSettings)] | None = (
        None
    )
    """In place of `url`: a CrewAI crew, flow or project of this machine, started for the run."""
    token: SecretStr | None = None
    """Bearer token; write ${CREW_TOKEN}, never the token itself."""
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Executions in flight on this crew; default the batch's."""
    rate: RateText | None = None
    """Kickoffs of this crew per second, minute or hour."""
    connect_timeout: PositiveDuration = 10.0
    """Longest time to reach the server."""
    read_timeout: PositiveDuration = 60.0
    """Longest silence while waiting for an answer."""
    keepalive: NonNegativeDuration = 1.0
    """Reuse an idle connection for a kickoff for this long; 0 is never. Servers close idle ones, and a kickoff that
    meets that is in doubt."""
    max_answer: Size = 64 * 2**20
    """Largest answer that is read; a larger one is an error of that answer."""
    max_kickoffs_per_month: int | None = Field(default=None, ge=1)
    """Most kickoffs of this crew (by its url) in a calendar month (UTC), over all batches of the ledger."""
    price_per_kickoff: PriceText | None = None
    """What one kickoff costs: 0.50 USD. Shown by check and in the summary."""

    @model_validator(mode="before")
    @classmethod
    def _served_or_reached(cls, data: Any) -> Any:
        """A crew that is served is known by its target where others are by their URL: in the ledger, and to people."""
        if not isinstance(data, dict) or data.get("serve") is None:
            return data
        if data.get("url") is not None:
            raise ValueError("`url` and `serve` are both there; keep one")
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
"""What an option of the command line must be, by the setting that it overrides."""


def with_overrides(run: RunSettings, overrides: Mapping[str, str | int]) -> RunSettings:
    """The job file's run settings with those of the command line over them.

    Raises:
        UsageError: an override is not valid; the message names its option.
    """
    given = {name: getattr(run, name) for name in RunSettings.model_fields}
    try:
        return RunSettings.model_validate({**given, **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        # what is wrong may be a part of the option's value (`in_a_row=x`): the option is the setting's own
        name = str(first["loc"][0]) if first["loc"] else ""
        if name not in overrides:
            raise UsageError(first["msg"].removeprefix("Value error, ")) from None
        option = "--" + name.replace("_", "-")
        raise UsageError(f"invalid {option}: {overrides[name]!r} (expected {EXPECTED[name]})") from None
