"""A crew server that answers in every shape that deployed crews and wrappers use. It shares no code with the client.

Each shape is an endpoint under its own name: `URL/SHAPE/kickoff`. It says how a kickoff is answered, and how its polls
are, one after another; the last answer is repeated.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

TASKS = [{"task_id": "plan", "output": "a plan", "agent": "Planner", "execution_time": 1.5}]
TASK_DUMPS = [{"description": "Plan it", "name": "plan", "raw": "a plan", "agent": "Planner"}]
TOKENS = {"total_tokens": 30, "prompt_tokens": 20, "completion_tokens": 10}
DUMP = {"raw": "{text}", "pydantic": None, "json_dict": None, "tasks_output": TASK_DUMPS, "token_usage": TOKENS}


@dataclass(frozen=True)
class Shape:
    """How one server words its answers, and what batchcrew must make of them.

    Texts may contain `{text}`, which is different for each job, and `{id}`, the execution's id.

    Args:
        kickoff: the answer to a kickoff; a text is sent as it is, `bytes` too, other values as JSON.
        polls: the answers to status requests.
        output: what must be stored as the output.
        error: what must be stored as the reason of the failure; empty: it succeeds.
        value: what must be stored as JSON.
        number: the ids are numbers.
        settings: settings of the crew in the job file.
        route: `status/ID` or `ID/status`.
        code: of the answer to a kickoff.
        charset: of the answers to polls.
    """

    kickoff: Any = field(default_factory=lambda: {"kickoff_id": "{id}"})
    polls: tuple[Any, ...] = ({"status": "completed", "result": {"output": "{text}", "tasks": []}},)
    output: str | None = "{text}"
    error: str = ""
    value: Any = None
    number: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    route: str = "status/ID"
    code: int = 200
    charset: str = "utf-8"


def ends(answer: Any, **expected: Any) -> Shape:
    """Return a shape whose executions have ended when they are polled."""
    return Shape(polls=(answer,), **expected)


def starts(kickoff: Any, **expected: Any) -> Shape:
    """Return a shape that differs in its answers to kickoffs."""
    return Shape(kickoff=kickoff, **expected)


def results(kickoff: Any, **expected: Any) -> Shape:
    """Return a shape whose kickoffs are answered with the result; a poll would fail the job."""
    return Shape(kickoff=kickoff, polls=(), **expected)


SYNC = {"sync": True}
CITY = {"city": "{text}", "days": 3}
CITY_TEXT = '{"city":"{text}","days":3}'
SHAPES: dict[str, Shape] = {
    # kickoffs
    "guide": Shape(),
    "created": starts({"kickoff_id": "{id}"}, code=201),
    "accepted": starts({"kickoff_id": "{id}", "status": "started"}, code=202),
    "number": starts({"kickoff_id": "{id}"}, number=True),
    "id": starts({"id": "{id}", "message": "The crew was started"}),
    "camel": starts({"kickoffId": "{id}"}),
    "execution-id": starts({"execution_id": "{id}", "id": "request-9"}),
    "job-id": starts({"job_id": "{id}"}),
    "run-id": starts({"run_id": "{id}", "status": "queued"}),
    "task-id": starts({"task_id": "{id}"}),
    "data": starts({"success": True, "data": {"kickoff_id": "{id}"}}),
    "result-id": starts({"result": {"kickoff_id": "{id}"}}),
    "bare-text": starts('"{id}"'),
    "bare-number": starts("{id}", number=True),
    "with-error": starts({"kickoff_id": "{id}", "error": "the webhook cannot be reached"}),
    # status
    "other-route": Shape(route="ID/status"),
    "case": Shape(polls=({"state": "In-Progress", "status": "x"}, {"state": "COMPLETED", "result": "{text}"})),
    "running": Shape(polls=({"status": "pending"}, {"status": "running"}, {"state": "SUCCESS", "result": "{text}"})),
    "unknown-word": Shape(polls=({"status": "warming up"}, {"status": "done", "result": "{text}"})),
    "no-status": Shape(polls=({"what": "is this"}, {"status": "completed", "result": "{text}"})),
    "late-result": Shape(polls=({"status": "completed", "result": None}, {"status": "completed", "result": "{text}"})),
    "complete": ends({"status": "complete", "result": "{text}"}),
    "finished": ends({"status": "finished", "result": "{text}"}),
    "succeeded": ends({"status": "succeeded", "result": "{text}"}),
    "ok": ends({"status": "ok", "result": "{text}"}),
    # results
    "live": ends({"state": "SUCCESS", "result": "{text}", "result_json": {"a": 1}, "last_step": None}, value={"a": 1}),
    "object": ends({"status": "completed", "result": CITY}, output=CITY_TEXT, value=CITY),
    "json-text": ends({"status": "completed", "result": CITY_TEXT}, output=CITY_TEXT, value=CITY),
    "list": ends({"status": "completed", "result": ["{text}"]}, output='["{text}"]', value=["{text}"]),
    "only-json": ends({"status": "completed", "result_json": CITY}, output=CITY_TEXT, value=CITY),
    "final-output": ends({"status": "completed", "final_output": "{text}"}),
    "output": ends({"status": "completed", "output": "{text}"}),
    "raw": ends({"status": "completed", "raw": "{text}"}),
    "response": ends({"status": "completed", "result": "", "response": "{text}"}),
    "last-task": ends({"status": "completed", "last_executed_task": {"output": "{text}"}}),
    "dump": ends({"status": "completed", "result": DUMP}),
    "dump-at-top": ends({"status": "completed", **DUMP}),
    "dump-json": ends({"status": "done", "result": {**DUMP, "json_dict": CITY}}, value=CITY),
    # wrappers
    "wrapped": ends({"data": {"status": "completed", "result": "{text}"}}),
    "wrapped-twice-said": ends({"status": "success", "data": {"state": "done", "output": "{text}"}}),
    "wrapped-result": ends({"status": "completed", "data": {"result": "{text}", "tasks": TASKS}}),
    # failures
    "failed": ends({"status": "failed", "error": "no {text}"}, output=None, error="no {text}"),
    "error-object": ends(
        {"state": "FAILURE", "error": {"message": "no {text}", "code": 500}}, output=None, error="no {text}"
    ),
    "failed-result": ends({"status": "error", "result": "no {text}"}, output=None, error="no {text}"),
    "cancelled": ends({"status": "cancelled"}, output=None, error="cancelled (the crew gave no reason)"),
    "wrapped-failure": ends({"data": {"status": "failed"}, "error": "no {text}"}, output=None, error="no {text}"),
    # encodings
    "nan": ends(
        '{"status": "completed", "result": {"text": "{text}", "n": NaN}}',
        output='{"text":"{text}","n":null}',
        value={"text": "{text}", "n": None},
    ),
    "latin-1": ends(
        '{"status": "completed", "result": "M\xfcnchen {text}"}', output="M\xfcnchen {text}", charset="latin-1"
    ),
    "half-emoji": ends('{"status": "completed", "result": "{text} \\ud83d"}', output="{text} ?"),
    # results in place of an id
    "direct": results({"result": "{text}"}),
    "direct-status": results({"status": "completed", "output": "{text}"}),
    "direct-dump": results(DUMP),
    "direct-wrapped": results({"success": True, "data": {"final_output": "{text}"}}),
    "direct-failed": results({"status": "failed", "error": "no {text}"}, output=None, error="no {text}"),
    "sync": results({"result": "{text}"}, settings=SYNC),
    "sync-text": results("{text}", settings=SYNC),
    "sync-object": results(CITY, output=CITY_TEXT, value=CITY, settings=SYNC),
    "sync-error": results({"error": "no {text}"}, output=None, error="no {text}", settings=SYNC),
    "sync-with-id": results({"kickoff_id": "{id}", "status": "completed", "result": "{text}"}, settings=SYNC),
    # requests
    "flat": Shape(settings={"body": "flat", "meta": False}),
    "api-key": Shape(settings={"auth": {"header": "API-Key", "scheme": ""}}),
    "tenant": Shape(settings={"headers": {"X-Tenant": "${TENANT}"}}),
    "cookies": Shape(settings={"cookies": True}),
}


def filled(value: Any, **texts: str) -> Any:
    """Return a value with its placeholders replaced, at any depth."""
    if isinstance(value, str):
        for name, text in texts.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {name: filled(item, **texts) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, **texts) for item in value]
    return value


class ShapesCrew:
    """Run the server in a thread; use it as a context manager."""

    def __init__(self, token: str, tenant: str) -> None:
        self._token = token
        self._tenant = tenant
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="shapes-crew")
        self._executions: dict[str, tuple[str, str]] = {}
        self._polls: Counter[str] = Counter()
        self.kickoffs: Counter[tuple[str, str]] = Counter()
        """Kickoffs by shape and text."""
        self.wrong: list[str] = []
        """Requests that this server does not understand."""

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._ready.result()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self._ready.set_result(server.sockets[0].getsockname()[1])
        await self._over.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                code, answer, charset = self._answer(method, path.strip("/").split("/"), headers, body)
                kind = "" if charset == "utf-8" else f"; charset={charset}"
                data = answer.encode(charset)
                lines = [f"HTTP/1.1 {code} So", f"Content-Type: application/json{kind}", f"Content-Length: {len(data)}"]
                writer.write("\r\n".join([*lines, "Set-Cookie: node=7; Path=/", "", ""]).encode() + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: list[str], headers: dict[str, str], body: bytes) -> tuple[int, str, str]:
        name, *rest = path
        shape = SHAPES[name]
        mistake = self._mistake(shape, method, rest, headers)
        if mistake:
            self.wrong.append(f"{method} {'/'.join(path)}: {mistake}")
            return 400, json.dumps({"error": mistake}), "utf-8"
        if rest == ["inputs"]:
            return 200, json.dumps({"inputs": ["text"]}), "utf-8"
        if rest == ["kickoff"]:
            return self._kickoff(name, shape, json.loads(body))
        words = shape.route.split("/")
        if len(rest) != 2 or rest[words.index("status")] != "status":
            return 404, '{"detail": "Not Found"}', "utf-8"
        kickoff_id = rest[words.index("ID")]
        if not shape.polls or kickoff_id not in self._executions:
            self.wrong.append(f"{method} {'/'.join(path)}: nothing to poll")
            return 404, '{"detail": "Not Found"}', "utf-8"
        self._polls[kickoff_id] += 1
        answer = shape.polls[min(self._polls[kickoff_id], len(shape.polls)) - 1]
        return 200, self._written(answer, kickoff_id, self._executions[kickoff_id][1]), shape.charset

    def _mistake(self, shape: Shape, method: str, rest: list[str], headers: dict[str, str]) -> str | None:
        settings = shape.settings
        name, value = ("api-key", self._token) if "auth" in settings else ("authorization", f"Bearer {self._token}")
        if headers.get(name) != value:
            return "no token"
        if "headers" in settings and headers.get("x-tenant") != self._tenant:
            return "no tenant"
        if settings.get("cookies") and rest != ["inputs"] and headers.get("cookie") != "node=7":
            return "no cookie"
        return None if (method == "POST") == (rest == ["kickoff"]) else "another method"

    def _kickoff(self, name: str, shape: Shape, body: dict[str, Any]) -> tuple[int, str, str]:
        flat = shape.settings.get("body") == "flat"
        expected = {"text"} if flat else {"inputs", "meta"}
        if set(body) != expected:
            self.wrong.append(f"{name}: {sorted(body)}")
            return 422, '{"detail": "Extra inputs are not permitted"}', "utf-8"
        text = body["text"] if flat else body["inputs"]["text"]
        self.kickoffs[name, text] += 1
        kickoff_id = str(len(self._executions) + 1000) if shape.number else f"{name}-{len(self._executions)}"
        self._executions[kickoff_id] = (name, text)
        return shape.code, self._written(shape.kickoff, kickoff_id, text, number=shape.number), "utf-8"

    def _written(self, answer: Any, kickoff_id: str, text: str, *, number: bool = False) -> str:
        if number and isinstance(answer, dict):
            answer = {key: int(kickoff_id) if item == "{id}" else item for key, item in answer.items()}
        filled_in = filled(answer, id=kickoff_id, text=text)
        return filled_in if isinstance(filled_in, str) else json.dumps(filled_in)
