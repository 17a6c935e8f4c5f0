"""`batchcrew check` describes real crews without calling a model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from real_stage import PROJECT, environment

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]
CREW = """
from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, start
from crewai.project import CrewBase, agent, before_kickoff, crew, task
from crewai.tools import BaseTool
from pydantic import BaseModel


class Search(BaseTool):
    name: str = "search"
    description: str = "Search."
    package_dependencies: list[str] = ["no-such-package>=3"]

    def _run(self, text: str) -> str:
        return input("really? ")


def build(company: str, tone: str = "formal") -> Crew:
    local = LLM(model="openai/smollm2", base_url="http://user:secret@127.0.0.1:8899/v1", api_key="secret")
    guide = Agent(role="Guide", goal="Find {topic}", backstory=tone, llm="gpt-4o", tools=[Search()], verbose=True)
    writer = Agent(role="Writer", goal="Write", backstory="None.", llm=local)
    find = Task(name="find", description=f"Find {{topic}} in {{year}} for {company}", expected_output="A list.",
                agent=guide, output_file="report.md")
    write = Task(name="write", description="Write.", expected_output="A text.", agent=writer, human_input=True)
    return Crew(agents=[guide, writer], tasks=[find, write], memory=True)


@CrewBase
class Trips:
    agents_config = {}
    tasks_config = {}

    @before_kickoff
    def prepare(self, inputs):
        return {**inputs, "year": "2026"}

    @agent
    def cook(self):
        return Agent(role="Cook", goal="Cook {dish} in {year}", backstory="None.", llm="gpt-4o")

    @task
    def boil(self):
        return Task(description="Boil {dish}", expected_output="Soup.", agent=self.cook())

    @crew
    def crew(self):
        return Crew(agents=self.agents, tasks=self.tasks)


class Wanted(BaseModel):
    dish: str = ""


class TripFlow(Flow[Wanted]):
    @start()
    def cook(self):
        return Trips().crew().kickoff(inputs={"dish": self.state.dish}).raw
"""


def check(folder: Path, target: str, *options: str, inputs: str = "", **variables: str) -> Any:
    """Return what `check --json` says about the served crew."""
    (folder / "crew.py").write_text(CREW, encoding="utf-8")
    (folder / "rows.csv").write_text("id,company,topic,budget\na,Acme,salt,3\n", encoding="utf-8")
    text = f"crew: {{serve: {{target: '{target}'{inputs}}}}}\njobs: [{{rows: rows.csv}}]\n"
    (folder / "jobs.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "batchcrew", "check", "jobs.yaml", "--ledger", "x.db", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment(**variables), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return json.loads(done.stdout)["crews"][0] if "--json" in options else done.stdout


def test_a_crew_is_described_and_its_faults_are_named(tmp_path: Path) -> None:
    crew = check(tmp_path, "crew.py:build", "--json", inputs=", inputs: {year: '2026'}")
    said = crew["served"]
    assert (said["what"], said["folder"], said["python"]) == ("crew", str(tmp_path), sys.version.split()[0])
    assert said["crewai"]
    assert said["memory_bytes"] > 50 * 2**20
    assert [(one["name"], one["host"], one["used_by"]) for one in said["models"]] == [
        ("gpt-4o", "api.openai.com", ["Guide"]),
        ("smollm2", "127.0.0.1:8899", ["Writer"]),
    ]
    assert [(one["role"], one["tools"]) for one in said["agents"]] == [("Guide", ["search"]), ("Writer", [])]
    assert [(one["name"], one["human_input"], one["output_file"]) for one in said["tasks"]] == [
        ("find", False, "report.md"),
        ("write", True, ""),
    ]
    assert {one["name"]: one["sources"] for one in said["inputs"]} == {
        "company": ["row", "parameter"],
        "tone": ["parameter"],
        "topic": ["row", "task find", "agent Guide"],
        "year": ["task find", "serve.inputs"],
    }
    assert (said["memory"], said["verbose"]) == (["crew"], True)
    assert crew["lacking"] == {}
    assert "secret" not in json.dumps(crew)
    for fault in ("crew.py:15 calls input()", "OPENAI_API_KEY", "no-such-package", "budget", "task write", "verbose"):
        assert any(fault in one for one in said["warnings"]), (fault, said["warnings"])


def test_a_flow_is_described_with_the_crews_of_its_project(tmp_path: Path) -> None:
    said = check(tmp_path, "crew.py:TripFlow", "--json", OPENAI_API_KEY="x")["served"]
    assert said["what"] == "flow"
    assert [one["role"] for one in said["agents"]] == ["Cook"]
    assert [one["name"] for one in said["models"]] == ["gpt-4o"]
    assert said["inputs"] == [{"name": "dish", "sources": ["state"]}]
    assert not any("OPENAI_API_KEY" in one for one in said["warnings"])


def test_an_input_of_before_kickoff_is_named_as_such(tmp_path: Path) -> None:
    said = check(tmp_path, "crew.py:Trips", "--json")["served"]
    sources = {one["name"]: one["sources"] for one in said["inputs"]}
    assert sources == {"dish": ["task boil", "agent Cook"], "year": ["agent Cook", "@before_kickoff"]}


def test_the_example_is_described_as_text(tmp_path: Path) -> None:
    text = check(tmp_path, str(PROJECT), inputs=", inputs: {interests: x, budget: '1', duration: '2', age: '3'}")
    assert "offline (class OfflineModel): Travel Researcher, Trip Planner" in text
    assert f"project:     {PROJECT}" in text
