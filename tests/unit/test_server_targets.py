"""What a target names, depending on the files that exist."""

from pathlib import Path

import pytest

from batchcrew.base.errors import UsageError
from batchcrew.server import parse_target

PROJECT = '[project]\nname = "my-trips"\n[tool.crewai]\ntype = "{}"\n'


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_module(tmp_path: Path) -> None:
    found = parse_target(" my_project.crew:TravelCrew ", tmp_path)
    assert (found.name, found.modules, found.attribute) == (
        "my_project.crew:TravelCrew", ("my_project.crew",), "TravelCrew",
    )  # fmt: skip
    assert (found.folder, found.paths, found.file) == (str(tmp_path), (str(tmp_path),), "")


def test_a_module_below_src(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    assert parse_target("a:b.c", tmp_path).paths == (str(tmp_path), str(tmp_path / "src"))


def test_a_file(tmp_path: Path) -> None:
    write(tmp_path, {"somewhere/trips.py": ""})
    found = parse_target("somewhere/trips.py:crew", tmp_path)
    folder = tmp_path / "somewhere"
    assert (found.file, found.modules, found.attribute) == (str(folder / "trips.py"), ("trips",), "crew")
    assert (found.folder, found.paths) == (str(folder), (str(folder),))
    assert parse_target(f"{folder}/trips.py", Path("/")).attribute == ""


def test_a_file_of_a_package_is_imported_as_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, {"src/trips/__init__.py": "", "src/trips/inner/__init__.py": "", "src/trips/inner/crew.py": ""})
    found = parse_target("src/trips/inner/crew.py:Crew", tmp_path)
    assert (found.file, found.modules, found.paths) == ("", ("trips.inner.crew",), (str(tmp_path / "src"),))


@pytest.mark.parametrize("place", [".", "src", "src/my_trips"])
def test_a_project_is_found_from_within(tmp_path: Path, place: str) -> None:
    write(tmp_path, {"pyproject.toml": PROJECT.format("crew"), "src/my_trips/crew.py": "", "src/my_trips/main.py": ""})
    found = parse_target(place, tmp_path)
    assert (found.folder, found.paths) == (str(tmp_path), (str(tmp_path / "src"), str(tmp_path)))
    assert (found.modules, found.kind, found.attribute) == (("my_trips.crew", "my_trips.main"), "crew", "")


def test_a_project_of_a_flow(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": PROJECT.format("flow"), "src/my_trips/main.py": ""})
    found = parse_target(str(tmp_path), Path("/"))
    assert (found.modules, found.kind) == (("my_trips.main",), "flow")


def test_a_project_whose_package_has_another_name(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": PROJECT.format("crew"), "src/other/crew.py": ""})
    assert parse_target(".", tmp_path).modules == ("other.crew",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid target: '' (folder not found)"),
        ("a b:c", "'a b:c'"),
        ("a:", "'' is not a Python name"),
        ("a:b-c", "'b-c'"),
        ("my.module", "folder not found; a module needs its crew, as in my.module:crew"),
        ("absent.py:crew", "file not found"),
        ("empty", "no pyproject.toml with [tool.crewai] in"),
        ("empty:crew", "empty is a folder); name the folder alone, or a file in it"),
        ("broken", "pyproject.toml cannot be read: "),
        ("tool", "invalid [tool.crewai] type: 'tool' (expected crew or flow)"),
        ("bare", "has no package src/my_trips; name its crew"),
    ],
)
def test_a_target_that_names_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write(
        tmp_path,
        {
            "empty/x": "",
            "broken/pyproject.toml": "[",
            "tool/pyproject.toml": PROJECT.format("tool"),
            "bare/pyproject.toml": PROJECT.format("crew"),
        },
    )
    with pytest.raises(UsageError) as caught:
        parse_target(text, tmp_path)
    assert message in str(caught.value)
