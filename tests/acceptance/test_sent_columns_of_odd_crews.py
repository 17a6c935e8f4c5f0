"""Which columns a new batch sends when its crew answers `/inputs` late, badly or otherwise than before."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import cli_process
import pytest
from aiohttp import web

pytestmark = pytest.mark.crash  # its kind is in test_sent_columns.py

LISTED: dict[str, Any] = {"inputs": ["budget"]}
ROWS = "id,budget,notes\na,1,x\nb,2,y\n"
JOB_FILE = """
{crew}
run: {{poll: {{initial: 20ms, max: 100ms}}}}
jobs: [{{rows: l.csv}}]
"""


class Crew:
    """A crew API whose answers to `/inputs` are the test's."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        """How the next calls of `/inputs` are answered; 200 once they are used up."""
        self.listed = LISTED
        self.answering = asyncio.Event()
        """`/inputs` is answered only while it is set."""
        self.answering.set()
        self.kickoffs: list[Any] = []
        """The inputs of each kickoff."""
        self.url = ""

    async def inputs(self, request: web.Request) -> web.Response:
        await self.answering.wait()
        if self.codes and self.codes[0] != 200:
            return web.Response(status=self.codes.pop(0), text="not now")
        return web.json_response(self.listed)

    async def kickoff(self, request: web.Request) -> web.Response:
        self.kickoffs.append((await request.json())["inputs"])
        return web.json_response({"kickoff_id": f"k-{len(self.kickoffs)}"})

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "completed", "result": "done"})


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    made = Crew()
    app = web.Application()
    app.router.add_get("/inputs", made.inputs)
    app.router.add_post("/kickoff", made.kickoff)
    app.router.add_get("/status/{kickoff_id}", made.status)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.answering.set()
    await runner.cleanup()


@pytest.fixture
def folder(tmp_path: Path, crew: Crew) -> Path:
    (tmp_path / "l.csv").write_text(ROWS, encoding="utf-8")
    write_jobs(tmp_path, f"crew: {{url: '{crew.url}'}}")
    return tmp_path


def write_jobs(folder: Path, crew: str) -> None:
    (folder / "l.yaml").write_text(JOB_FILE.format(crew=crew), encoding="utf-8")


async def call(folder: Path, *arguments: str) -> "CompletedProcess[str]":
    return await asyncio.to_thread(cli_process.call, folder, *arguments)  # the crew is in this loop


@pytest.mark.crash  # waits 15 s
async def test_the_inputs_request_is_retried_before_anything_is_sent(folder: Path, crew: Crew) -> None:
    crew.codes = [429, 500, 502, 503]
    ended = await call(folder, "run", "l.yaml")
    assert ended.returncode == 0, ended.stderr
    assert sorted(crew.kickoffs, key=str) == [{"budget": "1"}, {"budget": "2"}]


async def test_a_tick_kicks_nothing_off_while_the_server_fails_for_now(folder: Path, crew: Crew) -> None:
    crew.codes = [503] * 4  # once before the batch is ingested, three times when the work begins
    ended = await call(folder, "tick", "l.yaml")
    assert (ended.returncode, crew.kickoffs) == (3, []), ended.stderr
    assert "which columns" in ended.stderr
    crew.codes = []
    while (ended := await call(folder, "tick", "l.yaml")).returncode == 3:
        pass
    assert ended.returncode == 0
    assert sorted(crew.kickoffs, key=str) == [{"budget": "1"}, {"budget": "2"}]


@pytest.mark.parametrize("code", [404, 405])
async def test_a_crew_without_a_list_is_sent_every_column(folder: Path, crew: Crew, code: int) -> None:
    crew.codes = [code] * 100
    assert (await call(folder, "run", "l.yaml")).returncode == 0
    assert [inputs["notes"] for inputs in crew.kickoffs] == ["x", "y"]


async def test_max_runtime_also_limits_the_wait_for_the_list(folder: Path, crew: Crew) -> None:
    crew.answering.clear()
    ended = await call(folder, "run", "l.yaml", "--max-runtime", "1s", "--json")
    assert ended.returncode == 3
    assert json.loads(ended.stdout)["stopped"] == "max_runtime"


async def test_adopt_decides_nothing_while_the_crew_does_not_answer(folder: Path, crew: Crew) -> None:
    (folder / "ids.csv").write_text("job_id,kickoff_id\na,k-9\n", encoding="utf-8")
    crew.codes = [503]
    ended = await call(folder, "adopt", "l.yaml", "--csv", "ids.csv")
    assert ended.returncode == 5
    assert "503" in ended.stderr
    assert (await call(folder, "adopt", "l.yaml", "--csv", "ids.csv")).returncode == 3
    assert (await call(folder, "run", "l.yaml")).returncode == 0
    assert crew.kickoffs == [{"budget": "2"}]


@pytest.mark.parametrize(("listed", "code"), [({"inputs": ["budget", "notes"]}, 200), (LISTED, 404)])
async def test_a_renamed_crew_keeps_the_columns_that_were_chosen(
    folder: Path, crew: Crew, listed: dict[str, Any], code: int
) -> None:
    assert (await call(folder, "run", "l.yaml")).returncode == 0
    crew.listed, crew.codes = listed, [code] * 100
    write_jobs(folder, f"crews: {{prod: {{url: '{crew.url}'}}}}")
    plan = json.loads((await call(folder, "check", "l.yaml", "--json")).stdout)
    assert (plan["changed"], plan["crews"][0]["not_sent"]) == (0, ["notes"])
    assert (await call(folder, "run", "l.yaml")).returncode == 0
    assert len(crew.kickoffs) == 2


@pytest.mark.parametrize("code", [401, 503])
async def test_check_says_that_the_columns_are_not_decided(folder: Path, crew: Crew, code: int) -> None:
    crew.codes = [code]
    ended = await call(folder, "check", "l.yaml")
    assert ended.returncode == 5
    assert "which columns crew default is sent is decided once" in ended.stdout
    assert (await call(folder, "check", "l.yaml")).returncode == 0
    offline = await call(folder, "check", "l.yaml", "--offline")
    assert (offline.returncode, "decided" in offline.stdout) == (0, True)
