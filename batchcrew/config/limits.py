"""Limits of a run that count jobs, failures or kickoffs."""

import contextlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from batchcrew.config.declarations import DefaultText, Notation, Settings
from batchcrew.config.values import PriceText, Share, ShareNotation, parse_share, write_share

MOST_CONCURRENCY = 10_000
DEFAULT_IN_A_ROW = 10
"""Failures in a row, all for the same reason, after which a run stops by default."""
SHARE_SAMPLE = 10
"""Number of ended jobs from which on the share of failures is checked."""


class Auto(int):
    """The value of `concurrency: auto`; a separate type, because the number 0 is not valid in a job file."""

    def __str__(self) -> str:
        return "auto"


AUTO = Auto()


def parse_concurrency(value: object, number: ValidatorFunctionWrapHandler) -> Any:
    """Parse a number of executions, or AUTO from `auto`."""
    is_auto = isinstance(value, Auto) or (isinstance(value, str) and value.strip().lower() == "auto")
    return AUTO if is_auto else number(value)


ConcurrencyText = Annotated[
    int,
    Ge(1),
    Le(MOST_CONCURRENCY),
    WrapValidator(
        parse_concurrency,
        json_schema_input_type=Annotated[int, Field(ge=1, le=MOST_CONCURRENCY)] | Literal["auto"],
    ),
    Notation(
        str,
        f"a number of executions, 1 to {MOST_CONCURRENCY}, or auto",
    ),
]


class FailureLimit(Settings):
    """Failures after which a run starts no new jobs."""

    in_a_row: Annotated[int | None, DefaultText(str(DEFAULT_IN_A_ROW))] = Field(default=None, ge=1, le=10_000)
    """Number of executions of one crew that failed in a row, over all runs of the batch. Default: 10, unless `count`
    or `share` is given.

    Lost and timed-out executions count as failed, and so do retries; a success resets the count. A `count` or `share`
    without `in_a_row` replaces this rule, also in the short forms `20` and `10%`; write `{in_a_row: 10, count: 20}` for
    both."""
    same: bool = True
    """Count only executions in a row that failed for the same reason.

    Numbers, ids, times, quoted text, paths and addresses in the reason may differ. `false`: any failures."""
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
        share = None if self.share is None else write_share(self.share)
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


def _write_failure_limit(limit: FailureLimit) -> str:
    given = limit.model_dump(exclude_none=True)
    return ",".join(f"{name}={str(value).lower()}" for name, value in given.items())


FailureLimitText = Annotated[
    FailureLimit | None,
    BeforeValidator(
        parse_failure_limit,
        json_schema_input_type=Annotated[str, Field(description="A failure rate: 10%, or none.")]
        | Annotated[int, Field(description="A number of failed jobs: 20.")]
        | FailureLimit
        | None,
    ),
    Notation(_write_failure_limit, "e.g. 20, 10%, in_a_row=10 (at most 10000), in_a_row=10,same=false, or none"),
]


def parse_plan_guard(value: object) -> Any:
    """Read a share, or None from `off`."""
    if value is None or value is False or (isinstance(value, str) and value.strip().lower() in {"off", "none"}):
        return None
    return parse_share(value)


PlanGuard = Annotated[
    Decimal | None,
    BeforeValidator(
        parse_plan_guard,
        json_schema_input_type=Annotated[str, Field(description="A share of the succeeded jobs: 20%, or off.")]
        | Annotated[float, Field(ge=0, le=1, description="A share: 0.2.")],
    ),
    ShareNotation,
]


class Canary(Settings):
    """The first jobs of a batch, which must succeed before the rest starts."""

    jobs: int = Field(ge=1)
    """Number of jobs that start first."""
    succeed: Share = Decimal(1)
    """Share of these jobs that must succeed."""


class MaxKickoffs(Settings):
    """Maximum number of kickoffs."""

    run: int | None = Field(default=None, ge=1)
    """Maximum in one run."""
    batch: int | None = Field(default=None, ge=1)
    """Maximum in the batch, over all its runs."""


def parse_canary(value: object) -> Any:
    """Parse a `Canary` from a number of jobs or a mapping."""
    return {"jobs": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


def parse_max_kickoffs(value: object) -> Any:
    """Parse `MaxKickoffs` from a number (for one run) or a mapping."""
    return {"run": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


class MaxCost(Settings):
    """Maximum amounts of money."""

    run: PriceText | None = None
    """Maximum of one run: 20 USD."""
    batch: PriceText | None = None
    """Maximum of the batch, over all its runs."""
    month: PriceText | None = None
    """Maximum of a calendar month (local time, as for `{date}`), over all batches of the ledger."""

    @model_validator(mode="after")
    def _has_an_amount(self) -> Self:
        if self.run is None and self.batch is None and self.month is None:
            raise ValueError("no amount is given (expected run, batch or month)")
        return self


def parse_max_cost(value: object) -> Any:
    """Parse `MaxCost` from an amount (for one run) or a mapping."""
    return {"run": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


MaxCostText = Annotated[
    MaxCost,
    BeforeValidator(
        parse_max_cost,
        json_schema_input_type=Annotated[str, Field(description="An amount of one run: 20 USD.")]
        | Annotated[float, Field(ge=0, description="An amount without its currency: 20.")]
        | MaxCost,
    ),
]
CanaryText = Annotated[Canary, BeforeValidator(parse_canary, json_schema_input_type=int | Canary)]
MaxKickoffsText = Annotated[MaxKickoffs, BeforeValidator(parse_max_kickoffs, json_schema_input_type=int | MaxKickoffs)]
