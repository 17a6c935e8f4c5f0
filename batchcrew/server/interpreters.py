"""Finds the Python interpreter that a project's workers run under: its own, else batchcrew's.

An interpreter that you name must be usable. One that is found next to the project is used if it is; if not, and
batchcrew's own environment has crewai, the workers run there as they did before, with a warning.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from batchcrew.base.errors import UsageError
from batchcrew.base.serving import OLDEST_CREWAI, minor_version
from batchcrew.base.text import clean_text
from batchcrew.server.options import ENTRY
from batchcrew.server.worker import entry

PROBE_SECONDS = 60.0
"""How long an interpreter may take to print its version, and poetry to print the path of an environment."""
MAX_SHOWN = 300
"""Characters that are shown of what a program printed."""
NAMED = "serve.python (or --python)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python of a project's workers."""

    path: str
    """Absolute; a link is not resolved, because it may be that of a virtual environment."""
    python: str = ""
    """Its version; empty: it is batchcrew's own."""
    crewai: str = ""
    """The version of crewai in it, as far as it is known."""
    warning: str = ""
    """Why the project's own environment is not used."""

    @property
    def command(self) -> tuple[str, ...]:
        """Return the command that starts a worker."""
        return (self.path, ENTRY)

    @property
    def environment(self) -> Mapping[str, str] | None:
        """Return the variables of its processes: those that `activate` sets. None: this process's own."""
        return None if not self.python else _activated(self.path)

    def __str__(self) -> str:
        crewai = f", crewai {self.crewai}" if self.crewai else ""
        return f"{self.path} (Python {self.python}{crewai})" if self.python else self.path


OWN = Interpreter(path=sys.executable)


class _Unusable(Exception):
    """The interpreter cannot be used; the text says why."""


def interpreter(folder: Path, named: Path | None = None) -> Interpreter:
    """Return the interpreter of a project. It runs programs, for less than a second.

    Args:
        folder: the project's root.
        named: the interpreter that you named, or the folder of its environment.

    Raises:
        UsageError: the named one cannot be used, or nothing that was found has crewai.
    """
    if named is not None:
        try:
            return _examined(_program(named))
        except _Unusable as error:
            raise UsageError(f"invalid python: {named} ({error}); name another one with {NAMED}") from error
    try:
        found = _found(folder)
        return OWN if found is None or _is_own(found) else _examined(found)
    except _Unusable as error:
        if find_spec("crewai") is None:
            raise UsageError(
                f"the project {folder} has no environment to run in: {error}; install its dependencies there, name its"
                f" interpreter with {NAMED}, or pip install 'batchcrew[crewai]'"
            ) from error
        return Interpreter(
            path=sys.executable,
            warning=f"{error}; the crew runs in batchcrew's own environment. Name the project's with {NAMED}.",
        )


def _is_own(path: Path) -> bool:
    """Return whether it is in the environment that this process runs in."""
    return path.parent.parent.resolve() == Path(sys.prefix).resolve()


def _found(folder: Path) -> Path | None:
    """Return the interpreter of the environment that belongs to the project; None if there is no trace of one."""
    chosen = os.environ.get("UV_PROJECT_ENVIRONMENT", "")
    folder = _workspace(folder)
    by_uv, by_poetry = (folder / "uv.lock").is_file(), (folder / "poetry.lock").is_file()
    if by_uv and chosen:
        return _program(folder / chosen)
    if (folder / ".venv").is_dir():
        return _program(folder / ".venv")
    if by_uv:
        raise _Unusable(f"{folder} has a uv.lock and no .venv (`uv sync` makes it)")
    return _of_poetry(folder) if by_poetry else None


def _workspace(folder: Path) -> Path:
    """Return the root of the uv workspace that a project belongs to, which has the environment; else the project."""
    if any((folder / name).exists() for name in (".venv", "uv.lock", "poetry.lock")):
        return folder
    for above in folder.parents:
        if above == Path.home():
            break
        if (above / "uv.lock").is_file() and "workspace" in _uv_settings(above / "pyproject.toml"):
            return above
    return folder


