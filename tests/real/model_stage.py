"""A model server of the OpenAI API on this machine, for projects whose agents name a model of OpenAI."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def repeat(said: str) -> str:
    """Answer with the message, so that an answer shows the inputs of its row."""
    return f"Said: {said[:300]}"


class LoopbackServer:
    """A model server on the loopback address; use it as `with server.running():`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def variables(self) -> dict[str, str]:
        """Return the environment in which crewai uses this server."""
        return {"OPENAI_API_BASE": self.url, "OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "x", "MODEL": "gpt-4o"}

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class ModelServer(LoopbackServer):
    """Answers each chat from its last message.

    Args:
        answer_to: makes the answer.
        prefix: put before each answer; early versions of crewai demand `Final Answer:`.
    """

    def __init__(self, answer_to: Callable[[str], str] = repeat, prefix: str = "") -> None:
        self.chats: list[str] = []
        chats = self.chats

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/embeddings"):
                    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                    data = [{"object": "embedding", "index": n, "embedding": [0.1] * 1536} for n, _ in enumerate(texts)]
                    answer: Any = {"object": "list", "data": data, "model": body["model"], "usage": USAGE}
                else:
                    chats.append(str(body["messages"][-1]["content"]))
                    message = {"role": "assistant", "content": prefix + answer_to(chats[-1])}
                    choice = {"index": 0, "finish_reason": "stop", "message": message}
                    answer = {
                        "id": "1", "object": "chat.completion", "created": 1, "model": body["model"],
                        "choices": [choice], "usage": USAGE,
                    }  # fmt: skip
                sent = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        super().__init__(Handler)
