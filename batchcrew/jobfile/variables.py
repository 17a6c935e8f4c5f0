"""Replace `${VAR}` in the job file's values, from the environment and a `.env` next to the file.

    ${VAR}            the value; an unset variable is a problem
    ${VAR:-default}   the default when it is unset or empty
    ${VAR:?message}   the message when it is unset or empty
    $${VAR}           the text ${VAR}

Variables are replaced after the file was parsed, so that their values are always text and never YAML. Keys, comments
and rows files are not changed.
"""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from batchcrew.jobfile.nodes import Node, scalars
from batchcrew.jobfile.problems import Problems, shown
from batchcrew.model.job import Location

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_PARTS = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::([-?])(.*))?", re.DOTALL)


DOTENV = ".env"
"""The file next to the job file."""


def with_dotenv(path: Path, environ: Mapping[str, str], problems: Problems) -> Mapping[str, str]:
    """Return the variables of the file `path`, if there is one, and of the environment, which takes precedence.

    `${OTHER}` inside `.env` is not replaced.
    """
    if not path.is_file():
        return environ
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        problems.at(Location(str(path)), f"cannot be read: {exc.strerror}")
        return environ
    except UnicodeDecodeError:
        problems.at(Location(str(path)), "the text is not UTF-8; save the file as UTF-8")
        return environ
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value is not None} | dict(environ)


def interpolate(root: Node, variables: Mapping[str, str], problems: Problems) -> set[Location]:
    """Replace the variables in every text below `root`, in place.

    Returns:
        The places of values whose variable could not be replaced; further problems of these are not reported.
    """
    broken: set[Location] = set()
    for node in scalars(root):
        if not isinstance(node.value, str) or "${" not in node.value:
            continue

        def replace(match: re.Match[str], where: Location = node.where) -> str:
            if match[0] == "$${":
                return "${"
            value = _value(match[1], match[2], variables)
            if isinstance(value, _Missing):
                problems.at(where, value.message)
                broken.add(where)
                return ""
            return value

        node.value = _VARIABLE.sub(replace, node.value)
    return broken


class _Missing:
    """A variable that cannot be replaced."""

    def __init__(self, message: str) -> None:
        self.message = message


def _value(inside: str, end: str, variables: Mapping[str, str]) -> str | _Missing:
    parts = _PARTS.fullmatch(inside)
    if not end or parts is None:
        found = shown("${" + inside + end)
        return _Missing(f"invalid variable: {found} (expected ${{NAME}}, or $${{ for the text ${{)")
    name, operator, rest = parts[1], parts[2], parts[3]
    value = variables.get(name)
    if operator is None:
        if value is None:
            return _Missing(
                f"the environment variable {name} is not set; `export {name}=…`, or put {name}=… into a .env file "
                "next to the job file"
            )
        return value
    if value:
        return value
    if operator == "-":
        return str(rest)
    return _Missing(f"the environment variable {name} is not set: {rest or 'it is required'}")
