"""Finds the target of `batchcrew serve TARGET` from its text and the files that exist.

Nothing of the target is imported here; only worker processes do that.
"""

import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchcrew.base.errors import UsageError
from batchcrew.server.crew_search import Found, search
from batchcrew.server.target import Target

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ATTRIBUTE = _MODULE
_ROOT_MARKS = ("pyproject.toml", ".git", "src")
"""The nearest folder with one of them is the project's root."""
_CREW_FILES = ("crew.jsonc", "crew.json")
_MAX_LISTED = 20
"""Crews and flows that an error names."""
_HINT = "write my_project.crew:TravelCrew, path/to/file.py:crew, or a CrewAI project folder"


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
        return _project(text, Path(os.path.normpath(path)), base)
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
    path = Path(os.path.normpath(path))  # not resolved: a link to the file is in another folder
    top, parts = path.parent, [path.stem]
    # Its relative imports work only in its package.
    while (top / "__init__.py").is_file() and top.name.isidentifier() and top != top.parent:
        parts.insert(0, top.name)
        top = top.parent
    root = _root(path) or top
    source = root / "src"
    below = path.relative_to(source).with_suffix("").parts if path.is_relative_to(source) else ()
    if len(parts) == 1 and len(below) > 1 and all(part.isidentifier() for part in below):
        top, parts = source, list(below)  # a package without __init__.py
    package = len(parts) > 1
    folders = [top, *([source] if source.is_dir() else []), root]
    return Target(
        name=text,
        folder=str(root),
        paths=tuple(dict.fromkeys(map(str, folders))),
        siblings=(str(path.parent),) if package else (),
        modules=(".".join(parts),),
        file="" if package else str(path),
        attribute=attribute,
    )


def _root(path: Path) -> Path | None:
    """Return the root of the project that a file is in; None if it is in none. A home folder is not a project."""
    for at in path.parents:
        if at == Path.home():
            return None
        if any((at / mark).exists() for mark in _ROOT_MARKS):
            return at
    return None


def _project(text: str, path: Path, base: Path) -> Target:
    folder = next((at for at in (path, *path.parents) if _crewai_settings(at) is not None), None)
    if folder is None:
        return _searched(text, path, base)
    settings = _crewai_settings(folder) or {}
    kind = str(settings.get("type", "crew"))
    if kind not in {"crew", "flow"}:
        raise UsageError(f"{folder / 'pyproject.toml'}: invalid [tool.crewai] type: {kind!r} (expected crew or flow)")
    if "definition" in settings:
        return _defined(text, folder, settings["definition"], kind)
    name = str(_pyproject(folder).get("project", {}).get("name", folder.name)).replace("-", "_").replace(".", "_")
    source = folder / "src"
    roots = [root for root in (source, folder) if (root / name).is_dir()]
    if not roots:
        packages = sorted(found.parent for found in source.glob(f"*/{'main' if kind == 'flow' else 'crew'}.py"))
        if len(packages) != 1:
            return _searched(text, folder, base, kind=kind, missing=f"no package src/{name}")
        roots, name = [source], packages[0].name
    order = ("main", "crew", "flow") if kind == "flow" else ("crew", "main")
    modules = tuple(f"{name}.{module}" for module in order if (roots[0] / name / f"{module}.py").is_file())
    if not modules:
        return _searched(text, folder, base, kind=kind, missing="neither crew.py nor main.py in its package")
    return Target(
        name=text,
        folder=str(folder),
        paths=tuple(dict.fromkeys((str(roots[0]), str(folder)))),
        siblings=(str(roots[0] / name),),
        modules=modules,
        kind=kind,
    )


def _defined(text: str, folder: Path, definition: object, kind: str) -> Target:
    """Return the target of a project that a file describes, such as `crew.jsonc`."""
    where = f"{folder / 'pyproject.toml'}: invalid [tool.crewai] definition: {definition!r}"
    if not isinstance(definition, str) or not definition.strip():
        raise UsageError(f"{where} (expected the path of a file)")
    file = (folder / definition.strip()).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise UsageError(f"{where} (it must be in the project's folder)")
    if not file.is_file():
        raise UsageError(f"{where} (file not found)")
    source = folder / "src"
    paths = (str(folder), str(source)) if source.is_dir() else (str(folder),)
    return Target(name=text, folder=str(folder), paths=paths, kind=kind, definition=str(file))


def _searched(text: str, folder: Path, base: Path, *, kind: str = "", missing: str = "no [tool.crewai]") -> Target:
    """Return the only crew or flow in `src` or the folder.

    Args:
        missing: what the project does not have that would name its crew, for the error.
    """
    crew_file = next((name for name in _CREW_FILES if (folder / name).is_file()), None)
    if crew_file is not None and kind != "flow":
        return _defined(text, folder, crew_file, "crew")
    found = search(folder / "src", kind) or search(folder, kind)
    wanted = "a flow class" if kind == "flow" else "a @CrewBase class, Crew object or Flow class"
    if not found:
        raise UsageError(f"no crew found: {text!r} ({folder} has {missing}, and no Python file with {wanted}); {_HINT}")
    if len(found) > 1:
        listed = ", ".join(_named(one, base) for one in found[:_MAX_LISTED])
        more = f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
        count = len(found)
        raise UsageError(f"{count} crews and flows found: {text!r} ({listed}{more}); name one of them as the target")
    target = _file(text, found[0].file, found[0].name)
    root, marked = Path(target.folder), _root(found[0].file)
    if marked and (root.is_relative_to(folder) or folder.is_relative_to(root / "src")):
        return target
    # You named a folder of a larger repository, or one that nothing marks: its files are relative to this folder.
    paths = (path for path in target.paths if path != target.folder or not marked)
    return replace(target, folder=str(folder), paths=tuple(dict.fromkeys((*paths, str(folder)))))


def _named(found: Found, base: Path) -> str:
    """Return the crew as a target, relative to `base` where it is below it."""
    file = found.file.relative_to(base) if found.file.is_relative_to(base) else found.file
    return f"{file}:{found.name}"


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
