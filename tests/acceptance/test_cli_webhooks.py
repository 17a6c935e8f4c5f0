"""Webhooks with the `batchcrew` program: a port in use, `listen` and ticks, and kills after the POST has left."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import TOKEN, Crew, ProcessOptions, call, call_with, read_until, start, wait_until, write_trips
from held_crew import HeldCrew

DRIVER = ProcessOptions(script=Path(__file__).with_name("crash_driver.py"))
JOB_FILE = """
crew: {{url: "{url}", token: "${{CREW_TOKEN}}"}}
webhooks: {{listen: "127.0.0.1:{port}", wait: 20s}}
run: {{concurrency: 6, poll: {{strategy: fixed, initial: 10m, max: 10m}}, timeout: 20m}}
jobs: [{{rows: trips.csv}}]
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def crew(tmp_path: Path, port: int) -> Iterator[Crew]:
    write_trips(tmp_path, 4)
    made = Crew(tmp_path, "--no-idempotency", "--execution-time", "3s")
    (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=made.url, port=port), encoding="utf-8")
    yield made
    made.stop()


def test_a_port_in_use_is_an_error_before_anything_is_paid(folder: Path, held: HeldCrew, port: int) -> None:
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=held.url, port=port), encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        ended = call(folder, "run", "jobs.yaml")
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    assert held.kickoffs == 0


def killed_at(point: str, folder: Path, crew: Crew) -> None:
    """Kill a run at a point of `crash_driver.py`, or as soon as the server has started an execution."""
    if point == "at the server":
        process = start(folder, "run", "jobs.yaml")
        wait_until(lambda: crew.stats()["kickoffs"] >= 1, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    else:
        killed = call_with(DRIVER, folder, point, "2", "--", "run", "jobs.yaml")
        assert killed.returncode == -signal.SIGKILL


@pytest.mark.crash
@pytest.mark.parametrize("point", ["at the server", "after:post", "before:kicked_off"])
def test_a_kickoff_whose_run_was_killed_is_found_again(tmp_path: Path, crew: Crew, point: str) -> None:
    killed_at(point, tmp_path, crew)
    ended = call(tmp_path, "run", "jobs.yaml", "--json")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    if point != "at the server":  # there, a POST may have been killed before it arrived, and is sent again
        assert summary["webhooks"]["found_again"] >= 1
        assert summary["possible_duplicates"] == []
    assert crew.stats()["max_kickoffs_per_job"] == 1
    assert crew.stats()["kickoffs"] == 4


@pytest.mark.crash
def test_listen_receives_while_no_run_does(tmp_path: Path, crew: Crew) -> None:
    """All kickoffs are made by a run that is killed; `listen` receives their ends, and the next tick reads them."""
    killed = call_with(DRIVER, tmp_path, "before:kicked_off", "4", "--", "run", "jobs.yaml")
    assert killed.returncode == -signal.SIGKILL
    listening = start(tmp_path, "listen", "jobs.yaml")
    read_until(listening, "listening")
    while (ticked := call(tmp_path, "tick", "jobs.yaml")).returncode == 3:
        pass
    assert ticked.returncode == 0, ticked.stderr
    assert crew.stats()["max_kickoffs_per_job"] == 1
    listening.send_signal(signal.SIGTERM)
    _, said = listening.communicate()
    assert listening.returncode == 0
    assert re.search(r"webhooks: \d+ received", said), said
    assert TOKEN not in said


def test_a_printed_command_repeats_the_options_of_webhooks(folder: Path) -> None:
    write_trips(folder, 2)
    (folder / "jobs.yaml").write_text("crew: {url: embedded}\njobs: [{rows: trips.csv}]\n", encoding="utf-8")
    options = ("--webhook-listen", "127.0.0.1:0", "--webhook-url", "http://127.0.0.1:9/hooks")
    ended = call(folder, "run", "jobs.yaml", "--limit", "1", *options)
    assert ended.returncode == 3, ended.stderr
    assert f"run jobs.yaml {' '.join(options)}" in ended.stderr
