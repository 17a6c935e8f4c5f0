"""Determine how a number format shows a number: as a number, date, time, duration, or digits with leading zeros."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal[".", "n", "d", "D", "t", "u", "b"]
TEXT: Kind = "."
"""Text, and an empty cell."""
NUMBER: Kind = "n"
DATE: Kind = "d"
DATETIME: Kind = "D"
TIME: Kind = "t"
DURATION: Kind = "u"
BOOLEAN: Kind = "b"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """The way in which numbers in a cell are shown."""

    kind: Kind
    digits: int = 0
    """Number of digits that are shown at least: 5 of `00000`."""


GENERAL = NumberFormat(NUMBER)
_DATES = NumberFormat(DATE)
_TIMES = NumberFormat(TIME)
# ECMA-376, part 1, 18.8.30; those from 27 on have a meaning in East Asian versions of Excel only
BUILT_IN: dict[int, NumberFormat] = {
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, *range(50, 59)), _DATES),
    **dict.fromkeys((18, 19, 20, 21, *range(32, 36), 45, 47), _TIMES),
    22: NumberFormat(DATETIME),
    46: NumberFormat(DURATION),
}
# literal parts: quoted text, an escaped character, a blank as wide as a character, a repeated character
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.', re.DOTALL)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_BRACKETS = re.compile(r"\[[^\]]*\]")
_ZEROS = re.compile(r"0{2,20}")


def read_format(code: str) -> NumberFormat:
    """Return what a format code such as `dd/mm/yyyy hh:mm` means."""
    if code.casefold() == "general":
        return GENERAL
    plain = _LITERAL.sub("", code[:1000]).partition(";")[0]
    if _ELAPSED.search(plain):
        return NumberFormat(DURATION)
    plain = _BRACKETS.sub("", plain).casefold()
    if _ZEROS.fullmatch(plain) and plain == code:
        return NumberFormat(NUMBER, digits=len(plain))
    clock = "h" in plain or "s" in plain
    # `m` is the month, unless it is next to hours or seconds
    calendar = "y" in plain or "d" in plain or ("m" in plain and not clock)
    if calendar and "general" not in plain:
        return NumberFormat(DATETIME) if clock else _DATES
    return _TIMES if clock else GENERAL
