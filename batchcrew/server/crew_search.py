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
    uses: frozenset[str] = frozenset()
    """Of a flow: the names that its file uses."""


def search(folder: Path, kind: str = "") -> list[Found]:
    """Return the `@CrewBase` classes, `Flow` classes and module-level `Crew` objects, flows first.

    If there are none, it returns the module-level functions that return a `Crew`, and the classes whose method `crew`
    does. If there is one flow, and its file uses all of the crews, it returns only the flow, which runs them.

    Args:
        kind: `crew` or `flow`, to return only these.
    """
    found: list[Found] = []
    functions: list[Found] = []
    for file in _files(folder):
        tree = _tree(file)
        if tree is not None:
            found += [Found(file, *one, _used(tree) if one[1] == "flow" else frozenset()) for one in _definitions(tree)]
            functions += [Found(file, name, "crew") for name in _functions(tree)]
    chosen = [one for one in found or functions if kind in {"", one.kind}]
    flows = [one for one in chosen if one.kind == "flow"]
    if len(flows) == 1 and all(one.name in flows[0].uses for one in chosen if one.kind != "flow"):
        return flows
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


def _used(tree: ast.Module) -> frozenset[str]:
    """Return the names that a file uses, other than those that it only imports."""
    names = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
    names |= {one.attr for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
    imported = [one for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for one in node.names]
    return frozenset(names | {one.name for one in imported if one.asname in names})


def _functions(tree: ast.Module) -> Iterator[str]:
    """Yield the functions that return a `Crew`, and the classes whose method `crew` does."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            methods = node.body if isinstance(node, ast.ClassDef) else []
            made = [one for one in methods if isinstance(one, ast.FunctionDef) and one.name == "crew"]
            made += [node] if isinstance(node, ast.FunctionDef) else []
            if any(map(_returns_crew, made)):
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
