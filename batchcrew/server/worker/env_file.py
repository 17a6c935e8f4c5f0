"""Reads a project's `.env`: with python-dotenv if the project's environment has it, else by a simple reading."""

import os
import re
from pathlib import Path

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)\"""")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read_env(file: Path) -> None:
    """Set the variables of a `.env`, which contains a project's keys; the environment takes precedence."""
    if not file.is_file():
        return
    try:
        from dotenv import load_dotenv
    except ImportError:
        for name, value in simple_values(file.read_text(encoding="utf-8", errors="surrogateescape")).items():
            os.environ.setdefault(name, value)
    else:
        load_dotenv(file, override=False)


def simple_values(text: str) -> dict[str, str]:
    """Return the variables of a `.env` without python-dotenv.

    It reads `NAME=value`, `export NAME=value`, quoted values and comments. A value ends with its line, and `${NAME}`
    in it is not replaced.
    """
    found = {}
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        if match:
            found[match[1]] = _value(match[2])
    return found


def _value(text: str) -> str:
    quoted = _QUOTED.match(text)
    if quoted is None:
        return re.sub(r"(^|\s)#.*", "", text).rstrip()
    if quoted[1] is not None:
        return quoted[1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), quoted[2])
