"""Run `batchcrew serve` with real crews in a separate process, and a receiver of its webhooks."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2] / "jobs" / "travel_crew"
FLOW = f"{PROJECT}/src/travel_crew/flow.py:TravelFlow"
TOKEN = "a-token-of-the-tests"
RESEARCH = (
    "Destination for age {age} and {budget}: a town known for {interests}.\n"
    "Sights for {duration}: the market, the old harbour, the hill. (Offline: no language model was asked.)"
)
PLAN = (
    "Plan for {duration}, age {age}, {interests}, within {budget}.\n"
    "Based on: Destination for age {age} and {budget}: a town known for {interests}.\n"
    "(Offline: no language model was asked.)"
)
FLOW_TITLE = "A trip of {duration} for {budget}\n"


def wishes(number: int) -> dict[str, str]:
    """Inputs like no others; the number of their words differs from one to the next."""
    interests = " ".join(f"interest-{number}-{n}" for n in range(1 + number % 7))
    return {"budget": f"{100 + number} EUR", "interests": interests, "duration": "2 days", "age": str(20 + number)}


def tokens(inputs: Mapping[str, str]) -> dict[str, int]:
    """Return the tokens that the offline model counts for both tasks: the words of the inputs and of its answers."""
    prompted = 2 * sum(len(value.split()) for value in inputs.values())
    answered = sum(len(text.format(**inputs).split()) for text in (RESEARCH, PLAN))
    return {"prompt_tokens": prompted, "completion_tokens": answered, "total_tokens": prompted + answered}


def environment(**more: str) -> dict[str, str]:
    """Return this environment without your own settings, and with those of `more`."""
    theirs = ("BATCHCREW_", "CREW_", "CREWAI_", "OPENAI_", "MODEL", "OFFLINE_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return {**plain, "BATCHCREW_SERVE_TOKEN": TOKEN, **more}


def workers_of(pid: int) -> list[int]:
    """The worker processes of a server, or of a run that serves its crew itself."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"/server/worker/entry.py" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return sorted(found)


class Served:
    """`batchcrew serve TARGET`."""

    def __init__(self, folder: Path, target: str, *options: str, **variables: str) -> None:
        self.said = folder / "serve.err"
        with self.said.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "batchcrew", "serve", target, "--port", "0", *options],
                cwd=folder,
                env=environment(**variables),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.said.read_text()

    def call(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=50) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def kickoff(self, inputs: Mapping[str, Any], **more: Any) -> str:
        """The id of an execution that has started."""
        code, answer = self.call("/kickoff", {"inputs": inputs, **more})
        assert code == 200, answer
        return str(answer["kickoff_id"])

    def status(self, kickoff_id: str) -> Any:
        code, answer = self.call(f"/status/{kickoff_id}")
        assert code == 200, answer
        return answer

    def stop(self) -> None:
        """Stop it as a service manager does; it must exit with 0."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=50)
        assert self.process.returncode == 0, self.said.read_text()


@contextlib.contextmanager
def served(folder: Path, target: str, *options: str, **variables: str) -> Iterator[Served]:
    """Run a server; at the end, stop it and check its exit code."""
    server = Served(folder, target, *options, **variables)
    try:
        yield server
    except BaseException:
        server.process.kill()
        server.process.communicate()
        raise
    server.stop()


class Receiver:
    """Takes webhooks; `next` waits for the next one of a kind."""

    def __init__(self) -> None:
        self.got: dict[str, queue.SimpleQueue[Any]] = {"task": queue.SimpleQueue(), "crew": queue.SimpleQueue()}
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                got[self.path.strip("/")].put(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Print nothing: the tests report missing webhooks."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def kickoff_keys(self) -> dict[str, str]:
        """Return the keys of a kickoff that send its webhooks here."""
        return {"taskWebhookUrl": f"{self.url}/task", "crewWebhookUrl": f"{self.url}/crew"}

    def next(self, kind: str) -> Any:
        return self.got[kind].get(timeout=200)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
