"""Running out of file descriptors is a local condition: prevented, or reported, and never held against the crew."""

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from cli_process import JOB_FILE, TOKEN, Crew, ProcessOptions, call, call_fresh, call_with, start_with, write_trips

from batchcrew.app.fit_concurrency import needed
from batchcrew.config.crews import DemoCrew, RemoteCrew
from batchcrew.crew.failures import failure

pytestmark = pytest.mark.crash  # starts many processes

JOBS = 60
UNFITTED = """
from batchcrew.app import run as runner, run_crews
from batchcrew.cli import main
run_crews.fit_concurrency = lambda settings, crews: (settings, None)
runner.require_descriptors = lambda crews: None
main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trips(tmp_path, JOBS)
    return tmp_path


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    made = Crew(folder, "--execution-time", "50ms")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=made.url), encoding="utf-8")
    yield made
    made.stop()


def limited(
    folder: Path, soft: int, hard: int, *arguments: str, script: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    options = ProcessOptions(limits={"RLIMIT_NOFILE": (soft, hard)}, script=script)
    return call_with(options, folder, *arguments)


def test_a_run_raises_the_soft_limit_to_what_it_needs(folder: Path, crew: Crew) -> None:
    ended = limited(folder, 40, 1000, "run", "jobs.yaml", "--concurrency", "50", "--json")
    assert ended.returncode == 0, ended.stderr
    assert "concurrency 50" in ended.stderr
    assert "warning: " not in ended.stderr
    assert crew.stats()["kickoffs"] == JOBS


@pytest.mark.parametrize(("limit", "concurrency"), [(40, 50), (32, 1200), (28, 28)])
@pytest.mark.parametrize("command", ["run", "tick", "adopt"])
def test_under_a_hard_limit_concurrency_is_lowered_with_a_warning(
    folder: Path, crew: Crew, limit: int, concurrency: int, command: str
) -> None:
    arguments = ["--concurrency", str(concurrency)]
    if command == "adopt":
        text = (folder / "jobs.yaml").read_text(encoding="utf-8")
        (folder / "jobs.yaml").write_text(
            text.replace("concurrency: 6", f"concurrency: {concurrency}"), encoding="utf-8"
        )
        (folder / "ids.csv").write_text(f"job_id,kickoff_id\ntrip-2,{crew.kickoff()}\n", encoding="utf-8")
        arguments = ["--csv", "ids.csv"]
    ended = limited(folder, limit, limit, command, "jobs.yaml", *arguments)
    lines = ended.stderr.splitlines()
    (warned,) = [n for n, line in enumerate(lines) if "warning: " in line]  # and none about the crew
    assert f"concurrency is lowered from {concurrency} to " in lines[warned]
    if command == "run":
        (started,) = [n for n, line in enumerate(lines) if " start: " in line]
        assert warned < started
        assert ended.returncode == 0, ended.stderr
        assert (crew.stats()["kickoffs"], crew.stats()["max_kickoffs_per_job"]) == (JOBS, 1)
    else:
        assert ended.returncode == 3, ended.stderr


def test_a_descriptor_limit_too_low_for_one_execution_is_refused(folder: Path, crew: Crew) -> None:
    ended = call_fresh(
        folder, "run", "jobs.yaml", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (17, 17))
    )
    assert ended.returncode == 2, ended.stderr
    assert "too few file descriptors: 17" in ended.stderr
    assert crew.stats()["kickoffs"] == 0


@pytest.mark.crash
def test_a_run_that_runs_out_of_descriptors_continues_with_fewer(folder: Path, crew: Crew) -> None:
    """This happens if the whole system has too few descriptors, which no estimate of one process can foresee."""
    script = folder / "unfitted.py"
    script.write_text(UNFITTED, encoding="utf-8")
    ended = limited(folder, 30, 30, "run", "jobs.yaml", "--concurrency", "50", script=script)
    assert ended.returncode == 0, ended.stderr
    warnings = [line for line in ended.stderr.splitlines() if "warning: " in line]
    assert warnings
    assert all("no file descriptor left" in line for line in warnings)  # and none about the crew
    assert (crew.stats()["kickoffs"], crew.stats()["max_kickoffs_per_job"]) == (JOBS, 1)


def test_serve_raises_its_soft_limit(folder: Path) -> None:
    options = ProcessOptions(limits={"RLIMIT_NOFILE": (40, 1000)})
    arguments = ("serve", "--port", "0", "--execution-time", "50ms")
    server = start_with(options, folder, *arguments, BATCHCREW_SERVE_TOKEN=TOKEN)
    url = server.stdout.readline().strip()
    limits = Path(f"/proc/{server.pid}/limits")
    if limits.exists():
        (line,) = [each for each in limits.read_text(encoding="ascii").splitlines() if "open files" in each]
        assert line.split()[3:5] == ["1000", "1000"]
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=url), encoding="utf-8")
    ended = call(folder, "run", "jobs.yaml", "--concurrency", str(JOBS))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("number", [23, 24])  # ENFILE, EMFILE
def test_a_connection_without_a_descriptor_is_not_a_failure_of_the_crew(number: int) -> None:
    key = aiohttp.client_reqrep.ConnectionKey("crew", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorError(key, OSError(number, "Too many open files"))
    lost = failure(error, host="crew", connect_timeout=1, read_timeout=1)
    assert (lost.never_sent, lost.local) == (True, True)
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))
    assert not failure(refused, host="crew", connect_timeout=1, read_timeout=1).local


def test_each_crew_counts_with_its_own_slots_and_a_local_one_with_both_ends() -> None:
    far, near = RemoteCrew(url="https://a.example"), DemoCrew()
    few = RemoteCrew(url="https://a.example", concurrency=5)
    assert needed(100, {"a": far}) - needed(10, {"a": far}) == 2 * 90
    assert needed(100, {"a": few}) == needed(10, {"a": few})
    assert needed(100, {"a": near}) - needed(10, {"a": near}) == 4 * 90
