"""Reads the code of a project without running it: calls of `input()`, which a worker cannot answer."""

import ast
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 2**20
MAX_FILES = 500
MAX_SHOWN = 5


def input_calls(folder: str) -> list[str]:
    """Return where the imported modules of the project call `input()`, as `file:line`, the first few.

    Calls under `if __name__ == "__main__":` are ignored.

    Args:
        folder: the project's root; files are relative to it.
    """
    found: list[str] = []
    for file in project_files(folder):
        found += [f"{file.relative_to(folder)}:{line}" for line in _calls(file)]
        if len(found) >= MAX_SHOWN:
            break
    return found[:MAX_SHOWN]


def project_files(folder: str) -> Iterator[Path]:
    """Yield the files of the project's modules that have been imported."""
    seen = set()
    for module in list(sys.modules.values())[:]:
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or not name.endswith(".py") or name in seen or "site-packages" in name:
            continue
        seen.add(name)
        if Path(name).is_relative_to(folder) and len(seen) <= 100 * MAX_FILES:
            yield Path(name)


def _calls(file: Path) -> list[int]:
    try:
        if file.stat().st_size > MAX_BYTES:
            return []
        text = file.read_bytes()
        if b"input(" not in text:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return sorted(_lines(tree))


def _lines(node: ast.AST) -> Iterator[int]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "__name__" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id == "input":
            yield child.lineno
        yield from _lines(child)
