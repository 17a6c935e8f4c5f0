"""Limits of size: a file, a function or a list of parameters above them is a sign that it does two things."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "batchcrew"
MAX_FILE_LINES = 400
MAX_MODEL_LINES = 250
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Yield each function with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def parameters(function: Function) -> list[str]:
    """Return the names of a function's parameters, without `self` and `cls`."""
    given = function.args
    names = [parameter.arg for parameter in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return names[1:] if names and names[0] in {"self", "cls"} else names


@pytest.mark.parametrize(
    ("folder", "most"), [(PACKAGE, MAX_FILE_LINES), (PACKAGE / "model", MAX_MODEL_LINES)], ids=["all", "model"]
)
def test_no_file_is_long(folder: Path, most: int) -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py")
    }
    assert lines
    assert {path: number for path, number in lines.items() if number > most} == {}


def test_no_function_is_long() -> None:
    lines = {place: (node.end_lineno or 0) - node.lineno + 1 for place, node in functions()}
    assert lines
    assert {place: number for place, number in lines.items() if number > MAX_FUNCTION_LINES} == {}


def test_no_function_has_many_parameters() -> None:
    """A command's function has a parameter for each of its options, so it is not counted."""
    counts = {place: len(parameters(node)) for place, node in functions() if not _is_command(node)}
    assert {place: number for place, number in counts.items() if number > MAX_PARAMETERS} == {}


def _is_command(node: Function) -> bool:
    return any("click.command" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions also count; those under `if TYPE_CHECKING:` do not."""
    graph = grimp.build_graph("batchcrew", exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 100
    # a package's `__init__` names what its modules offer, so it comes after them
    TopologicalSorter(imports).prepare()
