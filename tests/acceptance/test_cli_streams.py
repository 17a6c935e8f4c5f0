"""Standard output and standard error that are closed, full, or read by a program that has ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_process import JOB_FILE, Crew, ProcessOptions, call, call_fresh, call_with, environment, write_trips

pytestmark = pytest.mark.crash  # starts many processes

READING = (
    ("--help",),
    ("--version",),
    ("run", "--help"),
    ("schema",),
    ("status",),
    ("status", "--json"),
    ("list",),
    ("failures",),
    ("failures", "--json"),
    ("show", "jobs", "trip-1"),
    ("export", "jobs"),
    ("check", "jobs.yaml", "--offline"),
)
SLOW_TO_IMPORT = {"run", "schema", "check"}
"""Commands to call without a new interpreter: their imports take long and do not affect their streams."""
REDIRECTIONS = (">/dev/full", ">&-", "| :", "2>/dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of three jobs that has ended."""
    folder = tmp_path_factory.mktemp("streams")
    write_trips(folder, 3)
    crew = Crew(folder, "--execution-time", "1ms")
    (folder / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
    assert call(folder, "run", "jobs.yaml").returncode == 0
    crew.stop()
    return folder


def shell(folder: Path, redirection: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchcrew ARGUMENTS REDIRECTION` in a shell and a new interpreter."""
    script = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    command = ["bash", "-c", script, "bash", sys.executable, "-m", "batchcrew", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


@contextmanager
def redirected(redirection: str) -> Iterator[ProcessOptions]:
    """The same redirection of a process that is started without a shell."""
    if redirection in {">/dev/full", "2>/dev/full"}:
        with Path("/dev/full").open("w") as full:
            stdout = redirection.startswith(">")
            yield ProcessOptions(stdout=full.fileno()) if stdout else ProcessOptions(stderr=full.fileno())
    elif redirection == "| :":
        reader, writer = os.pipe()
        os.close(reader)
        yield ProcessOptions(stdout=writer)
        os.close(writer)
    else:
        closed = {"<": 0, ">": 1, "2": 2}
        yield ProcessOptions(closed=tuple(closed[word[0]] for word in redirection.split()))


def start_redirected(folder: Path, redirection: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchcrew ARGUMENTS REDIRECTION`."""
    if arguments[0] not in SLOW_TO_IMPORT:
        return shell(folder, redirection, *arguments)
    with redirected(redirection) as options:
        return call_with(options, folder, *arguments)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"], ids=["full", "closed"])
def test_a_full_or_closed_stdout_is_a_plain_message(ended: Path, arguments: tuple[str, ...], redirection: str) -> None:
    done = start_redirected(ended, redirection, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("batchcrew: stdout cannot be written: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_broken_pipe_on_stdout_is_not_an_error(ended: Path, arguments: tuple[str, ...]) -> None:
    with redirected("| :") as options:
        if arguments[0] in SLOW_TO_IMPORT:
            done = call_with(options, ended, *arguments)
        else:
            done = call_fresh(ended, *arguments, stdout=options.stdout)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("redirection", REDIRECTIONS[:-1])
def test_a_summary_that_cannot_be_printed_leaves_the_exit_code(ended: Path, redirection: str) -> None:
    done = start_redirected(ended, redirection, "run", "jobs.yaml", "--json")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    left = ("run", "trips.csv", "--crew-url", "embedded", "--watch-only")
    assert start_redirected(ended, redirection, *left).returncode == 3
    assert start_redirected(ended, redirection, "run", "nowhere.yaml").returncode == 2


@pytest.mark.parametrize("redirection", REDIRECTIONS)
def test_an_error_that_cannot_be_printed_leaves_the_exit_code(ended: Path, redirection: str) -> None:
    """Both in a new interpreter and in a forked process."""
    assert shell(ended, redirection, "status", "nowhere").returncode == 2
    with redirected(redirection) as options:
        assert call_with(options, ended, "status", "nowhere").returncode == 2


def test_a_command_takes_effect_even_if_its_output_cannot_be_printed(ended: Path) -> None:
    done = shell(ended, ">/dev/full", "retry", "jobs", "trip-2", "--state", "succeeded")
    assert done.returncode == 0
    assert "stdout" in done.stderr
    assert json.loads(call(ended, "status", "jobs", "--json").stdout)["counts"]["pending"] == 1


def test_an_export_to_a_full_device_is_not_an_internal_error(ended: Path) -> None:
    done = call(ended, "export", "jobs", "-o", "/dev/full")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "/dev/full" in done.stderr


def test_no_message_is_written_into_a_file_that_got_a_closed_descriptor(ended: Path) -> None:
    done = shell(ended, "<&- >&- 2>&-", "export", "jobs", "-o", "answers.csv")
    assert done.returncode == 0
    assert (ended / "answers.csv").read_text(encoding="utf-8").startswith("id,budget")
