"""The worker runs in a project's own interpreter, from Python 3.10 on, where nothing of batchcrew's is installed."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from batchcrew.server.worker.entry import PACKAGES

ROOT = Path(__file__).parents[2]
FOREIGN = {"crewai", "dotenv"}
"""What the project's environment has, or may have."""


def modules_of_the_worker() -> dict[Path, set[str]]:
    """Return the files that a worker may import, with the top-level packages that each imports besides batchcrew."""
    left = sorted((ROOT / "batchcrew" / "server" / "worker").glob("*.py"))
    found: dict[Path, set[str]] = {}
    while left:
        file = left.pop()
        if file in found or file.name == "__init__.py":
            continue
        found[file] = set()
        for name in imported(file):
            if name.split(".")[0] == "batchcrew":
                left.append(ROOT / f"{name.replace('.', '/')}.py")
            else:
                found[file].add(name.split(".")[0])
    return found


def imported(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            inside = (ROOT / node.module.replace(".", "/")).is_dir()  # `from batchcrew.server.worker import loader`
            yield from (f"{node.module}.{one.name}" if inside else node.module for one in node.names)


def test_the_worker_imports_only_the_standard_library_and_crewai() -> None:
    found = modules_of_the_worker()
    assert len(found) > 15
    allowed = sys.stdlib_module_names | FOREIGN
    assert {str(file): names - allowed for file, names in found.items() if not names <= allowed} == {}


def test_the_entry_makes_each_package_that_the_worker_imports_from() -> None:
    folders = {".".join(file.relative_to(ROOT).parent.parts) for file in modules_of_the_worker()}
    assert folders | {"batchcrew"} == set(PACKAGES)
