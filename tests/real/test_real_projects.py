"""Projects as people have them: what `crewai create` makes, unchanged, and folders without `[tool.crewai]`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_stage import ModelServer
from real_stage import environment, served
from test_real_targets import until

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]
QUIET = {
    "CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false", "CREWAI_DISABLE_VERSION_CHECK": "true",
}  # fmt: skip


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer().running() as server:
        yield server


def create(folder: Path, *arguments: str, dmn: str = "1") -> Path:
    """Make a project with the `crewai` command, and return its folder."""
    command = [str(Path(sys.executable).with_name("crewai")), "create", *arguments]
    variables = environment(**QUIET, CREWAI_DMN=dmn, HOME=str(folder))
    done = subprocess.run(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / arguments[1]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def run(
    folder: Path, target: Path | str, model: ModelServer, *rows: dict[str, Any], options: tuple[str, ...] = ()
) -> tuple[Any, list[Any]]:
    """Serve the target, run the rows, and return what `/inputs` and the statuses say."""
    outside = folder / "outside"
    outside.mkdir(exist_ok=True)
    with served(outside, str(target), "--workers", "1", *options, **model.variables(), HOME=str(folder)) as server:
        inputs = server.call("/inputs")[1]
        ids = [server.kickoff(row) for row in rows]
        return inputs, [until(server, kickoff_id, "completed") for kickoff_id in ids]


def test_a_crew_without_python(tmp_path: Path, model: ModelServer) -> None:
    project = create(tmp_path, "crew", "trips", "--skip-provider")
    assert not list(project.glob("src"))
    _, (ended,) = run(tmp_path, project, model, {})
    assert "Research current AI trends" in ended["result"]["output"]
    assert ended["result"]["tasks"][0]["task_id"] == "research_task"


def test_inputs_of_a_crew_without_python(tmp_path: Path, model: ModelServer) -> None:
    agent = {"role": "Guide", "goal": "Help", "backstory": "Local", "llm": "openai/gpt-4o"}
    task = {
        "name": "plan", "agent": "guide", "description": "Plan {days} in {place}", "expected_output": "A plan",
    }  # fmt: skip
    crew = {"name": "trips", "agents": ["guide"], "tasks": [task], "inputs": {"days": "7 days"}}
    write(tmp_path, {"p/crew.jsonc": f"// a crew\n{json.dumps(crew)}", "p/agents/guide.jsonc": json.dumps(agent)})
    rows = [{"place": "Rome"}, {"place": "Oslo", "days": "2 days"}]
    inputs, ended = run(tmp_path, tmp_path / "p", model, *rows)
    assert inputs["inputs"] == ["place"]
    assert "Plan 7 days in Rome" in ended[0]["result"]["output"]
    assert "Plan 2 days in Oslo" in ended[1]["result"]["output"]


def test_a_declarative_flow(tmp_path: Path, model: ModelServer) -> None:
    project = create(tmp_path, "flow", "trips", "--declarative")
    inputs, ended = run(tmp_path, project, model, {}, {"topic": "salt"})
    assert inputs["inputs"] == []
    assert [one["result"]["output"] for one in ended] == ["AI agents", "salt"]


def test_a_classic_crew(tmp_path: Path, model: ModelServer) -> None:
    project = create(tmp_path, "crew", "trips", "--classic", "--skip-provider")
    rows = [{"topic": "salt", "current_year": "2026"}, {"topic": "pepper", "current_year": "2026"}]
    inputs, ended = run(tmp_path, project, model, *rows)
    assert sorted(inputs["inputs"]) == ["current_year", "topic"]
    for one, topic in zip(ended, ("salt", "pepper"), strict=True):
        assert topic in one["result"]["tasks"][0]["output"]
        assert one["token_usage"]["total_tokens"] == 30
    assert len(model.chats) == 4


def test_inputs_that_the_operator_declares(tmp_path: Path, model: ModelServer) -> None:
    project = create(tmp_path, "crew", "trips", "--classic", "--skip-provider")
    rows = [{"topic": "salt"}, {"topic": "salt", "current_year": "1999"}]
    inputs, ended = run(tmp_path, project, model, *rows, options=("--input", "current_year=2026"))
    assert (inputs["inputs"], inputs["optional_inputs"]) == (["topic"], ["current_year"])
    for one, year in zip(ended, ("2026", "1999"), strict=True):
        assert year in one["result"]["tasks"][0]["output"]


def test_a_classic_flow(tmp_path: Path, model: ModelServer) -> None:
    project = create(tmp_path, "flow", "trips")
    _, (ended,) = run(tmp_path, project, model, {})
    assert ended["result_json"]["topic"] == "AI Agents"
    assert ended["result"]["output"] == ended["result_json"]["final_post"] != ""
    assert (project / "output" / "post.md").read_text() == ended["result"]["output"]


CREW = """
from crewai import Agent, Crew, Task
from crewai.project import CrewBase, agent, crew, task
from tools.words import WORD

@CrewBase
class Trips:
    agents_config = "agents.yaml"
    tasks_config = "tasks.yaml"
    @agent
    def guide(self): return Agent(config=self.agents_config["guide"])
    @task
    def plan(self): return Task(config=self.tasks_config["plan"])
    @crew
    def crew(self): return Crew(agents=self.agents, tasks=self.tasks)
    @staticmethod
    def folder(): return WORD
"""
FILES = {
    "crew.py": CREW,
    "tools/words.py": "from pathlib import Path\nWORD = Path('data/word.txt').read_text()\n",
    "agents.yaml": "guide: {role: Guide, goal: Help, backstory: Local, llm: openai/gpt-4o}\n",
    "tasks.yaml": "plan: {agent: guide, description: 'Plan {place}', expected_output: A plan}\n",
}


@pytest.mark.parametrize("place", ["", "src/trips/"])
@pytest.mark.parametrize("target", ["", "{place}crew.py:Trips"])
def test_a_folder_without_settings(tmp_path: Path, model: ModelServer, place: str, target: str) -> None:
    """Its modules import those in their folder by bare names, and read files relative to the project's root."""
    project = tmp_path / "p"
    write(project, {"data/word.txt": "here", "pyproject.toml": "", **{place + name: FILES[name] for name in FILES}})
    inputs, ended = run(tmp_path, project / target.replace("{place}", place), model, {"place": "Rome"})
    assert inputs["inputs"] == ["place"]
    assert "Plan Rome" in ended[0]["result"]["output"]
