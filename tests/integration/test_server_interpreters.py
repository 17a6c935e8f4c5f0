"""Workers under the project's own interpreter, which has nothing of batchcrew and here also nothing of crewai's."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project_environment import install_crewai, make_environment

from batchcrew.base.errors import UsageError
from batchcrew.server import interpreters
from batchcrew.server.interpreters import OWN, interpreter
from batchcrew.server.options import ENTRY
from batchcrew.server.target import Target
from batchcrew.server.workers.frames import frame, receive
from batchcrew.server.workers.messages import Ended, FromWorker, Load, LoadFailed, Message, Ready, Start, TaskEnded

CREW = """
from crewai import LLM, Agent, Crew, Task

def make(topic):
    import os, sys
    guide = Agent("Guide", LLM("fake"))
    return Crew([guide], [Task("{topic} " + os.environ["WORD"] + " %d.%d" % sys.version_info[:2], guide)])
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A project's environment: no site-packages of batchcrew, and a crewai that needs none."""
    return make_environment(tmp_path / "project" / ".venv")


async def talk(command: tuple[str, ...], folder: Path, *messages: Message, **variables: str) -> list[FromWorker]:
    """Send a worker these messages, and return what it sends until the last execution has ended."""
    worker = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=folder, env={**variables}
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(b"".join(map(frame, messages)))
    found: list[FromWorker] = []
    while (message := await receive(worker.stdout)) is not None:
        found.append(message)
        if isinstance(message, Ended):
            worker.stdin.close()
    await worker.wait()
    return found


def load(project: Path) -> Load:
    (project / "crew.py").write_text(CREW)
    (project / ".env").write_text("export WORD='a word'  # a comment\n")
    target = Target(name="the crew", folder=str(project), paths=(str(project),), modules=("crew",), attribute="make")
    return Load(target=target, storage=str(project / "storage"))


async def check_worker(command: tuple[str, ...], project: Path) -> str:
    """Check what a worker sends about one execution, and return its output."""
    start = Start(kickoff_id="k1", inputs={"topic": "Rome"}, events=())
    ready, *rest = await talk(command, project, load(project), start)
    assert isinstance(ready, Ready), ready
    assert [one.name for one in ready.inputs] == ["topic"]
    ended = rest[-1]
    assert isinstance(ended, Ended)
    assert ended.error is None
    assert ended.usage["total_tokens"] == 7
    (task,) = (one.task for one in rest if isinstance(one, TaskEnded))
    assert (task.agent, task.output) == ("Guide", ended.output)
    return ended.output


async def test_a_worker_needs_only_the_standard_library(environment: Path) -> None:
    """`-S` and `-I`: no site-packages, no variables, no folder of the script."""
    project = environment.parent
    install_crewai(project)
    output = await check_worker((sys.executable, "-I", "-S", ENTRY), project)
    assert output.startswith("said: Rome a word")


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
async def test_a_worker_in_another_python(tmp_path: Path, version: str) -> None:
    python = next(iter(others(version)), None)
    if python is None:
        pytest.skip(f"Python {version} is not installed here")
    install_crewai(tmp_path)
    assert await check_worker((python, "-S", ENTRY), tmp_path) == f"said: Rome a word {version}"


def others(version: str) -> list[str]:
    """Return interpreters of another version that work here."""
    home = Path.home() / ".pyenv" / "versions"
    names = [shutil.which(f"python{version}"), *map(str, home.glob(f"{version}.*/bin/python{version}"))]
    return [name for name in names if name and subprocess.run([name, "-S", "-c", ""], check=False).returncode == 0]


