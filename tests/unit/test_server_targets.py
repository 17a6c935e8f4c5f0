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
    assert (found.file, found.modules) == ("", ("trips.inner.crew",))
    assert (found.folder, found.paths) == (str(tmp_path), (str(tmp_path / "src"), str(tmp_path)))
    assert found.siblings == (str(tmp_path / "src/trips/inner"),)


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git/HEAD", "src/x"])
def test_a_file_runs_in_the_root_of_its_project(tmp_path: Path, mark: str) -> None:
    write(tmp_path, {mark: "", "a/b/trips.py": ""})
    found = parse_target("a/b/trips.py:crew", tmp_path)
    assert found.folder == str(tmp_path)
    assert found.paths[0] == str(tmp_path / "a/b")
    assert str(tmp_path) in found.paths


def test_a_file_below_src_is_a_module_of_its_package_without_an_init_file(tmp_path: Path) -> None:
    write(tmp_path, {"src/trips/main.py": ""})
    found = parse_target("src/trips/main.py:Trips", tmp_path)
    assert (found.modules, found.file, found.paths[0]) == (("trips.main",), "", str(tmp_path / "src"))
    assert found.siblings == (str(tmp_path / "src/trips"),)


def test_a_home_folder_is_not_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {".git/HEAD": "", "trips/crew.py": ""})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_target("trips/crew.py", tmp_path).folder == str(tmp_path / "trips")


CREW_BASE = "from crewai.project import CrewBase\n@CrewBase\nclass {}:\n    pass\n"
CREW = "import crewai\n{}: crewai.Crew = crewai.Crew(agents=[], tasks=[])\n"
FLOW = "from crewai.flow import Flow\nclass _Base(Flow[dict]):\n    pass\nclass {}(_Base):\n    pass\n"
PLAIN = "from crewai import Crew\nclass Plain:\n    def crew(self) -> Crew:\n        return Crew(agents=[], tasks=[])\n"
FACTORY = "from crewai import Crew\ndef build():\n    made = Crew(agents=[], tasks=[])\n    return made\n"
OTHERS = {
    "src/trips/test_crew.py": CREW_BASE.format("Tested"),
    ".venv/lib/crew.py": CREW_BASE.format("Installed"),
    "my_env/pyvenv.cfg": "",
    "my_env/lib/crew.py": CREW_BASE.format("Installed"),
    "src/trips/old.py": "print 'Crew'\n",
    "src/trips/nul.py": "Crew = '\0'\n",
    "src/trips/escapes.py": "Crew = '\\d'\n",
    "src/trips/script.py": "from crewai import Crew\nif __name__ == '__main__':\n    crew = Crew()\n",
}


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("src/trips/crew.py", CREW_BASE.format("Trips"), "Trips"),
        ("src/trips/crew.py", CREW.format("trips"), "trips"),
        ("trips/agents.py", CREW.format("trips"), "trips"),
        ("main.py", FLOW.format("Trips"), "Trips"),
        ("main.py", FACTORY, "build"),
        ("main.py", PLAIN, "Plain"),
    ],
)
@pytest.mark.parametrize("pyproject", ["", '[project]\nname = "x"\n', PROJECT.format("{kind}")])
def test_the_only_crew_of_a_folder_is_found_without_importing_it(
    tmp_path: Path, pyproject: str, file: str, text: str, name: str
) -> None:
    files = {**OTHERS, file: f"raise SystemExit\n{text}"}
    if pyproject:
        files["pyproject.toml"] = pyproject.replace("{kind}", "flow" if "Flow" in text else "crew")
    write(tmp_path, files)
    found = parse_target(".", tmp_path)
    assert found.folder == str(tmp_path)
    if file != "src/trips/crew.py" or "[tool.crewai]" not in pyproject:  # else the convention names the module
        assert (found.attribute, found.modules[0].rpartition(".")[2]) == (name, Path(file).stem)


def test_a_folder_of_a_larger_repository_is_the_working_folder(tmp_path: Path) -> None:
    write(tmp_path, {".git/HEAD": "", "trips/crew.py": CREW_BASE.format("Trips")})
    found = parse_target("trips", tmp_path)
    assert (found.folder, found.paths) == (str(tmp_path / "trips"), (str(tmp_path / "trips"),))


