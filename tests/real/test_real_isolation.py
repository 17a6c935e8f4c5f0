"""Executions do not reach each other: memory, files, the current folder and the environment."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_stage import ModelServer
from real_stage import environment, served
from test_own_interpreters import python
from test_real_projects import write
from test_real_targets import until

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]


def topics(said: str) -> str:
    """Answer with all topics that the message names, so that an answer shows which rows' data reached the model."""
    return f"I know {' '.join(sorted(set(re.findall(r'topic-[0-9]+', said))))}."


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer(topics).running() as server:
        yield server


AGENT = {"role": "Guide", "goal": "Help", "backstory": "Local", "llm": "openai/gpt-4o"}
TASK = {"name": "plan", "agent": "guide", "description": "Tell of {topic}", "expected_output": "A word"}
CREW = {"name": "guides", "agents": ["guide"], "tasks": [TASK], "memory": True}
JSON_CREW = {"crew.jsonc": json.dumps(CREW), "agents/guide.jsonc": json.dumps(AGENT)}
ROWS = [{"topic": f"topic-{number:02}"} for number in range(12)]


def run(folder: Path, target: str, model: ModelServer, rows: Any, *options: str, **variables: str) -> list[Any]:
    outside = folder / "outside"
    outside.mkdir(exist_ok=True)
    variables = {**model.variables(), "HOME": str(folder), **variables}
    with served(outside, str(folder / target), "--workers", "1", *options, **variables) as server:
        ids = [server.kickoff(row) for row in rows]
        return [until(server, kickoff_id, "completed") for kickoff_id in ids]


def foreign(rows: Any, ended: list[Any]) -> int:
    """Return how many rows were answered from the data of others."""
    found = [set(re.findall(r"topic-[0-9]+", one["result"]["output"])) for one in ended]
    assert all(row["topic"] in names for row, names in zip(rows, found, strict=True))
    return sum(len(names) > 1 for names in found)


def test_memory(tmp_path: Path, model: ModelServer) -> None:
    write(tmp_path / "p", JSON_CREW)
    assert foreign(ROWS, run(tmp_path, "p", model, ROWS)) == 0


REMEMBERING = """
import crewai
from crewai import Agent, Crew, Task
from crewai.flow.flow import Flow, listen, start

SHARED = crewai.Memory() if hasattr(crewai, "Memory") else None  # one object for all executions

def agent(**more):
    return Agent(role="Guide", goal="Help", backstory="Local", llm="openai/gpt-4o", **more)

def tasks(of):
    first = Task(description="Tell of {topic}", expected_output="A word", agent=of)
    return [first, Task(description="What do you remember?", expected_output="A word", agent=of, context=[])]

def with_memory():
    of = agent()
    return Crew(agents=[of], tasks=tasks(of), memory=True)

def with_object():
    of = agent()
    return Crew(agents=[of], tasks=tasks(of), memory=SHARED)

def with_agent_memory():
    of = agent(memory=SHARED)
    return Crew(agents=[of], tasks=tasks(of))

of = agent()
template = Crew(agents=[of], tasks=tasks(of), memory=True)

class Remembering(Flow):
    @start()
    def save(self):
        self.remember(f"all about {self.state['topic']}", scope="/a", categories=["a"], importance=0.5)

    @listen(save)
    def recall_it(self):
        return " ".join(match.record.content for match in self.recall("about", depth="shallow"))
"""


@pytest.mark.parametrize("name", ["with_memory", "with_object", "with_agent_memory", "template", "Remembering"])
def test_memory_of_one_execution(tmp_path: Path, model: ModelServer, name: str) -> None:
    """An execution remembers what it has stored itself, and nothing else."""
    write(tmp_path, {"memories.py": REMEMBERING})
    rows = ROWS[:4]
    assert foreign(rows, run(tmp_path, f"memories.py:{name}", model, rows)) == 0


def test_memory_that_is_off(tmp_path: Path, model: ModelServer) -> None:
    write(tmp_path, {"memories.py": REMEMBERING})
    (ended,) = run(tmp_path, "memories.py:with_memory", model, ROWS[:1], "--memory", "off")
    assert [task["output"].strip() for task in ended["result"]["tasks"]] == ["I know topic-00.", "I know ."]
    assert len(model.chats) == 2


