"""Kickoffs in doubt, and output for cron and monitors: held, attach, adopt, quiet, JSON logs, pings."""

import asyncio
import json
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cli_process import JOB_FILE, Crew, call, call_fresh, read_until, start, write_trips
from held_crew import HeldCrew

from batchcrew.base.clock import SystemClock
from batchcrew.ledger import Ledger

pytestmark = pytest.mark.crash  # starts many processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, 3)
    return tmp_path


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    made = Crew(folder, "--no-idempotency", "--execution-time", "20ms")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=made.url), encoding="utf-8")
    yield made
    made.stop()


def leave_in_doubt(folder: Path, delivery: str) -> None:
    """A run that died between its commit and its POST, as the ledger shows it."""

    async def die() -> None:
        async with Ledger(folder / "results" / "batchcrew.db", clock=SystemClock()) as ledger:
            key = await ledger.batch("jobs")
            assert key is not None
            run_id = await ledger.open_run(key.id, pid=1, host="h", version="v")
            await ledger.claim(key, run_id, crew="default", limit=1)

    assert call(folder, "run", "jobs.yaml", "--watch-only", "--delivery", delivery).returncode == 3
    asyncio.run(die())


def test_held_released(folder: Path, crew: Crew) -> None:
    leave_in_doubt(folder, "at_most_once")
    held = call(folder, "run", "jobs.yaml", "--delivery", "at_most_once")
    assert held.returncode == 1
    assert "batchcrew retry jobs --held" in held.stderr
    assert crew.stats()["kickoffs"] == 2
    assert "1 job of jobs" in call(folder, "retry", "jobs", "--held").stdout
    assert call(folder, "run", "jobs.yaml", "--delivery", "at_most_once").returncode == 0
    assert crew.stats()["kickoffs"] == 3


def hints(said: str) -> list[list[str]]:
    """The commands that were printed, without the program."""
    program = re.escape(f"{sys.executable} -m batchcrew ")
    return [shlex.split(words) for words in re.findall(rf"{program}([^`\n]*)", said)]


def test_hints_about_held_jobs_work_as_they_are_printed(folder: Path, crew: Crew) -> None:
    """From another folder, with another ledger, and however batchcrew was started."""
    ledger, elsewhere = folder / "our own.db", folder / "elsewhere"
    (folder / "results").mkdir()
    leave_in_doubt(folder, "at_most_once")
    (folder / "results" / "batchcrew.db").rename(ledger)
    elsewhere.mkdir()
    text = (folder / "jobs.yaml").read_text(encoding="utf-8")
    (folder / "jobs.yaml").write_text(text.replace("run: {", "run: {delivery: at_most_once, "), encoding="utf-8")
    there = ("--ledger", str(ledger))
    assert call(elsewhere, "run", "../jobs.yaml", *there).returncode == 1
    checked = call_fresh(elsewhere, "check", "../jobs.yaml", "--offline", *there).stdout
    shown = call_fresh(elsewhere, "show", "jobs", "trip-0", *there).stdout
    assert [words[0] for words in hints(shown)] == ["attach", "retry"]
    missing = call_fresh(elsewhere, "show", "jobs", "nobody", *there)
    assert missing.returncode == 2
    (export,) = hints(missing.stderr)
    assert call(elsewhere, *export).returncode == 0
    (looked,) = [words for words in hints(checked) if words[0] == "retry"]
    assert "1 job of jobs is pending" in call(elsewhere, *looked).stdout
    assert call(elsewhere, "run", "../jobs.yaml", *there).returncode == 0


def test_in_doubt_at_least_once_is_shown(folder: Path, crew: Crew) -> None:
    leave_in_doubt(folder, "at_least_once")
    ended = call(folder, "run", "jobs.yaml")
    assert ended.returncode == 0
    assert "possible duplicates: 1 (job trip-0)" in ended.stderr
    status = json.loads(call(folder, "status", "jobs", "--json").stdout)
    assert status["possible_duplicates"] == ["trip-0"]
    rows = [json.loads(line) for line in call(folder, "export", "jobs", "-f", "jsonl").stdout.splitlines()]
    assert [row["id"] for row in rows if row.get("possible_duplicate")] == ["trip-0"]


def test_held_and_found_in_the_dashboard(folder: Path, crew: Crew) -> None:
    leave_in_doubt(folder, "at_most_once")
    assert call(folder, "run", "jobs.yaml", "--delivery", "at_most_once").returncode == 1
    kickoff_id = json.loads(call(folder, "show", "jobs", "trip-1", "--json").stdout)["attempts"][0]["kickoff_id"]
    twice = call(folder, "attach", "jobs", "trip-0", kickoff_id)
    assert twice.returncode == 2
    assert "'trip-1'" in twice.stderr
    found = crew.kickoff()  # the execution that the lost kickoff had started
    assert call(folder, "attach", "jobs", "trip-0", found).returncode == 0
    ended = call(folder, "run", "jobs.yaml", "--delivery", "at_most_once")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(call(folder, "status", "--json").stdout)["possible_duplicates"] == []
    assert crew.stats()["kickoffs"] == 3


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_attached_before_the_next_run_nothing_is_in_doubt(folder: Path, crew: Crew, delivery: str) -> None:
    """The run printed the id because it could not write the ledger; the operator attaches it before cron runs again."""
    leave_in_doubt(folder, delivery)
    found = crew.kickoff()
    assert call(folder, "attach", "jobs", "trip-0", "a typo").returncode == 0
    assert call(folder, "attach", "jobs", "trip-0", f" {found} ").returncode == 0  # the typo is fixed
    ended = call(folder, "run", "jobs.yaml", "--delivery", delivery)
    assert ended.returncode == 0, ended.stderr
    assert crew.stats()["kickoffs"] == 3
    assert json.loads(call(folder, "status", "--json").stdout)["counts"]["possible_duplicates"] == 0