async def test_the_environment_of_the_project_is_found(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    found = interpreter(environment.parent)
    assert (found.path, found.crewai, found.warning) == (str(environment / "bin" / "python"), "0.100.0", "")
    assert found.environment is not None
    assert found.environment["VIRTUAL_ENV"] == str(environment)
    assert found.environment["PATH"].startswith(f"{environment}/bin:")
    assert "PYTHONHOME" not in found.environment
    assert (await check_worker(found.command, environment.parent)).startswith("said: Rome a word")


def test_a_named_interpreter_takes_precedence(environment: Path, tmp_path: Path) -> None:
    other = make_environment(tmp_path / "other", "1.2.3")
    for named in (other, other / "bin" / "python", other / "bin" / ".." / "bin" / "python"):
        found = interpreter(environment.parent, named)
        assert (found.path, found.crewai) == (str(other / "bin" / "python"), "1.2.3")


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert interpreter(tmp_path, make_environment(Path("other"))).path == str(tmp_path / "other" / "bin" / "python")


def test_the_environment_of_batchcrew_itself_counts_as_none(tmp_path: Path) -> None:
    """So a crew without an environment, in the folder that batchcrew is installed in, gets the usual messages."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    assert interpreter(tmp_path) is OWN


def test_without_a_trace_of_an_environment(tmp_path: Path) -> None:
    assert interpreter(tmp_path) is OWN
    assert OWN.command == (sys.executable, ENTRY)
    assert OWN.environment is None


def script(file: Path, text: str) -> Path:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda folder: folder / "nothing", "nothing was not found"),
        (lambda folder: (folder / "link").symlink_to("nowhere") or folder / "link", "does not exist"),
        (lambda folder: script(folder / "true", "exit 0"), "is not a Python interpreter"),
        (lambda folder: script(folder / "says", "echo '\x1b[31mhey'"), r"it printed \x1b[31mhey"),
        (lambda folder: script(folder / "fails", "echo no >&2; exit 3"), "failed with code 3: no"),
        (lambda folder: (folder / "text").write_text("x") and folder / "text", "cannot be run: Permission denied"),
        (
            lambda folder: script(folder / "old", """echo '{"python": [3, 8, 18], "crewai": null}'"""),
            "is Python 3.8.18; crewai needs 3.10 or later",
        ),
        (lambda folder: make_environment(folder / "empty", None), "has no crewai"),
        (lambda folder: make_environment(folder / "early", "0.95.1"), "has crewai 0.95.1; 0.100 or later is needed"),
    ],
)
def test_a_named_interpreter_that_cannot_be_used(tmp_path: Path, make: Any, problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        interpreter(tmp_path, make(tmp_path))
    assert problem in str(refused.value)
    assert "serve.python" in str(refused.value)


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8"])
def test_old_interpreters_say_their_version(tmp_path: Path, version: str) -> None:
    python = next(iter(others(version)), None)
    if python is None:
        pytest.skip(f"Python {version} is not installed here")
    with pytest.raises(UsageError, match=rf"is Python {version}\.\d+; crewai needs"):
        interpreter(tmp_path, Path(python))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"uv.lock": ""}, "`uv sync` makes it"),
        ({"poetry.lock": ""}, "`poetry install` makes it"),
        ({".venv/nothing": ""}, "bin/python was not found"),
    ],
)
def test_an_environment_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], problem: str
) -> None:
    """With crewai in batchcrew's own environment, the crew runs there with a warning; else it is an error."""
    programs, project = tmp_path / "bin", tmp_path / "project"
    programs.mkdir()
    script(programs / "poetry", "exit 1")
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    monkeypatch.setattr(interpreters, "find_spec", lambda name: object())
    found = interpreter(project)
    assert (found.path, found.environment) == (sys.executable, None)
    assert problem in found.warning
    monkeypatch.setattr(interpreters, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as refused:
        interpreter(project)
    for part in (problem, "serve.python", "batchcrew[crewai]"):
        assert part in str(refused.value)


def test_poetry_names_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs, project = tmp_path / "bin", tmp_path / "project"
    programs.mkdir()
    project.mkdir()
    made = make_environment(tmp_path / "cache" / "trips-py3.11")
    script(programs / "poetry", f'test -z "$VIRTUAL_ENV" && test "$PWD" = {project} && echo {made}')
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("VIRTUAL_ENV", "/batchcrew's own")
    (project / "poetry.lock").touch()
    assert interpreter(project).path == str(made / "bin" / "python")


def test_without_the_program_poetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "poetry.lock").touch()
    monkeypatch.setattr(interpreters, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"poetry.* is not installed.*serve\.python"):
        interpreter(tmp_path)


def test_the_folder_that_uv_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_environment(tmp_path / "project" / "elsewhere")
    (tmp_path / "project" / "uv.lock").touch()
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "elsewhere")
    assert interpreter(tmp_path / "project").path == str(tmp_path / "project" / "elsewhere" / "bin" / "python")


def test_the_environment_of_a_uv_workspace(tmp_path: Path) -> None:
    member = tmp_path / "packages" / "trips"
    member.mkdir(parents=True)
    made = make_environment(tmp_path / ".venv")
    assert interpreter(member) is OWN
    (tmp_path / "uv.lock").touch()
    assert interpreter(member) is OWN
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["packages/*"]\n')
    assert interpreter(member).path == str(made / "bin" / "python")


async def test_an_import_that_fails_is_reported(environment: Path) -> None:
    project = environment.parent
    loading = load(project)
    (project / "crew.py").write_text("import aiohttp\n")
    (failed,) = await talk(interpreter(project).command, project, loading)
    assert isinstance(failed, LoadFailed)
    assert "aiohttp" in failed.message


def test_what_it_prints_about_itself() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", ENTRY, "--describe"], check=True, capture_output=True)
    assert json.loads(done.stdout) == {"python": list(sys.version_info[:3]), "crewai": None}