def test_a_folder_that_nothing_marks_is_the_working_folder(tmp_path: Path) -> None:
    """Its crew may be in a folder below it, and import modules from the others."""
    write(tmp_path, {"trips/crew/make.py": CREW_BASE.format("Trips"), "trips/agents/guide.py": "", "trips/note.md": ""})
    found = parse_target("trips", tmp_path)
    folder = tmp_path / "trips"
    assert (found.folder, found.paths) == (str(folder), (str(folder / "crew"), str(folder)))


def test_a_folder_whose_name_cannot_be_imported_is_not_a_package(tmp_path: Path) -> None:
    write(tmp_path, {"my-trips/__init__.py": "", "my-trips/crew.py": CREW_BASE.format("Trips")})
    found = parse_target("my-trips", tmp_path)
    assert (found.modules, found.folder) == (("crew",), str(tmp_path / "my-trips"))


def test_several_crews_are_listed_as_targets(tmp_path: Path) -> None:
    write(tmp_path, {"p/crews/a.py": CREW_BASE.format("A"), "p/main.py": FLOW.format("F"), "p/b.py": CREW.format("b")})
    with pytest.raises(UsageError, match=r"3 crews and flows found: 'p' \(p/main.py:F, p/b.py:b, p/crews/a.py:A\)"):
        parse_target("p", tmp_path)
    assert parse_target("p/crews/a.py:A", tmp_path).attribute == "A"


@pytest.mark.parametrize(
    "use",
    [
        "from crews.a import A\nfrom b import b\ndef go():\n    A().crew(), b.copy()\n",
        "from crews.a import A as Other\nimport b as module\ndef go():\n    Other().crew(), module.b.copy()\n",
    ],
)
def test_a_flow_that_uses_all_crews_of_its_project_is_the_target(tmp_path: Path, use: str) -> None:
    crews = {"p/crews/a.py": CREW_BASE.format("A"), "p/b.py": CREW.format("b")}
    write(tmp_path, {**crews, "p/main.py": use + FLOW.format("F")})
    assert parse_target("p", tmp_path).attribute == "F"
    write(tmp_path, {"p/c.py": CREW.format("c")})
    with pytest.raises(UsageError, match=r"4 crews and flows found"):
        parse_target("p", tmp_path)


@pytest.mark.parametrize(("kind", "file"), [("crew", "crew.jsonc"), ("flow", "src/my_trips/flow.yaml")])
def test_a_project_that_a_file_describes(tmp_path: Path, kind: str, file: str) -> None:
    write(tmp_path, {"pyproject.toml": f"{PROJECT.format(kind)}definition = '{file}'\n", file: "{}"})
    found = parse_target(".", tmp_path)
    assert (found.definition, found.kind, found.modules) == (str(tmp_path / file), kind, ())
    assert (found.folder, found.paths[0]) == (str(tmp_path), str(tmp_path))


def test_a_folder_with_a_crew_file_needs_no_pyproject(tmp_path: Path) -> None:
    write(tmp_path, {"crew.jsonc": "{}"})
    assert parse_target(".", tmp_path).definition == str(tmp_path / "crew.jsonc")


@pytest.mark.parametrize(
    ("definition", "message"),
    [("3", "expected the path of a file"), ("'../x'", "must be in the project's folder"), ("'x'", "file not found")],
)
def test_a_definition_outside_the_project_is_refused(tmp_path: Path, definition: str, message: str) -> None:
    write(tmp_path, {"p/pyproject.toml": f"{PROJECT.format('crew')}definition = {definition}\n", "x": ""})
    with pytest.raises(UsageError, match=message):
        parse_target("p", tmp_path)


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
        ("empty", "empty has no [tool.crewai], and no Python file with a @CrewBase class, Crew object or Flow class"),
        ("empty:crew", "empty is a folder); name the folder alone, or a file in it"),
        ("broken", "pyproject.toml cannot be read: "),
        ("tool", "invalid [tool.crewai] type: 'tool' (expected crew or flow)"),
        ("bare", "has no package src/my_trips, and no Python file with"),
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
