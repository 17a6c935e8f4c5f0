"""`batchcrew serve` in another process, as you or a script start it: its two streams and its signals."""

import json
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_process import Process, call, closing, start

KICKOFF = {"inputs": {"budget": "1", "interests": "food", "duration": "2 days", "age": "35"}}


class Served:
    """A running `batchcrew serve`; after its end, `err` is its stderr."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = process.stdout.readline().strip()
        self.err = ""
        self.rest = ""
        assert self.url, process.communicate()[1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.rest, self.err = self.process.communicate()
        return self.process.wait()

    def call(self, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@contextmanager
def serve(*arguments: str, **variables: str) -> Iterator[Served]:
    with closing():
        yield Served(start(Path.cwd(), "serve", *arguments, BATCHCREW_PORT="0", **variables))


def refused(*arguments: str, **variables: str) -> str:
    """Return stderr of a server that refuses to start; the exit code is that of wrong usage."""
    done = call(Path.cwd(), "serve", *arguments, **variables)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_prints_how_to_use_it_and_stops_cleanly(number: signal.Signals) -> None:
    with serve() as served:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", served.url)
        assert served.stop(number) == 0
        assert served.rest == "", "stdout has the URL alone"
        made = re.search(r"generated token: (\S{32})\n", served.err)
        assert made
        assert f"  CREW_URL={served.url} CREW_TOKEN={made[1]} batchcrew run leads.csv\n" in served.err
        assert f"serving the demo crew (guide dialect) on {served.url}; no language model is used\n" in served.err
        assert served.err.endswith(
            "served 0 kickoffs, at most 0 concurrent, at most 0 for one job; 0 refused, 0 failed on purpose\n"
        )


def test_a_token_from_a_file_or_a_variable_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    for arguments, variables, token in (
        (("--token-file", str(file)), {"BATCHCREW_SERVE_TOKEN": "from-the-variable"}, "from-the-file"),
        ((), {"BATCHCREW_SERVE_TOKEN": "from-the-variable"}, "from-the-variable"),
    ):
        with serve(*arguments, BATCHCREW_EXECUTION_TIME="1h", **variables) as served:
            assert served.call("/kickoff", token, KICKOFF)[0] == 200
            assert served.call("/kickoff", "another", KICKOFF)[0] == 401
            meta = {"batchcrew": {"batch": "b", "job": "j"}}
            assert served.call("/kickoff", token, {**KICKOFF, "meta": meta})[0] == 200
            assert served.call("/stats", token)[1]["max_kickoffs_per_job"] == 1
            assert served.call("/kickoff", token, {})[0] == 422
            assert served.stop() == 0
            assert token not in served.err
            assert re.findall(r"\d+", served.err.splitlines()[-1]) == ["2", "2", "1", "1", "0"]


# Each option reaches the server (the contract tests check its effect).


def test_options_reach_the_server(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    arguments = ("--dialect", "live", "--execution-time", "0", "--fail-rate", "100%", "--no-idempotency")
    with serve(*arguments, "--state", str(state), BATCHCREW_SERVE_TOKEN="t") as served:
        kickoff_id = served.call("/kickoff", "t", KICKOFF)[1]["kickoff_id"]
        assert served.call(f"/status/{kickoff_id}", "t")[1]["state"] == "FAILED"
        with urllib.request.urlopen(
            urllib.request.Request(f"{served.url}/inputs", headers={"Authorization": "Bearer t"})
        ) as answer:
            assert "Idempotency-Key" not in answer.headers
        served.stop()
        assert "live dialect" in served.err
    assert state.exists()
    with serve("demo", "--state", str(state), BATCHCREW_SERVE_TOKEN="t", BATCHCREW_HTTP_ERROR_RATE="1") as served:
        assert served.call("/kickoff", "t", KICKOFF)[0] in {500, 502, 503}
        served.stop()
        assert re.findall(r"\d+", served.err.splitlines()[-1])[-1] == "1"
    with serve(
        "--max-running", "1", "--host", "localhost", "--execution-time", "1h", BATCHCREW_SERVE_TOKEN="t"
    ) as served:
        assert served.call("/kickoff", "t", KICKOFF)[0] == 200
        assert served.call("/kickoff", "t", KICKOFF)[0] == 429
    dropped = pytest.raises((ConnectionError, urllib.error.URLError))
    with serve("--drop-rate", "1.0", BATCHCREW_SERVE_TOKEN="t") as served, dropped:
        served.call("/kickoff", "t", KICKOFF)


def test_a_seed_reaches_the_server() -> None:
    found = []
    for seed in ("1", "1", "2"):
        with serve("--seed", seed, "--fail-rate", "0.5", "--execution-time", "0", BATCHCREW_SERVE_TOKEN="t") as served:
            words = []
            for age in range(20):
                body = {"inputs": {**KICKOFF["inputs"], "age": age}}
                kickoff_id = served.call("/kickoff", "t", body)[1]["kickoff_id"]
                words.append(served.call(f"/status/{kickoff_id}", "t")[1]["status"])
            found.append(words)
    assert found[0] == found[1] != found[2]


def test_wrong_options_are_reported_plainly(tmp_path: Path) -> None:
    assert "invalid target: 'my_project.crew'" in refused("my_project.crew")
    assert "--workers applies to real crews only, and TARGET is the demo crew" in refused("--workers", "2")
    assert "--seed applies to the demo crew only, and TARGET is a.crew:Crew" in refused("a.crew:Crew", "--seed", "1")
    assert "--execution-timeout: invalid duration: 'soon'" in refused("a.crew:Crew", "--execution-timeout", "soon")
    assert "invalid workers: 0 (expected 1 to 256)" in refused("a.crew:Crew", "--workers", "0")
    assert "invalid webhook pattern: 'ftp://x'" in refused("a.crew:Crew", "--webhook-allow", "ftp://x")
    assert "--fail-rate: invalid share: '2'" in refused("--fail-rate", "2")
    assert "invalid execution time: 'soon'" in refused("--execution-time", "soon")
    assert "http_error_rate and drop_rate" in refused("--drop-rate", "0.7", "--http-error-rate", "70%")
    assert "'klingon' is not one of" in refused("--dialect", "klingon")
    assert "invalid token" in refused(BATCHCREW_SERVE_TOKEN="with blank")
    empty = tmp_path / "empty"
    empty.touch()
    assert "the file is empty" in refused("--token-file", str(empty))
    notes = tmp_path / "notes.txt"
    notes.write_text("not a database, " * 100)
    assert str(notes) in refused("--state", str(notes))
    with serve() as served:
        port = served.url.rsplit(":", 1)[1]
        assert f"port {port} " in refused("--port", port)
