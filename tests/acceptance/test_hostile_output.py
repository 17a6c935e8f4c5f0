"""Hostile names, values, variables and paths in every command: nothing raw reaches the output, no line is forged."""

import contextlib
import io
import json
import os
import pty
import random
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from blockbuster import BlockBuster
from cli_process import INPUTS, ProcessOptions, start_with

from batchcrew import cli
from batchcrew.base.edge import FRAMES, STYLES
from batchcrew.base.text import HARMFUL_IN_BLOCK
from batchcrew.cli import streams
from batchcrew.cli.commands import COMMANDS

pytestmark = pytest.mark.crash  # calls every command many times

ACTS = (
    "\x1b[2J",
    "\x1b[3;4m",
    "\x9b6n",
    "\x1b]0;owned\x07",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u061c",
    "\r",
    "\x08",
    "\udc9b",
)
FORGED = "\nbatchcrew: FORGED"
OURS = re.compile(STYLES)
JOB = "a\x1b[3;4m\u202e\u009b31m\u200f"
BATCH = JOB + FORGED
CALLS = 6
"""Calls of each command with chance arguments."""
JOBS = """
crew: {url: embedded}
run: {poll: {initial: 20ms, max: 100ms}}
jobs: [{rows: rows.jsonl}]
"""
WRONG = {
    "variable.yaml": 'crew: {{url: "${{NOPE:?{0}}}", token: x}}\njobs: [{{id: a, inputs: {{x: "${{{0}}}"}}}}]\n',
    "rows.yaml": 'crew: {{url: embedded}}\njobs: [{{rows: "{0}.csv"}}]\n',
    "key.yaml": 'crew: {{url: embedded, "{0}": 1}}\n"{0}": 2\njobs: [{{id: "{0}", crew: "{0}", "{0}": 1}}]\n',
    "template.yaml": 'crew: {{url: embedded}}\njobs: [{{rows: rows.jsonl, inputs: {{x: "{{{{ {0} }}}}"}}}}]\n',
    "values.yaml": 'batch: "{0}"\ncrew: {{url: "{0}", headers: {{"{0}": "{0}"}}}}\nrun: {{timeout: "{0}"}}\n',
}


def quoted(text: str) -> str:
    """Return `text` as the inside of a YAML text between double quotes."""
    return "".join(f"\\u{ord(one):04x}" if not one.isprintable() else one for one in text)


def hostile(rng: random.Random) -> str:
    return f"{rng.choice('abc')}{rng.choice(ACTS)}{rng.choice(['', FORGED])}{rng.choice(ACTS)}z"


class Caller:
    """Calls batchcrew in this process, with its streams in files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str]:
        files = [self._folder / "stdout", self._folder / "stderr"]
        opened = [streams._text(io.FileIO(file, "w"), None) for file in files]
        with self._monkeypatch.context() as patch:
            for file, stream in zip(files, opened, strict=True):
                patch.setattr(sys, file.name, stream)
            code = cli._call([*arguments])
        for stream in opened:
            stream.close()
        return code, "".join(file.read_bytes().decode() for file in files)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_blocking_calls: BlockBuster) -> Caller:
    for function in no_blocking_calls.functions.values():
        function.can_block_in("batchcrew/base/edge.py", {"write", "write_data"})  # commands print inside their loop
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in [name for name in os.environ if name.startswith(("BATCHCREW_", "CREW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FORCE_COLOR", "1")  # the edge lets colours pass, as on a terminal
    return Caller(tmp_path, monkeypatch)


def check(output: str, arguments: object) -> None:
    found = HARMFUL_IN_BLOCK.search(OURS.sub(lambda match: match[0] if "3;4" in match[0] else "", output))
    assert found is None, (arguments, output)
    assert "\nbatchcrew: FORGED" not in output, (arguments, output)


def at_a_terminal(folder: Path, *arguments: str) -> str:
    """Run batchcrew with its stderr on a terminal; return what that shows."""
    ours, theirs = pty.openpty()
    process = start_with(ProcessOptions(stderr=theirs), folder, *arguments, TERM="xterm")
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := terminal.read(4096):
            shown += part
    process.communicate()
    return shown.decode()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with one failed job that has an attempt and hostile names; each test copies it."""
    folder = tmp_path_factory.mktemp("hostile")
    row = json.dumps({"id": "a", **INPUTS, "interests": JOB})
    (folder / "rows.jsonl").write_text(row + "\n", encoding="utf-8")
    (folder / "jobs.yaml").write_text(JOBS, encoding="utf-8")
    shown = at_a_terminal(folder, "run", "jobs.yaml")
    assert "1 of 1 job succeeded" in re.sub(STYLES, "", shown)
    assert "\x1b[2K" in shown  # the live display passes the edge
    assert HARMFUL_IN_BLOCK.search(re.sub(FRAMES, "", shown)) is None
    path = folder / "results" / "batchcrew.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE jobs SET job_id = ?, state = 'failed', reason = ?", (JOB, JOB + FORGED))
        connection.execute("UPDATE batches SET batch = ?, jobfile = ?", (BATCH, JOB + FORGED))
        connection.execute("UPDATE runs SET stop_detail = ?", (JOB + FORGED,))
        connection.execute("UPDATE attempts SET reason = ?, kickoff_id = ?", (JOB + FORGED, JOB + FORGED))
    connection.close()
    return path


