"""Finds the target of `batchcrew serve TARGET` from its text and the files that exist.

Nothing of the target is imported here; only worker processes do that.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchcrew.base.errors import UsageError

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ATTRIBUTE = _MODULE
_HINT = "write my_project.crew:TravelCrew, path/to/file.py:crew, or a CrewAI project folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the crew is found."""

    name: str
    """As you wrote it."""
    folder: str
    """The working folder of the workers, absolute; its `.env` is read."""
    paths: tuple[str, ...]
    """Put in front of `sys.path`, absolute."""
    modules: tuple[str, ...]
    """Modules to import: the first one that contains the crew is used."""
    file: str = ""
    """A file to import as the module, if it is not part of a package."""
    attribute: str = ""
    """The name in the module; empty: its only crew class or flow class."""
    kind: str = ""
    """`crew` or `flow`, if the project specifies it; only that kind is looked for."""


def parse_target(text: str, base: Path) -> Target:
    """Return the target that `text` names, with paths relative to the folder `base`.

    Raises:
        UsageError: it is not a valid target.
    """
    text, base = text.strip(), base.resolve()
    place, colon, attribute = text.rpartition(":")
    if not colon:
        place, attribute = text, ""
    if colon and not _ATTRIBUTE.fullmatch(attribute):
        raise UsageError(f"invalid target: {text!r} ({attribute!r} is not a Python name); {_HINT}")
    path = base / place
    if place.endswith(".py"):
        return _file(text, path, attribute)
    if place and path.is_dir():
        if attribute:
            raise UsageError(f"invalid target: {text!r} ({place} is a folder); name the folder alone, or a file in it")
        return _project(text, path)
    if not _MODULE.fullmatch(place):
        raise UsageError(f"invalid target: {text!r} (folder not found); {_HINT}")
    if not attribute:
        raise UsageError(
            f"invalid target: {text!r} (folder not found; a module needs its crew, as in {text}:crew); {_HINT}"
        )
    source = base / "src"
    paths = (str(base), str(source)) if source.is_dir() else (str(base),)
    return Target(name=text, folder=str(base), paths=paths, modules=(place,), attribute=attribute)


def _file(text: str, path: Path, attribute: str) -> Target:
    if not path.is_file():
        raise UsageError(f"invalid target: {text!r} (file not found: {path})")
    top, parts = path.parent, [path.stem]
    while (top / "__init__.py").is_file() and top != top.parent:  # its relative imports work only in its package
        parts.insert(0, top.name)
        top = top.parent
    package = len(parts) > 1
    return Target(
        name=text,
        folder=str(path.parent if not package else top),
        paths=(str(top),),
        modules=(".".join(parts),),
        file="" if package else str(path),
        attribute=attribute,
    )


def _project(text: str, path: Path) -> Target:
    folder = next((at for at in (path, *path.parents) if _crewai_settings(at) is not None), None)
    if folder is None:
        raise UsageError(
            f"not a CrewAI project: {text!r} (no pyproject.toml with [tool.crewai] in {path} or above); {_HINT}"
        )
    kind = str((_crewai_settings(folder) or {}).get("type", "crew"))
    if kind not in {"crew", "flow"}:
        raise UsageError(f"{folder / 'pyproject.toml'}: invalid [tool.crewai] type: {kind!r} (expected crew or flow)")
    name = str(_pyproject(folder).get("project", {}).get("name", folder.name)).replace("-", "_").replace(".", "_")
    source = folder / "src"
    roots = [root for root in (source, folder) if (root / name).is_dir()]
    if not roots:
        packages = sorted(found.parent for found in source.glob(f"*/{'main' if kind == 'flow' else 'crew'}.py"))
        if len(packages) != 1:
            raise UsageError(
                f"the CrewAI project {folder} has no package src/{name}; name its crew: path/to/crew.py:TravelCrew"
            )
        roots, name = [source], packages[0].name
    order = ("main", "crew", "flow") if kind == "flow" else ("crew", "main")
    return Target(
        name=text,
        folder=str(folder),
        paths=tuple(dict.fromkeys((str(roots[0]), str(folder)))),
        modules=tuple(f"{name}.{module}" for module in order if (roots[0] / name / f"{module}.py").is_file()),
        kind=kind,
    )


def _crewai_settings(folder: Path) -> dict[str, Any] | None:
    found = _pyproject(folder).get("tool", {}).get("crewai")
    return found if isinstance(found, dict) else None


def _pyproject(folder: Path) -> dict[str, Any]:
    """Return the contents of the folder's pyproject.toml, empty if there is none.

    Raises:
        UsageError: it cannot be read.
    """
    file = folder / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
