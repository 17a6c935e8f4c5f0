"""Finds the crews and flows in a folder of Python files, by reading the files without importing them."""

import ast
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 2000
"""Python files that are read at most: a folder with more is not one project."""
MAX_FOLDERS = 5000
MAX_BYTES = 2**20
"""Larger files are generated, and are not read."""
_SKIPPED = frozenset({"build", "dist", "env", "node_modules", "site-packages", "test", "tests", "venv"})


@dataclass(frozen=True, slots=True)
class Found:
    """A crew or flow in a file."""

    file: Path
    name: str
    kind: str
    """`crew` or `flow`."""


def search(folder: Path, kind: str = "") -> list[Found]:
    """Return the `@CrewBase` classes, `Flow` classes and module-level `Crew` objects, flows first.

    If there are none, it returns the module-level functions that return a `Crew`.

    Args:
        kind: `crew` or `flow`, to return only these.
    """
    found: list[Found] = []
    functions: list[Found] = []
    for file in _files(folder):
        tree = _tree(file)
        if tree is not None:
            found += [Found(file, *one) for one in _definitions(tree)]
            functions += [Found(file, name, "crew") for name in _functions(tree)]
    chosen = [one for one in found or functions if kind in {"", one.kind}]
    return sorted(chosen, key=lambda one: (one.kind != "flow", str(one.file), one.name))


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for number, (place, folders, names) in enumerate(os.walk(folder)):
        if number == MAX_FOLDERS:
            return
        folders[:] = sorted(name for name in folders if not _is_skipped(Path(place, name)))
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith(("test_", "conftest.")):
                count += 1
                if count > MAX_FILES:
                    return
                yield Path(place, name)


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith((".", "__")) or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()


def _tree(file: Path) -> ast.Module | None:
    """Return the parsed file; None if it cannot be Python for this interpreter, or has no crew in its text."""
    try:
        if file.stat().st_size > MAX_BYTES:
            return None
        text = file.read_bytes()
        if b"Crew" not in text and b"Flow" not in text:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about the target's text, such as invalid escapes
            return ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _definitions(tree: ast.Module) -> Iterator[tuple[str, str]]:
    flows = {"Flow"}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            if any(_name(one) == "CrewBase" for one in node.decorator_list):
                kind = "crew"
            elif any(_name(one) in flows for one in node.bases):
                kind = "flow"
                flows.add(node.name)
            else:
                continue
            if not node.name.startswith("_"):
                yield node.name, kind
        elif isinstance(node, ast.Assign | ast.AnnAssign) and _is_crew(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((one.id, "crew") for one in targets if isinstance(one, ast.Name) and not one.id.startswith("_"))


def _functions(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and _returns_crew(node):
            yield node.name


def _returns_crew(node: ast.FunctionDef) -> bool:
    crews = {
        target.id
        for one in ast.walk(node)
        if isinstance(one, ast.Assign) and _is_crew(one.value)
        for target in one.targets
        if isinstance(target, ast.Name)
    }
    for one in ast.walk(node):
        if isinstance(one, ast.Return):
            value = one.value
            if _is_crew(value) or (isinstance(value, ast.Name) and value.id in crews):
                return True
    return False


def _is_crew(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and _name(node) == "Crew"


def _name(node: ast.expr) -> str:
    """Return the last part of the name of a class, whether it is called or subscribed: `crewai.Flow[State]` is Flow."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return _name(node.func)
        case ast.Subscript():
            return _name(node.value)
        case _:
            return ""
