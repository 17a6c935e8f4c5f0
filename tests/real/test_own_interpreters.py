"""Crews under their projects' own interpreters, with versions of Python and crewai other than batchcrew's."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_stage import ModelServer
from real_stage import Served, environment, served
from test_real_targets import until

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(600)]
HERE = Path(__file__).parent
CREWS = HERE / "crews_of_any_version.py"
ENVIRONMENTS = Path(os.environ.get("BATCHCREW_ENVIRONMENTS", HERE.parents[1]))
OLDEST, BETWEEN = "0.100", "0.203"
VERSIONS = (OLDEST, BETWEEN, "own")
FINAL = "Thought: I know\nFinal Answer: "
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def python(version: str) -> Path:
    """Return the interpreter of an environment that make has installed, or batchcrew's own."""
    if version == "own":
        return Path(sys.executable)
    folder = ENVIRONMENTS / f".venv-crewai-{version}"
    if not (folder / "installed").is_file():
        pytest.skip(f"crewai {version} is not installed: `make {folder.name}/installed`")
    return folder / "bin" / "python"


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The crews in one worker of each version."""
    folder = tmp_path_factory.mktemp("any")
    options = ("--python", str(python(request.param)), "--workers", "1", "--threads", "8")
    with (
        ModelServer(prefix=FINAL).running() as model,
        served(folder, f"{CREWS}:make", *options, **model.variables(), HOME=str(folder)) as running,
    ):
        yield running


def ended(server: Served, kind: str, status: str = "completed") -> list[Any]:
    """Run a crew with two topics at the same time."""
    ids = [server.kickoff({"kind": kind, "topic": topic}) for topic in ("salt", "pepper")]
    return [until(server, kickoff_id, status) for kickoff_id in ids]


def test_inputs_and_tasks(server: Served) -> None:
    assert set(server.call("/inputs")[1]["inputs"]) == {"kind", "topic"}
    for topic, one in zip(("salt", "pepper"), ended(server, "plain"), strict=True):
        (task,) = one["result"]["tasks"]
        assert one["result"]["output"] == task["output"]
        assert task["output"].startswith(f"{topic} from 3.")
        assert (task["task_id"], task["agent"]) == ("say", "Parrot")


def test_a_tool_is_a_step(server: Served) -> None:
    for topic, one in zip(("salt", "pepper"), ended(server, "tool"), strict=True):
        assert one["result"]["output"] == topic


def test_tasks_in_threads(server: Served) -> None:
    for topic, one in zip(("salt", "pepper"), ended(server, "threads"), strict=True):
        tasks = {task["task_id"]: task["output"] for task in one["result"]["tasks"]}
        assert tasks == {"first": f"{topic} first", "second": f"{topic} second"}


def test_an_error_in_a_thread_ends_the_execution(server: Served) -> None:
    kickoff_id = server.kickoff({"kind": "threads", "topic": "break"})
    assert "the model is broken" in json.dumps(until(server, kickoff_id, "error"))


def test_tokens(server: Served) -> None:
    for topic, one in zip(("salt", "pepper"), ended(server, "model"), strict=True):
        assert f"Plan {topic}" in one["result"]["output"]
        assert {name: one["token_usage"][name] for name in USAGE} == USAGE


def test_files_of_tasks_are_kept_for_each_execution(server: Served) -> None:
    for topic, one in zip(("salt", "pepper"), ended(server, "file"), strict=True):
        (file,) = map(Path, one["artifacts"])
        assert file.read_text() == topic


def test_human_input(server: Served) -> None:
    kickoff_id = server.kickoff({"kind": "human", "topic": "salt"})
    until(server, kickoff_id, "Pending Human Input")
    word = {"execution_id": kickoff_id, "task_id": "say", "is_approve": False, "human_feedback": "better please"}
    assert server.call("/resume", word)[0] == 200
    until(server, kickoff_id, "Pending Human Input")
    assert server.call("/resume", {**word, "is_approve": True})[0] == 200
    assert until(server, kickoff_id, "completed")["result"]["output"] == "a better word"


@pytest.mark.parametrize("version", [OLDEST, BETWEEN])
def test_a_memory_that_executions_would_share_is_refused_or_off(version: str, tmp_path: Path) -> None:
    options = ("--python", str(python(version)), "--workers", "1")
    for mode, status in (("isolated", "error"), ("off", "completed")):
        with served(tmp_path, f"{CREWS}:make", *options, "--memory", mode, HOME=str(tmp_path)) as running:
            end = until(running, running.kickoff({"kind": "memory object", "topic": "salt"}), status)
        assert ("--isolation process" in json.dumps(end)) == (mode == "isolated")


def test_a_shared_memory_is_opened_in_concurrent_executions(tmp_path: Path) -> None:
    options = ("--python", str(python(OLDEST)), "--workers", "1", "--memory", "shared")
    with (
        ModelServer(prefix=FINAL).running() as model,
        served(tmp_path, f"{CREWS}:make", *options, **model.variables(), HOME=str(tmp_path)) as server,
    ):
        assert len(ended(server, "memory")) == 2


def test_one_batch_with_a_crew_of_each_version(tmp_path: Path) -> None:
    """Named, found as `.venv`, and batchcrew's own; one of the crews is a flow."""
    crews: dict[str, Any] = {}
    jobs = []
    found = {version: folder for version in VERSIONS if (folder := _environment(version)) is not None}
    for version, folder in found.items():
        project = tmp_path / version
        project.mkdir()
        (project / "crews.py").write_text(CREWS.read_text(encoding="utf-8"), encoding="utf-8")
        (project / "pyproject.toml").touch()
        name = version.replace(".", "-")
        attribute = "Talk" if version == OLDEST else "make"
        serve: dict[str, Any] = {"target": f"{version}/crews.py:{attribute}", "workers": 1}
        if version == OLDEST:
            serve["python"] = os.path.relpath(folder / "bin" / "python", tmp_path)
        elif version != "own":
            (project / ".venv").symlink_to(folder)
        crews[name] = {"serve": serve}
        jobs += [{"id": f"{name}-{n}", "crew": name, "inputs": {"kind": "plain", "topic": f"{n}"}} for n in range(5)]
    (tmp_path / "jobs.yaml").write_text(json.dumps({"crews": crews, "run": {"concurrency": 12}, "jobs": jobs}))
    command = [sys.executable, "-m", "batchcrew"]
    done = subprocess.run(
        [*command, "run", "jobs.yaml", "--ledger", "ledger.db"],
        cwd=tmp_path, env=environment(HOME=str(tmp_path)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    exported = subprocess.run(
        [*command, "export", "jobs", "-f", "csv", "--ledger", "ledger.db"],
        cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = {row["job_id"]: row["output"] for row in csv.DictReader(exported.stdout.splitlines())}
    for version, folder in found.items():
        mark = "!" if version == OLDEST else ""
        for number in range(5):
            output = rows[f"{version.replace('.', '-')}-{number}"]
            assert output == f"{number} from {_versions(folder)}{mark}"


def _environment(version: str) -> Path | None:
    if version == "own":
        return Path(sys.executable).parents[1]
    folder = ENVIRONMENTS / f".venv-crewai-{version}"
    return folder if (folder / "installed").is_file() else None


def _versions(folder: Path) -> str:
    text = "import importlib.metadata, sys; print('%d.%d' % sys.version_info[:2], importlib.metadata.version('crewai'))"
    done = subprocess.run([str(folder / "bin" / "python"), "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.strip()
