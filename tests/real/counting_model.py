"""A model server of the OpenAI API that counts what it answers, for each row whose marker is in the request.

It calls the first tool that is offered once, fills in the schemas of tools and typed answers, and streams on request.
Each answer repeats the markers of its request: an answer with another row's marker has seen that row.
"""

import json
import re
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler
from typing import Any

from model_stage import LoopbackServer

MARKER = re.compile(r"ROW\d+X")
NAMES = ("prompt_tokens", "completion_tokens", "total_tokens")


class CountingModel(LoopbackServer):
    """Counts the tokens of each row. Its prompts are as long as the request has words."""

    def __init__(self) -> None:
        self.rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Tokens by marker; those of requests with no marker, or with several, are under their markers in one text."""
        self.embeddings = 0
        self.requests: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._together: dict[str, threading.Barrier] = {}
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send({"object": "list", "data": []})

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                body = json.loads(text)
                if self.path.endswith("/embeddings"):
                    self._send(model.embedded(body))
                elif body.get("stream"):
                    self._stream(model.answer(body, text), body)
                else:
                    self._send(model.answer(body, text))

            def _send(self, answer: Any) -> None:
                self._write(json.dumps(answer).encode(), "application/json")

            def _stream(self, answer: dict[str, Any], body: dict[str, Any]) -> None:
                (choice,), usage = answer["choices"], answer.pop("usage")
                answer["object"] = "chat.completion.chunk"
                delta = choice.pop("message")
                for number, call in enumerate(delta.get("tool_calls", ())):
                    call["index"] = number
                last = {"index": 0, "delta": {}, "finish_reason": choice.pop("finish_reason")}
                chunks: list[Any] = [
                    {**answer, "choices": [{"index": 0, "delta": delta}]}, {**answer, "choices": [last]}
                ]  # fmt: skip
                if (body.get("stream_options") or {}).get("include_usage"):
                    chunks.append({**answer, "choices": [], "usage": usage})
                parts = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
                self._write("".join([*parts, "data: [DONE]\n\n"]).encode(), "text/event-stream")

            def _write(self, sent: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        super().__init__(Handler)
        self._server.daemon_threads = True

    def together(self, *markers: str) -> None:
        """Hold the first request of each of these rows until all of them have arrived."""
        barrier = threading.Barrier(len(markers))
        with self._lock:
            self._together.update(dict.fromkeys(markers, barrier))

    def count(self, marker: str) -> dict[str, int]:
        """Return the tokens of a row, and how many requests it made."""
        with self._lock:
            return dict(self.rows[marker])

    def embedded(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": n, "embedding": [0.1] * 1536} for n, _ in enumerate(texts)]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        with self._lock:
            self.embeddings += 1
        return {"object": "list", "data": data, "model": body["model"], "usage": usage}

    def answer(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        """Answer a chat, and count its tokens."""
        markers = sorted(set(MARKER.findall(text)))
        message = _message(body, " ".join(markers))
        counts = (len(text.split()), len(json.dumps(message).split()) + 3)
        usage = dict(zip(NAMES, (*counts, sum(counts)), strict=True))
        with self._lock:
            self.rows[" ".join(markers)].update({**usage, "successful_requests": 1})
            self.requests.append(body)
            barrier = self._together.pop(" ".join(markers), None)
        if barrier is not None:
            barrier.wait(timeout=100)
        reason = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "finish_reason": reason, "message": message}
        return {
            "id": "1", "object": "chat.completion", "created": 1, "model": body.get("model", ""), "choices": [choice],
            "usage": usage,
        }  # fmt: skip

    def variables(self) -> dict[str, str]:
        """Return the environment in which crewai uses this server."""
        return {**super().variables(), "OPENAI_MODEL_NAME": "gpt-4o"}


def _message(body: dict[str, Any], markers: str) -> dict[str, Any]:
    messages = body.get("messages") or [{"role": "user", "content": ""}]
    tools = [one["function"] for one in body.get("tools") or () if "function" in one]
    forced = isinstance(body.get("tool_choice"), dict) or body.get("tool_choice") == "required"
    done = any(one.get("role") == "tool" or one.get("tool_calls") for one in messages)
    if tools and (forced or not done):
        tool = tools[0]
        arguments = _filled(tool.get("parameters") or {}, markers, tool.get("description", ""))
        function = {"name": tool["name"], "arguments": json.dumps(arguments)}
        call = {"id": "c1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    wanted = (body.get("response_format") or {}).get("json_schema")
    if wanted:
        return {"role": "assistant", "content": json.dumps(_filled(wanted["schema"], markers, ""))}
    last = str(messages[-1].get("content"))
    return {"role": "assistant", "content": f"{markers} said about: {last[:300]}"}


def _filled(schema: dict[str, Any], markers: str, about: str, top: dict[str, Any] | None = None, name: str = "") -> Any:
    """Return a value for a JSON schema; its texts are the markers of the request."""
    top = top or schema
    if "$ref" in schema:
        return _filled(top["$defs"][schema["$ref"].rpartition("/")[2]], markers, about, top, name)
    if "anyOf" in schema:
        return _filled(schema["anyOf"][0], markers, about, top, name)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        fields = schema.get("properties", {})
        return {field: _filled(what, markers, about, top, field) for field, what in fields.items()}
    if kind == "array":
        return [_filled(schema.get("items", {}), markers, about, top, name)]
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    if name == "coworker":  # the description of the library's tool ends with the names of the agents
        named = re.search(r"(?i)coworkers?:?\s*\[?([^\n,\].]+)", about)
        return named[1].strip() if named else "Writer"
    return f"{markers} {name}"
