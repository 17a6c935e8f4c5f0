"""The `run:` section of a job file: every setting of a run with its default.

The environment is not read here (it is read in `cli/`). `declarations.py` describes what is derived from a declaration.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from batchcrew.base.errors import UsageError
from batchcrew.base.reasons import PERMANENT_REASONS
from batchcrew.config.declarations import DefaultText, Example, HasOption, Setting, Settings, declared
from batchcrew.config.human import HumanSettings
from batchcrew.config.limits import (
    DEFAULT_IN_A_ROW,
    MOST_CONCURRENCY,
    Auto,
    CanaryText,
    ConcurrencyText,
    FailureLimit,
    FailureLimitText,
    MaxCostText,
    MaxKickoffsText,
    PlanGuard,
)
from batchcrew.config.values import NonNegativeDuration, PositiveDuration, RateText, Share

OnChange = Literal["keep", "rerun"]
Reuse = Annotated[
    Literal["batch", "off"],
    BeforeValidator(lambda value: "off" if value is False else value, json_schema_input_type=Literal["batch", "off"]),
]
RetryClass = Literal["crew_error", "lost", "timeout", "rejected"]
PollStrategy = Literal["learned", "backoff", "fixed"]
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
    """Outcomes to retry. The default omits timeout, because a timed-out execution may still be running, and rejected
    (an answer that `accept` rejects), because it was paid for."""
    never: Annotated[
        tuple[Annotated[str, Field(min_length=3, max_length=200)], ...],
        DefaultText("a list"),
        Example('[insufficient credit, invalid api key, model * does not exist, "!retry in"]'),
    ] = PERMANENT_REASONS
    """A failure is not retried if its reason contains one of these texts. `*` stands for one word; a text that begins
    with `!` names reasons that are retried anyway. A list replaces the default.

    See [below](#reasons-that-are-not-retried)."""


class PollSettings(Settings):
    """When executions are polled."""

    strategy: PollStrategy = "learned"
    """`learned` polls when earlier executions of the crew ended, `backoff` after waits that grow by `factor`, `fixed`
    every `initial`."""
    initial: PositiveDuration = 2.0
    """Wait before the first poll; for `learned`, only until the first execution has ended."""
    factor: float = Field(default=1.5, ge=1, le=100)
    """For `backoff`: each further wait is this many times longer."""
    min: Annotated[PositiveDuration | None, DefaultText("by the crew"), Example("500ms")] = None
    """For `learned`: shortest wait. Default: `initial`, or a twentieth of the median execution if that is shorter."""
    max: PositiveDuration = 30.0
    """Longest wait."""
    rate: Annotated[RateText | None, Example("10/s")] = None
    """Maximum status requests to one crew per second, minute or hour. The execution that has been due the longest is
    polled first."""
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
    """Failures that count: api is failed requests, crew_error is executions that did not succeed.

    `api` counts refused connections, 5xx and lost answers, never a 429 or the 422 of a job."""


class RunSettings(Settings):
    """The `run:` section of a job file; command-line options of the same name override it."""

    concurrency: Annotated[ConcurrencyText, HasOption(), Example("20")] = 10
    """Maximum executions in progress at the same time, over all crews; auto: as many as the crews can run.

    With `auto`, batchcrew finds the number while it runs: see [concurrency](concurrency.md)."""
    max_concurrency: Annotated[int, HasOption(expected="a number of executions, 1 to 10000")] = Field(
        default=100, ge=1, le=MOST_CONCURRENCY
    )
    """Maximum executions in progress for `concurrency: auto`."""
    rate: Annotated[RateText | None, HasOption(), Example("60/m")] = None
    """Maximum kickoffs per second, minute or hour, over all crews: 2/s, 60/m, 500/h.

    Kickoffs are evenly spaced."""
    timeout: Annotated[PositiveDuration, HasOption()] = 1800.0
    """Maximum time of one execution: 90s, 30m, 1h30m.

    The execution times out when the crew reports, after this time, that it still runs; without such an answer it
    remains in progress."""
    max_runtime: Annotated[PositiveDuration | None, HasOption(), Example("55m")] = None
    """End the run after this time; the next run resumes the executions in progress and starts the rest."""
    delivery: Annotated[Delivery, HasOption()] = "at_least_once"
    """After a kickoff in doubt: kick the job off again (at_least_once), or put it on hold until you decide
    (at_most_once).

    With `at_most_once`, a job whose execution the crew no longer knows is put on hold as well."""
    retry: RetrySettings = RetrySettings()
    """When failed jobs are retried.

    See [retry](#retry)."""
    poll: PollSettings = PollSettings()
    """How often executions are polled.

    See [poll](#poll)."""
    stop_after_failures: Annotated[
        FailureLimitText, HasOption(), Example("{in_a_row: 10, same: true, count: 100, share: 20%}")
    ] = FailureLimit(in_a_row=DEFAULT_IN_A_ROW)
    """Start no new jobs after this many failed jobs (20), this failure rate (10%), or this many executions in a row
    that failed for the same reason (in_a_row=10). none: never.

    See [below](#a-crew-that-fails-on-everything)."""
    canary: Annotated[
        CanaryText | None,
        HasOption(expected="a number of jobs, 1 or more", number_only=True),
        Example("{jobs: 5, succeed: 80%}"),
    ] = None
    """Start this many jobs first, and the others only if all of these succeed.

    With `{jobs: 5, succeed: 80%}`, this share of them is enough. Otherwise the run ends with exit 3 and the
    reasons."""
    max_kickoffs: Annotated[
        MaxKickoffsText | None,
        HasOption(expected="a number of kickoffs, 1 or more", number_only=True),
        Example("{run: 500, batch: 2000}"),
    ] = None
    """Maximum number of kickoffs in one run.

    `{run: 100, batch: 1000}` also limits the batch. Refused kickoffs do not count. `--max-kickoffs` replaces both
    limits, `--limit` replaces neither."""
    max_cost: Annotated[
        MaxCostText | None,
        HasOption(expected="an amount such as 20 USD"),
        Example("{run: 20 USD, batch: 100 USD, month: 300 USD}"),
    ] = None
    """Start no job that is expected to take the cost of one run above this amount: 20 USD.

    `{run: 20 USD, batch: 100 USD, month: 300 USD}` also limits the batch, and the calendar month over all batches of
    the ledger. It needs the crew's `price_per_kickoff` or `prices`. See [limits of money](results.md#limits-of-money).
    `--max-cost` replaces all of them."""
    breaker: BreakerSettings = BreakerSettings()
    """When kickoffs to a failing crew are paused.

    See [breaker](#breaker)."""
    human: HumanSettings = HumanSettings()
    """Behaviour while an execution waits for human input.

    See [people.md](people.md)."""
    on_change: Annotated[OnChange, HasOption()] = "keep"
    """For succeeded jobs whose inputs have changed: keep the answer and mark the job as stale (keep), or run the job,
    and pay, again (rerun).

    See [identity.md](identity.md#when-a-job-is-changed)."""
    reuse: Reuse = "batch"
    """Whether a job takes over the answer of a removed or changed job of the batch that had the same crew and inputs
    (batch), or is kicked off (off).

    See [identity.md](identity.md#which-answer-belongs-to-which-job)."""
    plan_guard: PlanGuard = Decimal("0.2")
    """Stop before the first kickoff when more than this share of the succeeded jobs (and at least 10) would be paid for
    again; off disables the check.

    The run stops with exit 3. Use `off` for files that are replaced every day."""

    @property
    def adaptive(self) -> bool:
        """Whether the number of executions in progress follows what the crews can run."""
        return isinstance(self.concurrency, Auto)

    @property
    def most_in_progress(self) -> int:
        """The most executions in progress at the same time."""
        return self.max_concurrency if self.adaptive else self.concurrency

    @model_validator(mode="after")
    def _waits_are_ordered(self) -> Self:
        if self.retry.backoff > self.retry.max:
            raise ValueError("retry.backoff must not be longer than retry.max")
        if self.poll.initial > self.poll.max:
            raise ValueError("poll.initial must not be longer than poll.max")
        if self.poll.min is not None and self.poll.min > self.poll.max:
            raise ValueError("poll.min must not be longer than poll.max")
        if self.breaker.rate == 0:
            raise ValueError("breaker.rate must be above 0 (at 0 the breaker would block every kickoff)")
        return self


def settings_with_option() -> dict[str, Setting]:
    """Return the settings of a run that the command line can override, by name."""
    return {setting.name: setting for setting in declared(RunSettings) if setting.option is not None}


CHANGEABLE = ("concurrency", "max_concurrency", "rate", "max_kickoffs", "max_cost", "timeout")
"""The settings that `batchcrew set` replaces, also while a run is in progress."""


def with_overrides(run: RunSettings, overrides: Mapping[str, Any]) -> RunSettings:
    """Return the job file's run settings, overridden by those of the command line.

    Raises:
        UsageError: an override is not valid; the message names its option.
    """
    return _replaced(run, overrides, name_of=lambda name: "--" + name.replace("_", "-"))


def with_set_values(run: RunSettings, values: Mapping[str, Any]) -> RunSettings:
    """Return run settings in which `batchcrew set` has replaced some.

    Raises:
        UsageError: a value is not valid; the message names its setting.
    """
    return _replaced(run, values, name_of=lambda name: name)


def _replaced(run: RunSettings, values: Mapping[str, Any], *, name_of: Callable[[str], str]) -> RunSettings:
    given = {name: getattr(run, name) for name in RunSettings.model_fields}
    try:
        return RunSettings.model_validate({**given, **values})
    except ValidationError as error:
        first = error.errors()[0]
        # the error may name a part of the value (`in_a_row=x`); the first name is the setting
        name = str(first["loc"][0]) if first["loc"] else ""
        if name not in values:
            raise UsageError(first["msg"].removeprefix("Value error, ")) from None
        expected = settings_with_option()[name].expected
        raise UsageError(f"invalid {name_of(name)}: {values[name]!r} (expected {expected})") from None
