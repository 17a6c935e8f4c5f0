"""A crew whose executions all fail for one reason: batchcrew runs in separate processes, the crew in this one."""

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import cli_process
import pytest
from aiohttp import web
from cli_process import write_trips

pytestmark = pytest.mark.crash  # starts many processes

CREDIT = "Your credit balance is too low to access the API (request req_{:012d})"
KEY = "Incorrect API key provided (request req_{:012d})"
JOB_FILE = """
crew: {{url: "{url}", token: "${{CREW_TOKEN}}"{price}}}
run: {{poll: {{initial: 20ms, max: 100ms}}, retry: {{backoff: 20ms}}}}
jobs: [{{rows: trips.csv}}]
"""


class Crew:
    """A crew API whose executions end as the test decides."""

    def __init__(self) -> None:
        self.kickoffs: list[str] = []
        """The job of each kickoff, in the order they came; the number in the list is the kickoff_id."""
        self.reason: str | None = CREDIT
        """How executions fail; None: they succeed."""
        self.reasons: dict[int, str] = {}
        """How the executions of these kickoff_ids fail, regardless of `reason`."""
        self.ends = 10**9
        """Executions with a smaller kickoff_id end, the others are running."""
        self.url = ""

    async def inputs(self, request: web.Request) -> web.Response:
        return web.json_response({"inputs": ["budget", "interests", "duration", "age"]})

    async def kickoff(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.kickoffs.append(body["meta"]["batchcrew"]["job"])
        return web.json_response({"kickoff_id": f"k-{len(self.kickoffs) - 1}"})

    async def status(self, request: web.Request) -> web.Response:
        number = int(request.match_info["kickoff_id"].removeprefix("k-"))
        if number >= self.ends:
            return web.json_response({"status": "running"})
        reason = self.reasons.get(number, self.reason)
        if reason is None:
            return web.json_response({"status": "completed", "result": "done"})
        return web.json_response({"status": "error", "error": reason.format(number)})

    @property
    def most_per_job(self) -> int:
        return max(Counter(self.kickoffs).values())


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    made = Crew()
    app = web.Application()
    app.router.add_get("/inputs", made.inputs)
    app.router.add_post("/kickoff", made.kickoff)
    app.router.add_get("/status/{kickoff_id}", made.status)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def folder(tmp_path: Path, crew: Crew) -> Path:
    write_trips(tmp_path, 50)
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url, price=""), encoding="utf-8")
    return tmp_path


async def call(folder: Path, *arguments: str) -> tuple[int, str, str]:
    ended = await asyncio.to_thread(cli_process.call, folder, *arguments)  # the crew is in this loop
    return ended.returncode, ended.stdout, ended.stderr


async def test_a_hopeless_crew_stops_the_run_until_a_probe_succeeds(folder: Path, crew: Crew) -> None:
    code, _, said = await call(folder, "run", "jobs.yaml")
    assert (code, len(crew.kickoffs), crew.most_per_job) == (3, 10, 1)
    said = " ".join(said.split())
    assert "stopped: 10 executions in a row failed with the same reason: Your credit balance is too low" in said
    assert "the next run starts one job as a probe" in said

    code, out, _ = await call(folder, "run", "jobs.yaml", "--json")
    assert (code, len(crew.kickoffs)) == (3, 11)
    summary = json.loads(out)
    assert (summary["stopped"], summary["kickoffs"]) == ("stop_after_failures", 1)

    crew.reason = None
    assert (await call(folder, "run", "jobs.yaml"))[0] == 1  # failed jobs are retried only on request
    assert (len(crew.kickoffs), crew.most_per_job) == (50, 1)
    assert (await call(folder, "run", "jobs.yaml", "--retry-failed"))[0] == 0
    assert (len(crew.kickoffs), crew.most_per_job) == (61, 2)

    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    runs = connection.execute("SELECT stopped, stop_detail, kickoffs FROM runs ORDER BY started_at, rowid").fetchall()
    connection.close()
    assert [(stopped, kickoffs) for stopped, _, kickoffs in runs] == [
        ("stop_after_failures", 10),
        ("stop_after_failures", 1),
        (None, 39),
        (None, 11),
    ]
    assert "credit balance" in runs[0][1]
    assert runs[1][1].startswith("11 ")
    assert runs[2][1] is None


@pytest.mark.parametrize(
    ("after", "code", "kickoffs", "failed"),
    [
        ({}, 1, 50, 11),
        (dict.fromkeys(range(12, 21), CREDIT), 1, 50, 20),
        (dict.fromkeys(range(12, 21), KEY), 1, 50, 20),
        ({n: CREDIT if n % 2 else KEY for n in range(12, 30)}, 1, 50, 29),
        (dict.fromkeys(range(12, 50), KEY), 3, 22, 21),
    ],
    ids=["all succeed", "nine fail as before", "nine for another reason", "nine each of two", "all for another reason"],
)
async def test_the_run_whose_probe_succeeds_does_all_of_the_rest(
    folder: Path, crew: Crew, after: dict[int, str], code: int, kickoffs: int, failed: int
) -> None:
    """Ten kickoffs and a probe fail, the second probe succeeds; what comes then is a row only if ten are alike."""
    for _ in range(2):
        assert (await call(folder, "run", "jobs.yaml"))[0] == 3
    assert len(crew.kickoffs) == 11
    crew.reason, crew.reasons = None, dict.fromkeys(range(11), CREDIT) | after
    ended, out, _ = await call(folder, "run", "jobs.yaml", "--json")
    assert (ended, len(crew.kickoffs), json.loads(out)["counts"]["failed"]) == (code, kickoffs, failed)
    assert crew.most_per_job == 1


