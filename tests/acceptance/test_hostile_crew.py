"""Secrets and a crew that means harm, seen from outside: what reaches the ledger, the logs, `ps` and the terminal."""

import base64
import json
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cli_process import TOKEN, ProcessOptions, call, call_with, environment

pytestmark = pytest.mark.crash  # starts many processes

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202e\x9b5n"
HARMFUL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
JOB_FILE = """
crew: {{url: "{url}", token: "${{CREW_TOKEN}}"}}
run: {{poll: {{initial: 10ms, max: 50ms}}, retry: {{attempts: 1}}, timeout: 5s, breaker: {{failures: 99, give_up: 5s}}}}
jobs: [{{rows: rows.csv}}]
"""
BIG = 5_000_000
HEADERS: dict[str, str] = {}


def deep() -> bytes:
    return b'{"status": "completed", "result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


ANSWERS: dict[str, Callable[[], bytes]] = {
    "escapes": lambda: json.dumps({"state": "SUCCESS", "result": ESCAPES}).encode(),
    "failure": lambda: json.dumps({"state": "FAILED", "error": f"{ESCAPES} no luck"}).encode(),
    "echo": lambda: json.dumps({"state": "SUCCESS", "result": f"you said {HEADERS['Authorization']}"}).encode(),
    "big": lambda: json.dumps({"state": "SUCCESS", "result": "x" * BIG}).encode(),
    "nul": lambda: json.dumps({"state": "SUCCESS", "result": "before\0after"}).encode(),
    "deep": deep,
    "latin-1": lambda: b'{"state": "SUCCESS", "result": "\xff\xfe"}',
}


@contextmanager
def hostile() -> Iterator[str]:
    """A server whose answer hangs on the job."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            HEADERS.update(self.headers.items())
            kind = self.path.rpartition("/")[2]
            self._answer(ANSWERS[kind]() if kind in ANSWERS else b'{"inputs": ["id"]}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(json.dumps({"kickoff_id": body["meta"]["batchcrew"]["job"]}).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, "subprocess.CompletedProcess[str]"]]:
    """A batch against that server, with a mask that would let everybody read."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "rows.csv").write_text("id,x\n" + "".join(f"{kind},1\n" for kind in ANSWERS), encoding="utf-8")
    with hostile() as url:
        (folder / "jobs.yaml").write_text(JOB_FILE.format(url=url), encoding="utf-8")
        ended = call_with(ProcessOptions(umask=0), folder, "run", "jobs.yaml")
        yield folder, ended


def test_a_hostile_answer_is_an_error_of_that_answer(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, ended = ran
    # for `give_up`, an unreadable answer does not count as an answer about its execution
    assert ended.returncode == 5, ended.stderr
    connection = sqlite3.connect(folder / "results" / "batchcrew.db")
    states = dict(connection.execute("SELECT job_id, state FROM results"))
    outputs = dict(connection.execute("SELECT job_id, output FROM results"))
    connection.close()
    succeeded = {kind for kind, state in states.items() if state == "succeeded"}
    assert succeeded == {"escapes", "echo", "big", "nul", "latin-1"}
    assert {kind for kind, state in states.items() if state == "open"} == {"deep"}
    assert len(outputs["big"]) == BIG
    assert outputs["nul"] == "before\0after"
    assert outputs["latin-1"] == "ÿþ"


def test_no_escape_of_a_crew_reaches_the_terminal(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, ended = ran
    shown = [ended.stderr, call(folder, "status").stdout, call(folder, "status", "--json").stdout]
    shown += [call(folder, "show", "jobs", kind).stdout for kind in ("escapes", "failure", "nul")]
    shown += [call(folder, "show", "jobs", "escapes", "--json").stdout]
    assert "owned" in "".join(shown)
    assert not any(HARMFUL.search(text) for text in shown)


def test_big_and_odd_outputs_survive_the_exports(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, _ = ran
    rows = [json.loads(line) for line in call(folder, "export", "jobs", "-f", "jsonl").stdout.splitlines()]
    outputs = {row["id"]: row["output"] for row in rows}
    assert len(outputs["big"]) == BIG
    assert outputs["nul"] == "before\0after"


def test_the_token_is_nowhere_and_files_are_the_owners(ran: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    folder, ended = ran
    logged = call(folder, "run", "jobs.yaml", "--log-format", "json", "--retry-failed")
    assert call(folder, "export", "jobs", "-o", "answers.csv").returncode == 0
    forms = [TOKEN.encode(), base64.b64encode(TOKEN.encode()).rstrip(b"=")]
    kept = [path for path in folder.rglob("*") if path.is_file() and path.name not in {"jobs.yaml", "rows.csv"}]
    assert {"batchcrew.db", "answers.csv"} <= {path.name for path in kept}
    said = (ended.stderr + ended.stdout + logged.stderr + logged.stdout).encode()
    for form in forms:
        assert form not in said
        for path in kept:
            assert form not in path.read_bytes(), path
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_ps_shows_no_token(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,x\nslow,1\n", encoding="utf-8")
    (tmp_path / "token.txt").write_text(TOKEN, encoding="utf-8")
    with hostile() as url:
        arguments = ["run", "rows.csv", "--crew-url", url, "--token-file", "token.txt"]
        run = subprocess.Popen(
            [sys.executable, "-m", "batchcrew", *arguments],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stderr is not None
        assert run.stderr.readline(), run.wait()
        command = Path(f"/proc/{run.pid}/cmdline").read_bytes()
        run.kill()
        run.communicate()
    assert b"--token-file" in command
    assert TOKEN.encode() not in command


def test_a_defect_shows_no_token(tmp_path: Path) -> None:
    """The traceback of an unexpected exception shows code, never values."""
    (tmp_path / "rows.csv").write_text("id,x\na,1\n", encoding="utf-8")
    script = tmp_path / "broken.py"
    script.write_text(
        "from batchcrew.cli import main\n"
        "from batchcrew.crew import client\n"
        "def broken(*arguments, **named): raise RuntimeError(f'at {arguments!r} {named!r}')\n"
        "client.CrewClient.inputs = broken\n"
        "main()\n",
        encoding="utf-8",
    )
    arguments = ("run", "rows.csv", "--crew-url", "http://127.0.0.1:9")
    ended = call_with(ProcessOptions(script=script), tmp_path, *arguments)
    assert ended.returncode == 70
    assert "internal error (a bug in batchcrew)" in ended.stderr
    assert TOKEN not in ended.stderr


@pytest.mark.parametrize(
    ("job_file", "words"),
    [
        ("crew: {url: embedded}\njobs: [{rows: ../rows.csv}]\n", "--allow-outside"),
        ("crew: {url: embedded}\njobs: [{rows: rows.csv, id: \"{{ ''.__class__.__mro__ }}\"}]\n", "is unsafe"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
            + "crew: {url: embedded}\njobs: [{id: a, inputs: {x: *h}}]\n",
            "aliases",
        ),
    ],
    ids=["outside", "sandbox", "bomb"],
)
def test_a_hostile_job_file_is_refused(tmp_path: Path, job_file: str, words: str) -> None:
    folder = tmp_path / "batch"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "rows.csv").write_text("id,x\na,1\n", encoding="utf-8")
    (folder / "jobs.yaml").write_text(job_file, encoding="utf-8")
    ended = call(folder, "run", "jobs.yaml")
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr
    assert call(folder, "list", "--json").stdout in {"", "[]\n"}  # no ledger, or nothing in it