def arguments_of(command: click.Command, rng: random.Random, known: list[str]) -> Iterator[str]:
    """Yield chance arguments: hostile, known to the ledger, or of the right type."""
    for parameter in command.params:
        value = rng.choice([hostile(rng), *known])
        if isinstance(parameter, click.Argument):
            if rng.random() < 0.9:
                yield value.replace("\0", "")
        elif rng.random() < 0.15:
            yield parameter.opts[-1]
            if not getattr(parameter, "is_flag", False):
                yield value
    if rng.random() < 0.1:
        yield f"--{hostile(rng)}"


SERVERS = {"serve", "ui"}
"""They end only with a mistake in their options."""


def test_every_command_with_hostile_arguments(call: Caller, ledger: Path) -> None:
    rng = random.Random(11)
    here = Path("results/batchcrew.db")
    here.parent.mkdir()
    codes = set()
    for name, command in COMMANDS.items():
        for number in range(CALLS):
            shutil.copy(ledger, here)
            arguments = [*arguments_of(command.load(), rng, [BATCH, JOB])]
            if name in SERVERS:
                arguments = ["--port", hostile(rng), *arguments]
            if name == "delete":
                arguments = ["--yes", *arguments]
            code, output = call(name, *([] if number == 0 and name not in SERVERS else arguments))
            if (name, code) != ("export", 0):  # an export has the values as they are
                check(output, (name, arguments))
            codes.add(code)
            assert code != 70 or "is not a database" in output, output  # --ledger may name what `export` wrote
    assert {0, 2} <= codes
    check(call(hostile(rng))[1], "a command")


@pytest.mark.parametrize("file", WRONG)
@pytest.mark.parametrize("command", ["check", "run", "tick"])
def test_every_mistake_in_a_job_file(call: Caller, file: str, command: str) -> None:
    rng = random.Random(file)
    Path("rows.jsonl").write_text('{"id": "a"}\n', encoding="utf-8")
    for _ in range(8):
        Path(file).write_text(WRONG[file].format(quoted(hostile(rng))), encoding="utf-8")
        for arguments in ([command, file], [command, file, "--json"]):
            code, output = call(*arguments)
            assert code == 2, output
            check(output, arguments)


def test_rows_files_variables_and_paths(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    for act in ACTS:
        name = f"a{act}{FORGED.replace('/', '')}"
        for suffix, text in ((".csv", f"id,x\n{act},1,2,3\n"), (".jsonl", f'{{"{act}\n'), (".yaml", f"{act}: [")):
            path = Path(name + suffix)
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
            for arguments in (["check", str(path)], ["check", str(path), "--crew-url", "embedded"]):
                check(call(*arguments)[1], arguments)
            check(call("check", f"no{path}")[1], path)
        monkeypatch.setenv("CREW_URL", hostile(rng).replace("\0", ""))
        check(call("check", "rows.csv")[1], "CREW_URL")
        monkeypatch.setenv("BATCHCREW_CONCURRENCY", hostile(rng))
        check(call("check", "rows.csv")[1], "BATCHCREW_CONCURRENCY")
        monkeypatch.delenv("BATCHCREW_CONCURRENCY")


def test_a_ledger_of_hostile_names_in_every_reading_command(call: Caller, ledger: Path) -> None:
    for arguments in (["list"], ["status"], ["runs"], ["failures", BATCH], ["show", BATCH, JOB], ["status", BATCH]):
        for more in ([], ["--json"]):
            code, output = call(*arguments, *more, "--ledger", str(ledger))
            assert code == 0, output
            check(output, arguments)
            assert not more or json.loads(output)


def test_a_traceback_is_harmless(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(ACTS[0] + ACTS[1])

    monkeypatch.setattr(cli, "_invoke", fail)
    code, output = call("list")
    assert code == 70
    check(output, "a traceback")


def test_the_export_in_a_pipe_is_data(call: Caller, ledger: Path) -> None:
    for more in ([], ["-o", "-"]):
        assert JOB in call("export", BATCH, "-f", "csv", "--ledger", str(ledger), *more)[1]
    assert not Path("-").exists()
