"""A crew that records the inputs that it receives; each execution has ended when it is polled."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class PlainCrew:
    """Use as a context manager.

    Args:
        inputs: the answer of `GET /inputs` as JSON; an integer is a status code without a body.
    """

    def __init__(self, inputs: Any = None) -> None:
        self.inputs = inputs
        self.requests = 0
        self.sent: list[dict[str, Any]] = []
        """The inputs of each kickoff, in order."""
        self.failing = False
        """Executions that are polled from now on have failed."""
        self.error_of: Callable[[dict[str, Any]], str | None] = lambda inputs: None
        """Returns the error of an execution with these inputs; None: it succeeds."""
        self.extras: dict[str, Any] = {}
        """Further fields of the answer about an execution that succeeded."""
        self._lock = threading.Lock()
        crew = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                crew.requests += 1
                if self.path == "/inputs":
                    self.answer(crew.inputs)
                elif crew.failing:
                    self.answer({"status": "error", "error": "no luck"})
                elif error := crew.error_of(crew.inputs_of(self.path.rsplit("/", 1)[1])):
                    self.answer({"status": "error", "error": error})
                else:
                    result = {"output": crew.output(self.path.rsplit("/", 1)[1])}
                    self.answer({"status": "completed", "result": result, **crew.extras})

            def do_POST(self) -> None:
                crew.requests += 1
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with crew._lock:
                    crew.sent.append(body["inputs"])
                    number = len(crew.sent)
                self.answer({"kickoff_id": f"k-{number}"})

            def answer(self, body: Any) -> None:
                code = body if isinstance(body, int) else 200
                text = b"" if isinstance(body, int) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as http.server has it
                del format, arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def output(self, kickoff_id: str) -> str:
        """The output of the execution: its inputs, so that each output shows its inputs."""
        return json.dumps(self.inputs_of(kickoff_id), sort_keys=True)

    def inputs_of(self, kickoff_id: str) -> dict[str, Any]:
        """The inputs of the execution."""
        return self.sent[int(kickoff_id.removeprefix("k-")) - 1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="plain-crew", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
