"""What a user reads when a crew cannot be loaded or an execution cannot succeed, and what is kept of it."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from real_stage import environment

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
JOBS = """
crew: {{serve: {target}}}
ledger: ledger.db
run: {{retry: {{attempts: 1}}}}
jobs: [{{id: a, inputs: {{topic: x}}}}]
"""


def run(folder: Path, target: str, source: str) -> "subprocess.Popen[str]":
    (folder / "jobs.yaml").write_text(JOBS.format(target=target), encoding="utf-8")
    (folder / "trips.py").write_text(source, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "batchcrew", "run", "jobs.yaml"],
        cwd=folder,
        env=environment(PYTHONPATH=os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("source", "cause", "line"),
    [
        ("import no_such_package\n", "No module named 'no_such_package'", "import no_such_package"),
        ("from crewai import Nothing\n", "cannot import name 'Nothing'", "from crewai import Nothing"),
        ("x = (\n", "SyntaxError", "x = ("),
        ("name = input('Name? ')\n", "input() was called, and a worker has no terminal", "name = input('Name? ')"),
        (
            "import getpass; key = getpass.getpass('Key? ')\n",
            "getpass() was called, and a worker has no terminal; set the secret in the environment",
            "import getpass; key = getpass.getpass('Key? ')",
        ),
    ],
)
def test_a_module_that_cannot_be_imported(tmp_path: Path, source: str, cause: str, line: str) -> None:
    process = run(tmp_path, "trips.py:crew", source)
    _, said = process.communicate()
    assert process.returncode == 2, said
    assert cause in said
    assert f"at {tmp_path}/trips.py:1 ({line})" in said
    log = re.search(r"log: (\S+\.log)", said)
    assert log is not None, said
    assert "Traceback" in (tmp_path / log[1]).read_text()


SLOW = "import pathlib, threading\npathlib.Path('importing').touch()\nthreading.Event().wait()\n"


def test_ctrl_c_ends_a_slow_import(tmp_path: Path) -> None:
    process = run(tmp_path, "trips.py:crew", SLOW)
    while not (tmp_path / "importing").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 3, said
    assert "while crew default was being loaded; nothing was started" in said


HOPELESS = """
from pathlib import Path
from crews_of_all_kinds import Parrot, build
from crewai.tools import tool

class Counting(Parrot):
    def call(self, *rest, **more):
        with Path("calls").open("a") as calls:
            calls.write("x")
        return super().call(*rest, **more)

@tool("shout")
def shout(text: str) -> str:
    "Say it loudly."
    {line}

def make():
    made = build("Say: {{topic}}\\nUse shout.", tools=[shout])
    made.agents[0].llm = Counting(model="parrot")
    return made
"""


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("return input(text)", "input() was called"),
        ("import no_such_package", "No module named 'no_such_package'"),
    ],
)
def test_an_execution_ends_at_the_first_call_of_a_tool_that_cannot_work(tmp_path: Path, line: str, cause: str) -> None:
    process = run(tmp_path, "trips.py:make", HOPELESS.format(line=line))
    _, said = process.communicate()
    assert process.returncode == 1, said
    assert (tmp_path / "calls").read_text() == "x"
    assert cause in said
    assert f"({line})" in said


LATE = """
from crewai import Task
from crews_of_all_kinds import Parrot, build

class Failing(Parrot):
    def call(self, messages, *rest, **more):
        if "Fail now" in str(messages):
            raise ValueError("no luck")
        return super().call(messages, *rest, **more)

def make():
    made = build()
    made.agents[0].llm = Failing(model="parrot")
    made.tasks.append(Task(description="Fail now", expected_output="x", agent=made.agents[0], name="late"))
    return made
"""


def test_finished_tasks_of_a_failed_execution_are_exported(tmp_path: Path) -> None:
    process = run(tmp_path, "trips.py:make", LATE)
    _, said = process.communicate()
    assert process.returncode == 1, said
    export = ["export", "jobs", "--ledger", "ledger.db", "--tasks", "-f", "csv"]
    command = [sys.executable, "-m", "batchcrew", *export]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert "x" in row.values()
    assert "say" in row.values()
