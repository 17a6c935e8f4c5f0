"""Executions of one server do not reach each other: processes, folders, files."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from crews_stage import Gate, crew_stage, target

from batchcrew.base.errors import UsageError
from batchcrew.server import CrewOptions

pytestmark = pytest.mark.crash  # starts many processes
SEEN = """
import os
def seen(name):
    names = sorted(name for name in os.environ if name.startswith("CHANGED_BY_"))
    found = {"process": os.getpid(), "folder": os.getcwd(), "variables": names}
    os.chdir("/")
    os.environ[f"CHANGED_BY_{name}"] = "yes"
    return found
"""


async def test_each_execution_has_a_process_alone(tmp_path: Path) -> None:
    state = tmp_path / "results" / "s.db"
    (tmp_path / "seen.py").write_text(SEEN)
    async with crew_stage(tmp_path, workers=2, isolation="process", state=state) as on:
        ids = await asyncio.gather(*(on.start("seen") for _ in range(8)))
        found = [one["result_json"] for one in await on.ended(*ids)]
        assert len({one["process"] for one in found}) == 8
        assert {one["folder"] for one in found} == {str(tmp_path)}
        assert [one["variables"] for one in found] == [[]] * 8
        stats = (await on.get("/stats")).body
        assert stats["peak_running"] <= 2
        assert stats["workers_lost"] == 0
    assert not list(state.parent.glob("*.crewai/alone-*/*"))


async def test_a_pause_keeps_no_place(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with crew_stage(tmp_path, workers=1, isolation="process") as on:
        asking = await on.start("ask", body={"humanInputWebhook": {"url": f"{on.receiver.url}/ask"}})
        while (await on.receiver.heard.get())[0] != "/ask":
            pass
        held = await on.start("hold", pipe=str(gate.path), topic="meanwhile")
        await gate.waited_at()
        answer = {
            "execution_id": asking,
            "task_id": "planning",
            "human_feedback": "",
            "is_approve": True,
            "crewWebhookUrl": f"{on.receiver.url}/end",
        }
        assert (await on.call("POST", "/resume", json=answer)).status == 200
        (ended,) = await on.ended(asking)
        assert ended["result"]["output"] == "at once"
        gate.open()
        (ended,) = await on.ended(held)
        assert ended["result"]["output"] == "meanwhile"


@pytest.mark.parametrize("do", ["exit", "die"])
async def test_a_process_that_dies_is_replaced(tmp_path: Path, do: str) -> None:
    async with crew_stage(tmp_path, workers=1, isolation="process") as on:
        first, second = await on.start(do), await on.start("echo", topic="after")
        ended = await on.ended(first, second)
        assert [one["status"] for one in ended] == ["error", "completed"]


async def test_executions_of_one_process_find_it_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "batchcrew.server")
    (tmp_path / "seen.py").write_text(SEEN)
    async with crew_stage(tmp_path, workers=2, threads=1) as on:
        for _ in range(6):
            found = (await on.run("seen"))["result_json"]
            assert found["folder"] == str(tmp_path)
            assert found["variables"] == []
    folder = [record for record in caplog.messages if "current folder" in record]
    assert len(folder) == 1
    assert "isolation: process" in folder[0]


async def test_files_of_tasks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are named by their jobs, and known after a restart; a file of the project is reported once."""
    caplog.set_level(logging.WARNING, "batchcrew.server")
    artifacts, state = tmp_path / "kept", tmp_path / "s.db"
    project = tmp_path / "p"
    project.mkdir()
    jobs = ["tokyo", "tokyo", "../../etc", None]
    async with crew_stage(project, workers=2, threads=2, state=state, artifacts=artifacts) as on:
        ids = [
            await on.start("write", topic="../reports/a.md", body={"meta": meta(job)} if job else None) for job in jobs
        ]
        ended = await on.ended(*ids)
    async with crew_stage(project, state=state, artifacts=artifacts) as on:
        assert [await on.status(kickoff_id) for kickoff_id in ids] == ended
    files = [Path(*one["artifacts"]) for one in ended]
    assert [file.read_text() for file in files] == ids
    names = {str(file.relative_to(artifacts)) for file in files}
    assert {"trips/tokyo/reports/a.md", "trips/tokyo-2/reports/a.md", f"{ids[3]}/reports/a.md"} < names
    assert len(names) == 4
    assert sum("notes.txt" in message for message in caplog.messages) == 1
    assert [path.name for path in project.iterdir()] == ["notes.txt"]


def meta(job: str) -> Any:
    return json.loads(json.dumps({"batchcrew": {"batch": "trips", "job": job, "attempt": "1"}}))


@pytest.mark.parametrize(
    "wrong", [{"memory": "all"}, {"isolation": "none"}, {"memory": "shared", "isolation": "process"}]
)
def test_options(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(UsageError):
        CrewOptions(target=target(tmp_path), **wrong)