def test_memory_that_is_shared(tmp_path: Path, model: ModelServer) -> None:
    """As the library has it: a row may be answered from the data of others."""
    write(tmp_path, {"memories.py": REMEMBERING})
    first, second = ROWS[:2]
    with served(
        tmp_path,
        f"{tmp_path}/memories.py:with_memory",
        "--workers",
        "1",
        "--memory",
        "shared",
        **model.variables(),
        HOME=str(tmp_path),
    ) as server:
        until(server, server.kickoff(first), "completed")
        ended = until(server, server.kickoff(second), "completed")
    assert "topic-00" in ended["result"]["tasks"][0]["output"]


@pytest.mark.parametrize(("mode", "remembering"), [("isolated", 4), ("off", 0)])
def test_memory_of_an_older_version(tmp_path: Path, mode: str, remembering: int) -> None:
    write(tmp_path, {"memories.py": REMEMBERING})
    options = ("--memory", mode, "--python", str(python("0.203")))
    with ModelServer(lambda said: f"Thought: I know\nFinal Answer: {topics(said)}").running() as model:
        rows = ROWS[:4]
        ended = run(tmp_path, "memories.py:with_memory", model, rows, *options)
    outputs = [[task["output"] for task in one["result"]["tasks"]] for one in ended]
    for row, (first, second) in zip(rows, outputs, strict=True):
        assert set(re.findall(r"topic-[0-9]+", first + second)) == {row["topic"]}
    assert sum("topic" in second for _, second in outputs) == remembering


FILES = """
from crewai import Agent, Crew, Task
from crewai.tools import tool

@tool("read")
def read(name: str) -> str:
    "Read a file."
    return open(name).read()

def writing(topic, path="report.md"):
    of = Agent(role="Guide", goal="Help", backstory="Local", llm="openai/gpt-4o")
    first = Task(description="Tell of {topic}", expected_output="A word", agent=of, output_file=path)
    def check(output):
        open("notes.txt", "w").close()
        return (True, open(path.format(topic=topic).lstrip("/")).read())  # the library strips the slash
    second = Task(description="More", expected_output="A word", agent=of, context=[], guardrail=check)
    return Crew(agents=[of], tasks=[first, second])
"""


def test_files_that_tasks_write(tmp_path: Path, model: ModelServer) -> None:
    """Each execution has its own file, reads it again, and leaves the project as it was."""
    write(tmp_path, {"p/files.py": FILES, "p/pyproject.toml": "", "p/report.md": "not this one"})
    outside = str(tmp_path / "secret.md")
    rows = [
        *({"topic": f"topic-{number:02}"} for number in range(4)),
        {"topic": "topic-10", "path": "reports/{topic}.md"},
        {"topic": "topic-11", "path": outside},
        {"topic": "../../topic-12", "path": "reports/{topic}.md"},
    ]
    ended = run(tmp_path, "p/files.py:writing", model, rows, "--threads", "4")
    for row, one in zip(rows, ended, strict=True):
        topic = row["topic"].rpartition("/")[2]
        assert one["result"]["output"] == f"I know {topic}.", row
        (file,) = map(Path, one["artifacts"])
        assert file.read_text() == f"I know {topic}."
        assert file.is_relative_to(tmp_path / "outside" / "results" / "artifacts")
    assert (tmp_path / "p" / "report.md").read_text() == "not this one"
    assert not (tmp_path / "secret.md").exists()
    assert {path.name for path in (tmp_path / "p").rglob("*.*")} >= {"report.md", "notes.txt"}
    assert {path.name for path in (tmp_path / "p").rglob("*.md")} == {"report.md"}


