"""Read the values of options of `batchcrew serve`."""

from typing import Any

from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import parse_duration
from batchcrew.base.serving import check_input_name
from batchcrew.server import Phases, parse_max_running, parse_share


def inputs(texts: tuple[str, ...]) -> dict[str, str | None]:
    """Return the values of `--input`; None for a name without `=`."""
    parts = [text.partition("=") for text in texts]
    found = {name.strip(): value if equals else None for name, equals, value in parts}
    if len(found) < len(parts):
        raise UsageError("--input names an input twice; keep one")
    try:
        return {check_input_name(name): value for name, value in found.items()}
    except ValueError as error:
        raise UsageError(f"--input: {error}") from error


def duration(name: str, options: dict[str, Any]) -> float:
    """Return the seconds of an option with a duration.

    Raises:
        UsageError: it is not valid.
    """
    try:
        return parse_duration(options[name])
    except ValueError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}") from error


def share(name: str, text: str) -> Any:
    """Return the share of an option.

    Raises:
        UsageError: it is not valid.
    """
    try:
        return parse_share(text)
    except UsageError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}") from error


def max_running(text: str | None) -> Phases[int] | None:
    """Return the value of `--max-running`.

    Raises:
        UsageError: it is not valid.
    """
    try:
        return None if text is None else parse_max_running(text)
    except UsageError as error:
        raise UsageError(f"--max-running: {error}") from error
