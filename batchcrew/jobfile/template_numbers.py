"""The template filters `int` and `float`: a value that is not a number is an error; Jinja2 returns 0."""

import math
from typing import Any

from jinja2 import Undefined

from batchcrew.jobfile.problems import shown

_REQUIRED = object()


class NotNumber(ValueError):
    """A value is not a number, and the filter has no default."""


def int_filter(value: object, default: object = _REQUIRED, base: int = 10) -> Any:
    """Convert a number, or text that is one, to a whole number; decimals are dropped.

    Raises:
        NotNumber: the value is not a number and there is no default.
    """
    text = _number_text(value)
    if text is not None:
        try:
            return int(text, base)
        except ValueError:
            number = _finite(text)
            if number is not None and base == 10:
                return int(number)
    return _default(value, default, "int")


def float_filter(value: object, default: object = _REQUIRED) -> Any:
    """Convert a number, or text that is one, to a number with decimals.

    Raises:
        NotNumber: the value is not a number and there is no default.
    """
    text = _number_text(value)
    number = None if text is None else _finite(text)
    return _default(value, default, "float") if number is None else number


def _number_text(value: object) -> str | None:
    if isinstance(value, Undefined):
        str(value)  # raises UndefinedError with the column's name
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return None if "_" in text else text  # Python reads 1_000 as a number; a table means text by it


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _default(value: object, default: object, name: str) -> Any:
    if default is _REQUIRED:
        seen = "an empty value" if value is None or value == "" else shown(value)
        raise NotNumber(
            f"`{name}`: {seen} is not a number; correct the row, or set a default as in `{name}(default=0)`"
        )
    return default
