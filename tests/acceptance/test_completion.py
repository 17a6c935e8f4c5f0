"""Completion of command lines, in the real shells, and what a shell gets if something is wrong."""

import asyncio
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from cli_process import call, environment

from batchcrew.base.clock import SystemClock
from batchcrew.ledger import Ledger
from batchcrew.model.job import Job, Location

PROGRAM = Path(sys.executable).parent / "batchcrew"
IDS = ["joe@example.com", "jo ann", "$(touch evil)", "tokyo", "日本", "bell\x07", "k:1"]
STARTS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUPS = {
    "bash": "bind 'set bell-style none'; source <(batchcrew completion bash)",
    "zsh": "autoload -U compinit; compinit -D -u; source <(batchcrew completion zsh)",
    "fish": "batchcrew completion fish | source",
}


@pytest.fixture
def ledger(folder: Path) -> Path:
    """A ledger with the batch `trips` in the place where commands look for it."""
    path = folder / "results" / "batchcrew.db"
    path.parent.mkdir()

    async def fill() -> None:
        async with Ledger(path, clock=SystemClock()) as opened:
            jobs = [
                Job(job_id=name, crew="c", inputs={"n": n}, meta={}, row={}, where=Location("jobs.csv", n))
                for n, name in enumerate(IDS)
            ]
            staged = await opened.stage("trips", jobs)
            await opened.ingest("trips", jobfile="jobs.yaml", digest="d", columns=staged.plan.columns)

    asyncio.run(fill())
    return path


def requested(folder: Path, line: str, shell: str = "bash") -> list[str]:
    """Return what `batchcrew` answers when a shell requests the completions of a line."""
    cword = str(len(line.split(" ")) - 1) if shell == "zsh" else line.rpartition(" ")[2]
    ended = call(folder, _BATCHCREW_COMPLETE=f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=cword)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def type_in(shell: str, folder: Path, typed: str, expected: str, **variables: str) -> str:
    """Type a line into an interactive shell, with its tabs; return what it shows up to the expected text."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *STARTS[shell]],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=_of_shell(variables),
    )
    os.close(theirs)
    try:
        os.write(ours, f"{SETUPS[shell]}; echo rea''dy\n".encode())
        read_until(ours, "ready")
        os.write(ours, typed.encode())
        return read_until(ours, expected)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _of_shell(variables: Mapping[str, str]) -> dict[str, str]:
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    return environment(PATH=path, PS1="$ ", TERM="dumb", HOME="/nonexistent", LC_ALL="C.UTF-8", **variables)


def read_until(terminal: int, expected: str) -> str:
    shown, end = "", time.monotonic() + 25
    while expected not in shown:
        if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            pytest.fail(f"{expected!r} was not shown: {shown!r}")
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown


@pytest.mark.usefixtures("ledger")
def test_names_come_from_the_ledger(folder: Path) -> None:
    assert requested(folder, "batchcrew show ") == ["plain,trips"]
    assert requested(folder, "batchcrew show trips jo") == [r"plain,jo\ ann", "plain,joe@example.com"]
    assert requested(folder, "batchcrew show trips joe@ex") == ["plain,joe@example.com"]
    assert requested(folder, "batchcrew retry trips tokyo j", "fish") == ["plain,jo ann", "plain,joe@example.com"]
    assert requested(folder, "batchcrew show other ") == []


@pytest.mark.usefixtures("ledger")
def test_the_names_after_an_option_are_the_same(folder: Path) -> None:
    assert requested(folder, "batchcrew show --json trips tok") == ["plain,tokyo"]
    assert requested(folder, "batchcrew status --batch ") == ["plain,trips"]
    assert requested(folder, "batchcrew show --ledger results/batchcrew.db trips tok") == ["plain,tokyo"]


def test_commands_options_states_and_formats_need_no_ledger(folder: Path) -> None:
    assert requested(folder, "batchcrew st") == ["plain,status", "plain,stop"]
    assert requested(folder, "batchcrew retry --fing") == ["plain,--fingerprint"]
    assert requested(folder, "batchcrew retry --state h") == ["plain,held"]
    assert requested(folder, "batchcrew run --log-format j") == ["plain,json"]
    assert requested(folder, "batchcrew set trips conc") == ["plain,concurrency="]
    assert requested(folder, "batchcrew run jo") == ["file,jo"]
    assert requested(folder, "batchcrew completion ") == ["plain,bash", "plain,zsh", "plain,fish"]


@pytest.mark.usefixtures("ledger")
def test_names_that_could_act_on_a_terminal_are_left_out_and_others_are_escaped(folder: Path) -> None:
    assert requested(folder, "batchcrew show trips bell") == []
    (escaped,) = requested(folder, "batchcrew show trips $")
    assert escaped == r"plain,\$\(touch\ evil\)"


def test_whatever_is_wrong_a_shell_gets_nothing_and_no_message(folder: Path, ledger: Path) -> None:
    ledger.write_bytes(b"this is not a database" * 100)
    for shell in ("bash", "zsh", "fish"):
        assert requested(folder, "batchcrew show ", shell) == []
    ledger.unlink()
    assert requested(folder, "batchcrew show trips ") == []
    assert requested(folder, "batchcrew nonsense --what 'ever ") == []
    assert requested(folder, "batchcrew show ", "ksh") == []


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    "shell", ["bash", pytest.param("zsh", marks=pytest.mark.crash), pytest.param("fish", marks=pytest.mark.crash)]
)
def test_a_real_shell_completes_names(shell: str, folder: Path) -> None:
    type_in(shell, folder, "batchcrew show trips toky\t\n", "job tokyo of batch trips")


@pytest.mark.crash  # slow
@pytest.mark.usefixtures("ledger")
def test_bash_completes_an_address_after_its_at_sign(folder: Path) -> None:
    type_in("bash", folder, "batchcrew show trips joe@ex\t\n", "job joe@example.com of batch trips")
    type_in("bash", folder, "batchcrew show trips k:\t\n", "job k:1 of batch trips")


@pytest.mark.crash
@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("shell", STARTS)
def test_a_name_is_never_executed(shell: str, folder: Path) -> None:
    type_in(shell, folder, "batchcrew show trips \\$\t\n", "job $(touch evil) of batch trips")
    assert not (folder / "evil").exists()