SHARING = """
import os
from crewai.flow.flow import Flow, start
from crewai.flow.persistence import persist

SEEN = []

class Sharing(Flow):
    @start()
    def look(self):
        SEEN.append(self.state["topic"])
        found = {"folder": os.getcwd(), "seen": list(SEEN), "variable": os.environ.get("TOPIC")}
        os.environ["TOPIC"] = self.state["topic"]
        os.chdir("/")
        with open(os.path.join(os.path.dirname(__file__), "notes.txt"), "a") as file:
            file.write("x")
        return found

@persist()
class Counting(Flow):
    @start()
    def count(self):
        self.state["count"] = self.state.get("count", 0) + 1
        return f"{self.state['count']} {os.getpid()}"
"""


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_folder_environment_and_modules(tmp_path: Path, model: ModelServer, isolation: str) -> None:
    write(tmp_path, {"p/sharing.py": SHARING, "p/pyproject.toml": ""})
    with served(tmp_path, "p/sharing.py:Sharing", "--workers", "1", "--isolation", isolation,
                HOME=str(tmp_path)) as server:  # fmt: skip
        found = [until(server, server.kickoff(row), "completed")["result_json"] for row in ROWS[:2]]
    assert [one["folder"] for one in found] == [str(tmp_path / "p")] * 2
    assert [one["variable"] for one in found] == [None, None]
    shared = isolation == "thread"
    assert len(found[1]["seen"]) == (2 if shared else 1)
    log = (tmp_path / "serve.err").read_text()
    assert log.count("the file notes.txt") == 1
    assert log.count("current folder") == log.count("variable TOPIC") == (1 if shared else 0)


def test_a_flow_continues_on_any_worker(tmp_path: Path, model: ModelServer) -> None:
    write(tmp_path, {"p/sharing.py": SHARING, "p/pyproject.toml": ""})
    with served(tmp_path, "p/sharing.py:Counting", "--workers", "2", "--isolation", "process",
                HOME=str(tmp_path)) as server:  # fmt: skip
        ended = [until(server, server.kickoff({"id": "one"}), "completed") for _ in range(3)]
    counts, processes = zip(*(one["result"]["output"].split() for one in ended), strict=True)
    assert counts == ("1", "2", "3")
    assert len(set(processes)) == 3


KNOWING = """
from crewai import Agent, Crew, Task
from crewai.knowledge.source.string_knowledge_source import StringKnowledgeSource

OPENAI = {"provider": "openai", "config": {"model": "text-embedding-3-small"}}

def knowing(topic):
    of = Agent(role="Guide", goal="Help", backstory="Local", llm="openai/gpt-4o")
    work = Task(description="Tell of {topic}", expected_output="A word", agent=of)
    known = StringKnowledgeSource(content=f"Notes on {topic}")
    return Crew(agents=[of], tasks=[work], knowledge_sources=[known], embedder=OPENAI)
"""


def test_knowledge_of_one_row(tmp_path: Path, model: ModelServer) -> None:
    """A function that makes a crew may give it knowledge about its row."""
    write(tmp_path, {"knowing.py": KNOWING})
    rows = ROWS[:6]
    ended = run(tmp_path, "knowing.py:knowing", model, rows)
    assert foreign(rows, ended) == 0
    assert sum("Notes on" in chat for chat in model.chats) >= len(rows)


def test_a_run_keeps_files_and_lists_them(tmp_path: Path, model: ModelServer) -> None:
    write(tmp_path, {
        "p/files.py": FILES,
        "p/pyproject.toml": "",
        "jobs.yaml": "ledger: results/l.db\ncrew: {serve: {target: 'p/files.py:writing', workers: 1}}\n"
                     "jobs: [{rows: r.csv, id: '{{ topic }}'}]\n",
        "r.csv": "topic\ntopic-01\ntopic-02\n",
    })  # fmt: skip

    def call(*arguments: str) -> str:
        command = [sys.executable, "-m", "batchcrew", *arguments]
        variables = environment(BATCHCREW_LEDGER="results/l.db", **model.variables(), HOME=str(tmp_path))
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    summary = json.loads(call("run", "jobs.yaml", "--json"))
    assert sum("the file notes.txt" in warning for warning in summary["warnings"]) == 1
    rows = map(json.loads, call("export", "jobs", "-f", "jsonl", "--artifacts").splitlines())
    for row in rows:
        (file,) = row["batchcrew_artifacts"]
        assert file == str(tmp_path / "results" / "artifacts" / "jobs" / row["topic"] / "report.md")
        assert Path(file).read_text() == row["output"] == f"I know {row['topic']}."
        assert file in call("show", "jobs", row["topic"])