async def test_jobs_whose_probes_failed_for_a_permanent_reason_are_not_of_the_rest(folder: Path, crew: Crew) -> None:
    """36 kickoffs and exit 1 after a probe that succeeds: 14 of the 50 jobs have failed before."""
    for _ in range(5):
        assert (await call(folder, "run", "jobs.yaml"))[0] == 3
    assert len(crew.kickoffs) == 14
    crew.reason = None
    code, out, _ = await call(folder, "run", "jobs.yaml", "--json")
    summary = json.loads(out)
    assert (code, summary["kickoffs"], summary["stopped"]) == (1, 36, None)
    assert (summary["counts"]["succeeded"], summary["counts"]["failed"]) == (36, 14)


async def test_the_operators_retry_of_failed_jobs_is_probed_first(folder: Path, crew: Crew) -> None:
    assert (await call(folder, "run", "jobs.yaml"))[0] == 3
    assert (await call(folder, "run", "jobs.yaml", "--retry-failed"))[0] == 3
    assert (len(crew.kickoffs), crew.most_per_job) == (11, 2)
    crew.reason = None
    assert (await call(folder, "run", "jobs.yaml", "--retry-failed"))[0] == 0
    assert len(crew.kickoffs) == 61


async def test_a_reason_that_may_pass_stops_the_run_alike(folder: Path, crew: Crew) -> None:
    crew.reason = "tool number {} broke down"
    code, _, said = await call(folder, "run", "jobs.yaml")
    assert (code, len(crew.kickoffs)) == (3, 10)
    assert "tool number" in said
    crew.reason = None
    assert (await call(folder, "run", "jobs.yaml"))[0] == 0  # the failed ones were to be retried
    assert len(crew.kickoffs) == 60


async def test_ticks_stop_and_probe_alike(folder: Path, crew: Crew) -> None:
    codes = []
    stopped = None
    while stopped is None:
        code, out, _ = await call(folder, "tick", "jobs.yaml", "--json")
        codes.append(code)
        stopped = json.loads(out)["stopped"]
    assert stopped == "stop_after_failures"
    assert set(codes) == {3}
    assert len(crew.kickoffs) == 10
    for kickoffs in (11, 12):
        stopped = None
        while stopped is None:
            code, out, _ = await call(folder, "tick", "jobs.yaml", "--json")
            assert code == 3
            stopped = json.loads(out)["stopped"]
        assert len(crew.kickoffs) == kickoffs
    crew.reason = None
    code = 3
    while code == 3:
        code, _, _ = await call(folder, "tick", "jobs.yaml", "--concurrency", "50")
    assert (code, len(crew.kickoffs), crew.most_per_job) == (1, 50, 1)


async def test_a_run_that_is_killed_loses_no_failure_of_the_row(folder: Path, crew: Crew) -> None:
    crew.ends = 6
    first = cli_process.start(folder, "run", "jobs.yaml", "--log-format", "json")
    ended = kicked_off = 0
    while ended < 6 or kicked_off < 10:
        line = await asyncio.to_thread(first.stderr.readline)  # the crew is in this loop
        assert line, "the run ended"
        event = json.loads(line)["event"]
        ended += event == "attempt_ended"
        kicked_off += event == "kicked_off"
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(crew.kickoffs) == 10
    crew.ends = 10**9
    code, out, _ = await call(folder, "run", "jobs.yaml", "--json")
    assert (code, len(crew.kickoffs), crew.most_per_job) == (3, 10, 1)
    assert json.loads(out)["stopped"] == "stop_after_failures"
    assert (await call(folder, "run", "jobs.yaml"))[0] == 3
    assert len(crew.kickoffs) == 11


@pytest.mark.parametrize(
    ("option", "kickoffs", "code"), [("none", 50, 1), ("20", 20, 3), ("in_a_row=5", 10, 3), ("30%", 10, 3)]
)
async def test_the_option_takes_every_form(folder: Path, crew: Crew, option: str, kickoffs: int, code: int) -> None:
    ended, _, said = await call(folder, "run", "jobs.yaml", "--stop-after-failures", option)
    assert ended == code, said
    # at a stop, the run waits for the executions in progress
    assert kickoffs <= len(crew.kickoffs) <= kickoffs + (0 if option in {"none", "in_a_row=5"} else 9)


async def test_a_wrong_limit_is_reported_before_anything_starts(folder: Path, crew: Crew) -> None:
    for wrong in ("some", "in_a_row=0", "in_a_wor=3"):
        code, _, said = await call(folder, "run", "jobs.yaml", "--stop-after-failures", wrong)
        assert (code, "--stop-after-failures" in said) == (2, True), said
    assert crew.kickoffs == []


async def test_check_counts_retries_as_a_range(folder: Path, crew: Crew) -> None:
    job_file = JOB_FILE.format(url=crew.url, price=", price_per_kickoff: 0.50 USD")
    (folder / "jobs.yaml").write_text(job_file, encoding="utf-8")
    _, said, _ = await call(folder, "check", "jobs.yaml", "--offline")
    assert "kickoffs: 50 to 150 (with retries), 25.00 to 75.00 USD" in said
    crew.reason = "tool {} broke down"
    assert (await call(folder, "run", "jobs.yaml", "--limit", "4"))[0] == 3
    _, out, _ = await call(folder, "check", "jobs.yaml", "--offline", "--json")
    plan = json.loads(out)
    assert (plan["kickoffs"], plan["cost"]) == ({"least": 50, "most": 146}, "25.00 to 73.00 USD")
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    assert connection.execute("SELECT kickoffs, cost FROM runs").fetchall() == [(4, "2.00 USD")]
    connection.close()
