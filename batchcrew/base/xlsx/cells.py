"""Convert a cell's content to text: numbers in their shortest form, dates as ISO 8601, true and false."""

import math
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from batchcrew.base.xlsx.number_formats import (
    BOOLEAN,
    DATE,
    DATETIME,
    DURATION,
    NUMBER,
    TEXT,
    TIME,
    Kind,
    NumberFormat,
)

Value = tuple[str, Kind]
EMPTY: Value = ("", TEXT)
_INTEGER = re.compile(r"-?[0-9]+")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_MOST_DIGITS = 1e21
"""Whole numbers below this are written with all their digits."""
_LAST_DAY = 2_958_465
"""Excel's number of 9999-12-31."""
_MILLISECONDS = 86_400_000
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a date of a workbook has no time zone
_LEAP_DAY = 60
"""Excel's number of 1900-02-29, a day that did not exist."""
EPOCH_1904 = 1462
"""Days between the two epochs that workbooks have."""


class CellError(ValueError):
    """A cell has no value; the message says what it contains instead."""


def cell_value(kind: str, text: str | None, *, formula: bool, shown: NumberFormat, days: int) -> Value:
    """Return a cell's text, and its kind.

    Args:
        kind: the attribute `t`; `s` is resolved before.
        text: the content; None: there is none.
        formula: whether the content is the cached value of a formula.
        shown: the cell's number format.
        days: days to add to a date: EPOCH_1904 or 0.

    Raises:
        CellError: the cell has an error, or a formula without a value.
    """
    if not text:
        if formula and kind != "str":
            raise CellError(
                "the formula has no value: the program that wrote the file did not calculate it; open and save the"
                " file in a spreadsheet program, or replace the formula by its value"
            )
        return EMPTY
    if kind in {"s", "inlineStr", "str"}:
        return unescaped(text), TEXT
    if kind == "b":
        return ("true" if text.strip() not in {"0", "false"} else "false"), BOOLEAN
    if kind == "e":
        raise CellError(f"{text[:20]} is an error and not a value; correct the formula, or empty the cell")
    if kind == "d":
        return _iso(text)
    return _number(text.strip(), shown, days)


def unescaped(text: str) -> str:
    """Return a text without the escapes `_x000D_` of characters that XML does not have."""
    return _ESCAPE.sub(_character, text) if "_x" in text else text


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return match[0] if code == 0 or 0xD800 <= code <= 0xDFFF or code >= 0xFFFE else chr(code)


def number_text(text: str) -> str:
    """Return a number in its shortest form: `34` for `34.0`, `1.1` for `1.1000000000000001`.

    Raises:
        CellError: it is not a number.
    """
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("-").lstrip("0") or "0"
        return f"-{digits}" if text[0] == "-" and digits != "0" else digits
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise CellError(f"{text[:40]!r} is not a number")
    if number.is_integer() and abs(number) < _MOST_DIGITS:
        return f"{Decimal(repr(number)):f}".partition(".")[0] if number else "0"
    return repr(number)


def _number(text: str, shown: NumberFormat, days: int) -> Value:
    plain = number_text(text)
    if shown.kind == NUMBER:
        if shown.digits > len(plain) and plain.isdecimal():
            return plain.zfill(shown.digits), TEXT  # a postcode, as it is shown
        return plain, NUMBER
    number = float(plain)
    if not 0 <= number <= _LAST_DAY + 1 - days:
        return plain, NUMBER  # Excel shows ####
    whole, part = divmod(round(number * _MILLISECONDS), _MILLISECONDS)
    if shown.kind == DURATION:
        return _duration(whole, part), DURATION
    if whole == 0 and (shown.kind == TIME or part):
        return time_text(part), TIME
    if shown.kind == DATE and not part:
        return _day(whole + days).date().isoformat(), DATE
    return (_day(whole + days) + timedelta(milliseconds=part)).isoformat(timespec=_precision(part)), DATETIME


def _day(number: int) -> datetime:
    """Return the day with this number; Excel counts a 29 February 1900."""
    return _EPOCH + timedelta(days=number + (1 if 0 < number < _LEAP_DAY else 0))


def _precision(part: int) -> str:
    return "milliseconds" if part % 1000 else "seconds"


def time_text(part: int) -> str:
    """Return a time of day as ISO 8601.

    Args:
        part: milliseconds since midnight.
    """
    return (_EPOCH + timedelta(milliseconds=part)).time().isoformat(timespec=_precision(part))


def _duration(days: int, part: int) -> str:
    seconds, rest = divmod(part, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{days * 24 + hours}:{minutes:02}:{seconds:02}" + (f".{rest:03}" if rest else "")


def _iso(text: str) -> Value:
    """Return a date that is written as ISO 8601, as few programs do."""
    given = text.strip().removesuffix("Z")
    for read, kind in ((date.fromisoformat, DATE), (time.fromisoformat, TIME), (datetime.fromisoformat, DATETIME)):
        try:
            value = read(given)
        except ValueError:
            continue
        return value.isoformat(), kind
    return unescaped(text), TEXT