def _uv_settings(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["uv"]
    except (OSError, ValueError, KeyError, TypeError):  # TypeError: `tool` is not a table
        return {}
    return found if isinstance(found, dict) else {}


def _of_poetry(folder: Path) -> Path:
    poetry = shutil.which("poetry")
    where = f"{folder} has a poetry.lock"
    if poetry is None:
        raise _Unusable(f"{where}, and the program poetry, which knows its environment, is not installed")
    outside = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "CONDA_PREFIX"}}
    try:
        printed = _printed([poetry, "--no-interaction", "env", "info", "--path"], folder, outside)
    except _Unusable:  # its code is not 0 if there is none
        printed = ""
    if not printed.strip():
        raise _Unusable(f"{where}, and poetry has no environment for it (`poetry install` makes it)")
    return _program(Path(printed.strip().splitlines()[-1]))


def _program(path: Path) -> Path:
    """Return the interpreter that a path names: the file, or `bin/python` of an environment."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a link is not resolved
    if path.is_dir():
        path = path / "bin" / "python"
    if not path.exists():
        broken = " (a link to a file that does not exist)" if path.is_symlink() else ""
        raise _Unusable(f"{path} was not found{broken}")
    return path


def _examined(path: Path) -> Interpreter:
    """Run an interpreter, and return what it says about itself."""
    printed = _printed([str(path), ENTRY, entry.DESCRIBE], path.parent, _activated(str(path)))
    version, crewai = _versions(printed, path)
    shown = ".".join(map(str, version))
    if version[:2] < entry.OLDEST:
        raise _Unusable(f"{path} is Python {shown}; crewai needs {'.'.join(map(str, entry.OLDEST))} or later")
    if crewai is None:
        raise _Unusable(f"{path} (Python {shown}) has no crewai; install the project's dependencies there")
    if (minor_version(crewai) or OLDEST_CREWAI) < OLDEST_CREWAI:
        oldest = ".".join(map(str, OLDEST_CREWAI))
        raise _Unusable(f"{path} has crewai {clean_text(crewai, limit=40)}; {oldest} or later is needed")
    return Interpreter(path=str(path), python=shown, crewai=clean_text(crewai, limit=40))


def _versions(printed: str, path: Path) -> tuple[tuple[int, ...], str | None]:
    try:
        found: Any = json.loads(printed)
        version, crewai = tuple(map(int, found["python"])), found["crewai"]
    except (ValueError, TypeError, KeyError):
        shown = clean_text(printed, limit=MAX_SHOWN)
        raise _Unusable(f"{path} is not a Python interpreter" + (f": it printed {shown}" if shown else "")) from None
    return version, crewai if crewai is None else str(crewai)


def _printed(command: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that you named, or that of the project that is served
            command,
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
            start_new_session=True,
        )
    except OSError as error:
        raise _Unusable(f"{command[0]} cannot be run: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise _Unusable(f"{command[0]} has printed nothing after {PROBE_SECONDS:g} s") from error
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0 and not text.strip():
        text = done.stderr.decode("utf-8", "replace")
        raise _Unusable(f"{command[0]} failed with code {done.returncode}: {clean_text(text, limit=MAX_SHOWN)}")
    return text


def _activated(python: str) -> dict[str, str]:
    """Return the variables that a process has in the interpreter's environment."""
    variables = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONHOME"}}
    programs = os.path.dirname(python)  # noqa: PTH120 - not resolved
    root = os.path.dirname(programs)  # noqa: PTH120 - as above
    if (Path(root) / "pyvenv.cfg").is_file():
        variables["VIRTUAL_ENV"] = root
        variables["PATH"] = os.pathsep.join((programs, os.environ.get("PATH", os.defpath)))
    return variables
