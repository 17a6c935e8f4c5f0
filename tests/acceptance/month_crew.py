"""A crew server for the month: it keeps every kickoff, and its output says which kickoff it is and of which inputs."""

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from month_model import FAILS, INPUTS, Inputs


@dataclass(frozen=True)
class Kickoff:
    """One paid execution."""

    number: int
    job_id: str
    inputs: Inputs

    @property
    def output(self) -> str:
        """The output for the inputs; its number is unique to this execution."""
        return f"answer {self.number}: {'|'.join(self.inputs)}"


class MonthCrew:
    """Use as a context manager. Repeated kickoffs with one Idempotency-Key are one execution.

    Args:
        first: the number of the first kickoff, so that two servers give no number twice.
    """

    def __init__(self, first: int) -> None:
        self.kickoffs: list[Kickoff] = []
        self.problems: list[str] = []
        """What no client may do."""
        self.answering = threading.Event()
        """While it is not set, a kickoff is accepted and its answer does not come."""
        self.answering.set()
        self._first = first
        self._held_from: int | None = None
        self._keys: dict[str, Kickoff] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def hold(self) -> None:
        """From now on, executions that start do not end before `release`."""
        self._held_from = self._first + len(self.kickoffs)

    def release(self) -> None:
        """Let every execution end."""
        self._held_from = None

    def _accept(self, key: str, body: dict[str, Any]) -> Kickoff:
        given = body["inputs"]
        with self._lock:
            if sorted(given) != sorted(INPUTS):
                self.problems.append(f"inputs {sorted(given)} were sent")
            inputs: Inputs = (str(given.get("topic")), str(given.get("tone")))
            known = self._keys.get(key)
            if known is None:
                number = self._first + len(self.kickoffs)
                known = self._keys[key] = Kickoff(number, str(body["meta"]["batchcrew"]["job"]), inputs)
                self.kickoffs.append(known)
            elif known.inputs != inputs:
                self.problems.append(f"the key of {known} was sent again with {inputs}")
            return known

    def _status(self, number: int) -> dict[str, Any]:
        if self._held_from is not None and number >= self._held_from:
            return {"state": "RUNNING"}
        kickoff = self.kickoffs[number - self._first]
        if kickoff.inputs[0].startswith(FAILS):
            return {"state": "FAILED", "error": f"no sources for {kickoff.inputs[0]}"}
        return {"state": "SUCCESS", "result": kickoff.output}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        crew = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/inputs":
                    self._answer({"inputs": list(INPUTS)})
                else:
                    self._answer(crew._status(int(self.path.rsplit("/", 1)[1])))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kickoff = crew._accept(self.headers["Idempotency-Key"], body)
                crew.answering.wait()
                self._answer({"kickoff_id": str(kickoff.number)})

            def _answer(self, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                head = (
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nIdempotency-Key: supported\r\n"
                    f"Content-Length: {len(data)}\r\n\r\n"
                )
                self.wfile.write(head.encode() + data)

            def handle(self) -> None:
                with suppress(ConnectionError):  # the run was killed
                    super().handle()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
                """Print nothing."""

        return Handler