@pytest.mark.parametrize("wrong", ["", " ", "..", "a\x1b[31mb", "a\nb", "x" * 20_000])
def test_an_invalid_kickoff_id_is_not_attached(folder: Path, crew: Crew, wrong: str) -> None:
    leave_in_doubt(folder, "at_most_once")
    ended = call(folder, "attach", "jobs", "trip-0", wrong)
    assert (ended.returncode, "kickoff_id" in ended.stderr) == (2, True)
    (folder / "ids.csv").write_text(f'job_id,kickoff_id\ntrip-0,"{wrong}"\n', encoding="utf-8")
    assert call(folder, "adopt", "jobs.yaml", "--csv", "ids.csv").returncode == 2
    (folder / "ids.csv").write_text("job_id,kickoff_id\ntrip-0,a,b\n", encoding="utf-8")
    assert "more cells" in call(folder, "adopt", "jobs.yaml", "--csv", "ids.csv").stderr


def test_adopted_executions_are_watched_and_not_kicked_off_again(folder: Path, crew: Crew) -> None:
    (folder / "ids.csv").write_text(f"job_id,kickoff_id\ntrip-2,{crew.kickoff()}\n", encoding="utf-8")
    adopted = call(folder, "adopt", "jobs.yaml", "--csv", "ids.csv")
    assert adopted.returncode == 3, adopted.stderr
    assert "1 execution adopted" in adopted.stderr
    assert json.loads(call(folder, "status", "--json").stdout)["counts"]["succeeded"] == 1
    assert call(folder, "run", "jobs.yaml").returncode == 0
    assert crew.stats()["kickoffs"] == 3
    (folder / "ids.csv").write_text("job_id,kickoff_id\nnobody,x\ntrip-2,y\n", encoding="utf-8")
    wrong = call(folder, "adopt", "jobs.yaml", "--csv", "ids.csv")
    assert wrong.returncode == 2
    assert "ids.csv:2: job 'nobody' " in wrong.stderr
    assert "ids.csv:3: job 'trip-2' is succeeded" in wrong.stderr


def test_quiet_is_silent_until_the_operator_is_needed(folder: Path, crew: Crew) -> None:
    ended = call(folder, "run", "jobs.yaml", "--quiet")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    failing = Crew(folder, "--execution-time", "10ms", "--fail-rate", "1")
    (folder / "other.yaml").write_text(JOB_FILE.format(url=failing.url), encoding="utf-8")
    assert "0 of 3" in call(folder, "run", "other.yaml", "-q").stderr
    again = call(folder, "run", "other.yaml", "-q")
    assert (again.returncode, again.stderr) == (1, "")
    failing.stop()


def test_the_json_log_is_one_object_a_line(folder: Path, crew: Crew) -> None:
    ended = call(folder, "run", "jobs.yaml", "--log-format", "json")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["event"] for line in lines][:1] == ["run_started"]
    assert lines[-1]["event"] == "run_ended"
    kicked_off = [line for line in lines if line["event"] == "kicked_off"]
    assert {line["job"] for line in kicked_off} == {"trip-0", "trip-1", "trip-2"}
    assert all(line["batch"] == "jobs" and line["attempt"] and line["kickoff_id"] for line in kicked_off)


@pytest.mark.parametrize("command", ["run", "tick"])
def test_the_json_log_stays_json_when_a_run_cannot_begin(folder: Path, crew: Crew, command: str) -> None:
    (folder / "broken.yaml").write_text("crew: {url: embedded}\nrun: {rate: fast}\njobs: []\n", encoding="utf-8")
    ended = call(folder, command, "broken.yaml", "--log-format", "json")
    (line,) = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (ended.returncode, line["event"], line["exit_code"]) == (2, "error", 2)
    assert "broken.yaml:2:" in line["message"]


@pytest.mark.parametrize("how", [("--log-format", "json"), ("--quiet",)], ids=["json", "quiet"])
def test_the_json_log_stays_json_under_signals_and_quiet_stays_quiet(
    folder: Path, held: HeldCrew, how: tuple[str, ...]
) -> None:
    run = start(folder, "run", "jobs.yaml", *how)
    held.wait_for_kickoffs(3, run)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate()
    assert run.returncode == 3
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert ("signal" in events) == (how[0] == "--log-format")


def test_a_draining_run_waits_for_its_executions(folder: Path, held: HeldCrew) -> None:
    run = start(folder, "run", "jobs.yaml", "--drain", "--concurrency", "2")
    held.wait_for_kickoffs(2, run)
    run.send_signal(signal.SIGTERM)
    read_until(run, "SIGTERM")
    held.finish()
    run.communicate()
    assert run.returncode == 3
    counts = json.loads(call(folder, "status", "jobs", "--json").stdout)["counts"]
    assert (counts["open"], counts["succeeded"], counts["pending"]) == (0, 2, 1)


@pytest.mark.parametrize(("rates", "last"), [((), "/abc"), (("--fail-rate", "1"), "/abc/fail")])
def test_a_monitor_is_pinged(folder: Path, rates: tuple[str, ...], last: str) -> None:
    told: list[str] = []

    class Monitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    crew = Crew(folder, "--execution-time", "10ms", *rates)
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
    server = HTTPServer(("127.0.0.1", 0), Monitor)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for _ in range(2):  # a batch that has ended badly stays so for a monitor
            call(folder, "run", "jobs.yaml", "--ping", f"http://127.0.0.1:{server.server_port}/abc")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        crew.stop()
    assert told == ["/abc/start", last] * 2
