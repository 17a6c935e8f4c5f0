"""The routes of the crew API."""

import hmac
import json
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from batchcrew.server import crew
from batchcrew.server.dialects import SPEECHES, Speech
from batchcrew.server.execution import Record, view
from batchcrew.server.faults import Fault, Route
from batchcrew.server.openapi import describe
from batchcrew.server.options import MAX_BODY_BYTES, ServeOptions
from batchcrew.server.state import Executions
from batchcrew.server.webhooks import URL_KEYS, Webhooks

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_KEY = 255


class FaultSource(Protocol):
    """Says what goes wrong with a request."""

    def next(self, route: Route) -> Fault | None: ...


@dataclass(slots=True)
class Counters:
    """Requests since the server started."""

    requests: int = 0
    """Kickoff requests that were let in."""
    refused: int = 0
    repeated: int = 0
    """Kickoffs answered with the execution that their key had started before."""


class Refused(Exception):
    """A request that is answered with an error of the dialect."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


class CrewApi:
    """Handlers of one server."""

    def __init__(
        self,
        options: ServeOptions,
        *,
        token: str,
        executions: Executions,
        webhooks: Webhooks,
        faults: FaultSource,
        chance: random.Random,
        now: Callable[[], float],
    ) -> None:
        self.counters = Counters()
        self._options = options
        self._token = token.encode()
        self._executions = executions
        self._webhooks = webhooks
        self._faults = faults
        self._chance = chance
        self._now = now
        self._speech: Speech = SPEECHES[options.dialect]

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._middleware()])
        app.router.add_get("/", self._health)
        app.router.add_get("/inputs", self._inputs)
        app.router.add_post("/kickoff", self._kickoff)
        app.router.add_post("/kickoff/", self._kickoff)
        if not self._speech.id_first_only:
            app.router.add_get("/status/{kickoff_id}", self._status)
        app.router.add_get("/{kickoff_id}/status", self._status)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/openapi.json", self._openapi)
        return app

    def stats(self) -> dict[str, int]:
        """What was asked and what runs."""
        return {
            "kickoffs": self._executions.kickoffs(),
            "kickoff_requests": self.counters.requests,
            "refused": self.counters.refused,
            "repeated": self.counters.repeated,
            "running": self._executions.running(self._now()),
            "peak_running": self._executions.peak_running,
            "max_kickoffs_per_job": self._executions.most_of_one_job(),
        }

    def _middleware(self) -> Any:
        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                if request.path not in {"/", "/openapi.json"}:
                    self._let_in(request)
                return await handler(request)
            except Refused as refused:
                return _json(refused.body, status=refused.status, headers=refused.headers)
            except web.HTTPException as error:  # unknown paths, wrong methods, bodies over the limit
                headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
                return _json(self._speech.error(error.reason, error.reason), status=error.status, headers=headers)

        return answer

    def _let_in(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode(errors="surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._token):
            body = self._speech.error("Unauthorized", "the bearer token is missing or wrong")
            raise Refused(401, body, {"WWW-Authenticate": "Bearer"})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="Healthy")

    async def _openapi(self, request: web.Request) -> web.Response:
        return _json(describe(self._options.dialect, id_first_only=self._speech.id_first_only))

    async def _stats(self, request: web.Request) -> web.Response:
        return _json(self.stats())

    async def _inputs(self, request: web.Request) -> web.Response:
        headers = {"Idempotency-Key": "supported"} if self._options.idempotency else None
        return _json({"inputs": self._speech.inputs()}, headers=headers)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.next("status")
        if isinstance(fault, int) and fault != 200:
            raise Refused(fault, self._speech.error("Server Error", "a rehearsed fault"))
        if isinstance(fault, str):
            return _dropped(request)
        kickoff_id = request.match_info["kickoff_id"]
        record = self._executions.get(kickoff_id)
        if record is None:
            return _json(self._speech.unknown(kickoff_id), status=404 if self._speech.unknown_is_404 else 200)
        return _json(self._speech.status(view(record, self._now())))

    async def _kickoff(self, request: web.Request) -> web.StreamResponse:
        self.counters.requests += 1
        fault = self._faults.next("kickoff")
        if isinstance(fault, int) and fault != 200:
            self.counters.refused += 1
            headers = {"Retry-After": "1"} if fault in {429, 503} else None
            raise Refused(fault, self._speech.error("Server Error", "a rehearsed fault"), headers)
        if fault == "drop_before_accept":
            return _dropped(request)
        body = self._body(await request.read())
        record = self._started(body, request.headers.get("Idempotency-Key"))
        if fault == "drop_after_accept":
            return _dropped(request)
        if fault == "error_after_accept":
            code = self._chance.choice((500, 502))
            raise Refused(code, self._speech.error("Server Error", "a rehearsed fault, after the crew had started"))
        return _json({"kickoff_id": record.kickoff_id})

    def _started(self, body: dict[str, Any], key: str | None) -> Record:
        """The execution of a kickoff: a new one, or the one that its key has started before."""
        if not self._options.idempotency:
            key = None
        if key is not None:
            key = key[:MAX_KEY]
            known = self._executions.by_key(key)
            if known is not None:
                self.counters.repeated += 1
                return known
        now = self._now()
        if self._options.max_running is not None and self._executions.running(now) >= self._options.max_running:
            self.counters.refused += 1
            raise Refused(
                429,
                self._speech.error("Too Many Requests", f"{self._options.max_running} executions are running"),
                {"Retry-After": "1"},
            )
        record = Record(
            kickoff_id=str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            inputs=body["inputs"],
            meta=body.get("meta"),
            started=now,
            duration=self._options.execution_time.draw(self._chance),
            fails=self._chance.random() < self._options.fail_rate,
        )
        self._executions.add(record, key=key, job=_job_of(record.meta))
        urls = {name: body[name] for name in URL_KEYS if body.get(name)}
        if urls:
            self._webhooks.start(record, urls)
        return record

    def _body(self, raw: bytes) -> dict[str, Any]:
        """The kickoff's body, held against the contract."""
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            raise self._bad("the body is no JSON object") from None
        if not isinstance(body, dict):
            raise self._bad("the body is no JSON object")
        inputs = body.get("inputs", {})
        if not isinstance(inputs, dict):
            raise self._bad("inputs is no object")
        if not isinstance(body.get("meta"), dict | None):
            raise self._bad("meta is no object")
        for name in URL_KEYS:
            url = body.get(name)
            if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
                raise self._bad(f"{name} is no http(s) URL")
        missing = crew.missing_inputs(inputs)
        if missing:
            raise Refused(422, self._speech.missing(missing))
        return {**body, "inputs": inputs}

    def _bad(self, message: str) -> Refused:
        return Refused(400, self._speech.error("Bad Request", message))


def _job_of(meta: Mapping[str, Any] | None) -> str | None:
    """`batch/job` as batchcrew says it in `meta`, so that `/stats` can count kickoffs per job."""
    said = (meta or {}).get("batchcrew")
    if not isinstance(said, dict):
        return None
    return json.dumps([said.get("batch"), said.get("job")])


def _json(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    # ASCII: what a lone surrogate in the inputs makes of UTF-8 is nobody's business here
    return web.Response(text=json.dumps(body), status=status, headers=headers, content_type="application/json")


def _dropped(request: web.Request) -> web.Response:
    """Cut the connection off without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
