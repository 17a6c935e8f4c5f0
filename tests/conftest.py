"""Fixtures that the test packages share."""

import importlib.util
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from cli_process import JOB_FILE, closing, write_trips
from held_crew import HeldCrew
from hypothesis import HealthCheck, settings

# No example has a time limit, and each run uses the same examples: a test fails only because of what it tests.
settings.register_profile("batchcrew", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("batchcrew")


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Raise an error when batchcrew makes a blocking call inside the event loop.

    The embedded server may block: it is for tests and rehearsals, and keeps its executions in an in-process SQLite.
    """
    with blockbuster_ctx(scanned_modules=["batchcrew"], excluded_modules=["batchcrew.server"]) as blockbuster:
        for function in blockbuster.functions.values():  # the server calls it to create its file
            function.can_block_in("batchcrew/base/sqlite_files.py", {"create_private"})
        yield blockbuster


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    """Kill the processes that a test has left running, also when it failed."""
    with closing():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a rows file of 40 jobs."""
    write_trips(tmp_path, 40)
    return tmp_path


@pytest.fixture
def held(folder: Path) -> Iterator[HeldCrew]:
    """Run a crew whose executions end when the test ends them, and write a job file for it."""
    with HeldCrew() as crew:
        (folder / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
        yield crew


def pytest_configure() -> None:
    """Handle signals as a foreground job does: processes started by `nohup` or with `&` inherit ignored signals."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of real crews where crewai is not installed; in CI, fail them."""
    if item.get_closest_marker("crewai") and importlib.util.find_spec("crewai") is None:
        said = "crewai is not installed; `make real` installs it and runs this"
        if os.environ.get("CI") == "true":
            pytest.fail(said, pytrace=False)
        pytest.skip(said)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of the crash matrix and of the kill storms."""
    cells: Counter[str] = Counter()
    sums: dict[str, Counter[str]] = {}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name == "storm":
                terminalreporter.write_line(f"kill storm, {value}")
            elif name == "crash":
                way, *figures = value
                cells[way] += 1
                names = ("jobs", "kickoffs", "duplicates", "held", "lost")
                sums.setdefault(way, Counter()).update(dict(zip(names, figures, strict=True)))
    for way, sum_ in sorted(sums.items()):
        figures = ", ".join(f"{number} {name}" for name, number in sum_.items())
        terminalreporter.write_line(f"crash matrix, {way}: {cells[way]} kills, {figures}")
