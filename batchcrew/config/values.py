"""Types of values that settings share: durations, sizes, rates, shares and prices, with how they are written.

Durations are stored as float seconds; a job file or an option writes them as `30s`, `5m`, `1h30m` or a bare number of
seconds.
"""

import math
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from batchcrew.base.quantities import UNITS, parse_duration, parse_size, write_duration
from batchcrew.config.declarations import Notation, Settings

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h|sec|min|second|minute|hour)")

Duration = Annotated[
    float,
    BeforeValidator(
        parse_duration,
        json_schema_input_type=Annotated[str, Field(description="A duration: 30s, 5m or 1h30m.")]
        | Annotated[float, Field(description="A number of seconds.")],
    ),
    Notation(write_duration, "a duration above 0 such as 90s, 30m or 1h30m"),
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
    Notation(lambda size: f"{size / 2**20:g}MiB", "a size such as 64MiB"),
]


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
    Notation(str, "e.g. 2/s, 60/m or 500/h"),
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


def write_share(share: Decimal) -> str:
    """Write a share as a percentage: `80%`."""
    return f"{float(share * 100):g}%"


ShareNotation = Notation(write_share, "e.g. 80% or 0.8")
Share = Annotated[
    Decimal,
    BeforeValidator(
        parse_share,
        json_schema_input_type=Annotated[str, Field(description="A share: 80%.")]
        | Annotated[float, Field(ge=0, le=1, description="A share: 0.8.")],
    ),
    ShareNotation,
]


class Price(Settings):
    """An amount of money: the price of one kickoff, or a limit."""

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


_AMOUNT = re.compile(r"\d{1,9}(?:\.\d{1,12})?")
_CURRENCY = re.compile(r"[A-Za-z€$£¥]{0,8}")


def parse_amount(value: object) -> Any:
    """Parse an exact amount of money from a number, or from its text: 0.0025."""
    if isinstance(value, Decimal):
        return value
    text = f"{Decimal(str(value)):f}" if isinstance(value, float) and math.isfinite(value) else str(value).strip()
    if isinstance(value, bool) or not _AMOUNT.fullmatch(text):
        raise ValueError(
            f"invalid amount: {value!r} (expected a number from 0, with up to 12 decimal places, e.g. 0.0025)"
        )
    return Decimal(text)


def parse_currency(value: object) -> Any:
    """Parse a currency: USD."""
    text = str(value).strip()
    if value is None or isinstance(value, bool) or not _CURRENCY.fullmatch(text):
        raise ValueError(f"invalid currency: {value!r} (expected e.g. USD)")
    return text


Amount = Annotated[
    Decimal,
    BeforeValidator(
        parse_amount,
        json_schema_input_type=Annotated[float, Field(ge=0, description="An amount: 0.0025.")] | str,
    ),
    Notation(lambda amount: f"{amount:f}", "an amount such as 0.0025"),
]
Currency = Annotated[str, BeforeValidator(parse_currency, json_schema_input_type=str)]
PriceText = Annotated[
    Price,
    BeforeValidator(
        parse_price,
        json_schema_input_type=Annotated[str, Field(description="A price with its currency: 0.50 USD.")]
        | Annotated[float, Field(ge=0, description="A price without its currency: 0.5.")],
    ),
]
