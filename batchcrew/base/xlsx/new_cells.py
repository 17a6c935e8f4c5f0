"""Cells to write: a value and its format. Text is always text: nothing in it is a formula, a link or XML."""

import math
import re
from datetime import date, datetime, time, timedelta
from enum import Enum, auto
from typing import TypeAlias

from batchcrew.base.xlsx.cells import number_text
from batchcrew.base.xlsx.number_formats import BOOLEAN, DATE, DATETIME, DURATION, NUMBER, TIME, Kind

MAX_TEXT = 32_767
"""Maximum length of a cell's text, in UTF-16 code units."""
_SPECIAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML does not have."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?", re.IGNORECASE)
_MOST_DIGITS = 15
"""Digits of a number that spreadsheet programs keep: a longer one is written as text."""
_FIRST_DAY = date(1900, 1, 1)
_EPOCH = datetime(1899, 12, 31)  # noqa: DTZ001 - a date of a workbook has no time zone


class Style(Enum):
    """The formats of cells that a workbook of ours has."""

    GENERAL = auto()
    TEXT = auto()
    WRAPPED = auto()
    HEADER = auto()
    DATE = auto()
    DATETIME = auto()
    TIME = auto()
    DURATION = auto()
    INPUT = auto()


_OF_KIND = {DATE: Style.DATE, DATETIME: Style.DATETIME, TIME: Style.TIME, DURATION: Style.DURATION}
Moment: TypeAlias = date | time | timedelta
"""A datetime is a date."""
Cell: TypeAlias = tuple[str | bool | float | Moment, Style] | None
"""A cell's value and its format; None: a cell without content."""
EMPTY: Cell = None


class _Exact(float):
    """A number that is written with all of its digits: XlsxWriter writes 16, and a changed cell is a changed job."""

    def __format__(self, _: str, /) -> str:
        return number_text(repr(float(self)))


def text_cell(text: str, style: Style = Style.TEXT) -> Cell:
    """Return a cell with text, without characters that XML does not have. `fitting` cuts longer texts before."""
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(lambda found: "\ufffd" if "\ud800" <= found[0] <= "\udfff" else "", text)
    return (text, style) if text or style is Style.INPUT else EMPTY


def fitting(text: str, note: str) -> str:
    """Return a text that fits into a cell: cut, with a note at its end.

    Args:
        note: what to write at the end of a text that is cut; `{length}` is the number of its characters.
    """
    if len(text) <= MAX_TEXT // 2 or (len(text) <= MAX_TEXT and _units(text) <= MAX_TEXT):
        return text
    end = note.format(length=f"{len(text):,}")
    return cut(text, MAX_TEXT - len(end)) + end


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, of at most `most` UTF-16 code units."""
    kept = text[:most]
    while (over := _units(kept) - most) > 0:
        kept = kept[: -max(1, over // 2)]
    return kept


def _units(text: str) -> int:
    return len(text) + sum(1 for character in text if character > "\uffff") if not text.isascii() else len(text)


def number_cell(text: str) -> Cell:
    """Return a cell with a number; with text, if it is not one or has more digits than spreadsheet programs keep."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        return text_cell(text)
    if len(text) > _MOST_DIGITS and len(text.lstrip("-")) > _MOST_DIGITS and text.lstrip("-").isdecimal():
        return text_cell(text)
    return _Exact(text), Style.GENERAL


def typed_cell(text: str, kind: Kind) -> Cell:
    """Return a cell with a value of this kind; with text, if the value is not of the kind."""
    if not text:
        return EMPTY
    if kind == NUMBER:
        same = _NUMBER.fullmatch(text) and math.isfinite(float(text)) and number_text(repr(float(text))) == text
        return (_Exact(text), Style.GENERAL) if same else text_cell(text)
    if kind == BOOLEAN and text in {"true", "false"}:
        return text == "true", Style.GENERAL
    style = _OF_KIND.get(kind)
    moment = None if style is None else _moment(text, kind)
    if style is None or moment is None:
        return text_cell(text)
    return moment, style


def _moment(text: str, kind: Kind) -> Moment | None:
    """Return a date, time or duration of this kind; None if a workbook cannot have it."""
    try:
        if kind == DURATION:
            hours, minutes, seconds = text.split(":")
            return timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
        if kind == TIME:
            return time.fromisoformat(text)
        moment = date.fromisoformat(text) if kind == DATE else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    if isinstance(moment, datetime) and moment.date() == _FIRST_DAY:  # XlsxWriter would keep its time of day only
        return moment.replace(tzinfo=None) - _EPOCH
    return moment if moment.year >= _FIRST_DAY.year else None
