"""The routes of the crew API."""

import asyncio
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from batchcrew.server.api import kickoff, resume
from batchcrew.server.api.connections import connection_of
from batchcrew.server.api.executor import Accepted, Busy, Executor, KeyReused, NoExecution, NotPaused
from batchcrew.server.api.kickoff import BadBody
from batchcrew.server.api.openapi import describe
from batchcrew.server.dialects import DEFAULT_DIALECT, DIALECTS
from batchcrew.server.dialects.dialect_format import DialectFormat
from batchcrew.server.dialects.semantic_kernel import SemanticKernel, is_semantic_kernel
from batchcrew.server.faults import Fault, Route
from batchcrew.server.options import MAX_BODY_BYTES, ServeOptions
from batchcrew.server.webhook_targets import NotAllowed, WebhookTargets

LOG = logging.getLogger("batchcrew.server")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPEN_PATHS = frozenset({"/", "/openapi.json"})
"""Answered without a token."""
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Payload Too Large",
    422: "Validation Error",
    429: "Too Many Requests",
    500: "Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
_MESSAGES = {
    404: "path not found",
    405: "this path does not accept that method",
    413: f"the body is larger than {MAX_BODY_BYTES} bytes",
}
BODY_SECONDS = 30.0
"""How long a body may take to arrive."""
MAX_REQUESTS = 256
"""Requests to a real crew that are answered concurrently: each may hold a body in memory."""
_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"


OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
RESUMED = {
    "resumed": "The answer is approved; the execution continues.",
    "retrying": "The task is repeated with this feedback, and then waits for human input again.",
}


class FaultSource(Protocol):
    """Decides which requests fail on purpose."""

    def next(self, route: Route) -> Fault | None:
        """Return the fault of the next request; None if it is answered."""
        ...


@dataclass(slots=True)
class Counters:
    """Requests since the server started."""

    requests: int = 0
    """Kickoff requests with the right token."""
    refused: int = 0
    """Kickoff requests that were invalid, or too many."""
    repeated: int = 0
    """Kickoff requests answered with an execution that was started earlier with the same key."""
    disturbed: int = 0
    """Kickoff and status requests that failed on purpose."""


class Refused(Exception):
    """The request is answered with an error of the dialect."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        missing: list[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.missing, self.headers = status, message, missing, headers


class CrewApi:
    """The handlers of one server."""

    def __init__(
        self,
        options: ServeOptions,
        *,
        token: str,
        executor: Executor,
        targets: WebhookTargets,
        faults: FaultSource,
    ) -> None:
        self.counters = Counters()
        self._options = options
        self._token = token.encode()
        self._executor = executor
        self._targets = targets
        self._faults = faults
        self._format: DialectFormat = DIALECTS[options.dialect]
        self._semantic_kernel: DialectFormat = SemanticKernel()
        self._requests = 0

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._middleware()])
        app.router.add_get("/", self._health)
        app.router.add_get("/inputs", self._inputs, allow_head=False)
        app.router.add_post("/kickoff", self._kickoff)
        app.router.add_post("/kickoff/", self._kickoff)
        if not self._format.id_first_only:
            app.router.add_get("/status/{kickoff_id}", self._status, allow_head=False)
        app.router.add_get("/{kickoff_id}/status", self._status, allow_head=False)
        app.router.add_get("/stats", self._stats, allow_head=False)
        app.router.add_get("/openapi.json", self._openapi, allow_head=False)
        app.router.add_post("/resume", self._resume)
        if self._executor.real:
            app.router.add_get("/metrics", self._metrics, allow_head=False)
        return app

    def stats(self) -> dict[str, int]:
        """Return counts of requests and executions."""
        requests = {
            "kickoff_requests": self.counters.requests,
            "refused": self.counters.refused,
            "repeated": self.counters.repeated,
            "disturbed": self.counters.disturbed,
        }
        return {**requests, **self._executor.stats()}

    def _middleware(self) -> Any:
        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = connection_of(request.transport)
            if connection is not None:
                connection.request_began()
            try:
                if request.path not in OPEN_PATHS:
                    self._check_token(request)
                    if connection is not None:
                        connection.has_token()
                return await self._counted(request, handler)
            except Refused as refused:
                return self._error(refused.status, refused.message, missing=refused.missing, headers=refused.headers)
            except web.HTTPException as error:  # unknown paths, wrong methods, bodies above the limit
                headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
                return self._error(error.status, _MESSAGES.get(error.status, error.reason), headers=headers)
            except Exception:  # a defect: the client gets JSON, and the log gets the traceback
                LOG.exception("the embedded crew server failed on %s %r", request.method, request.path)
                return self._error(500, "a defect of the embedded crew server; see its log")
            finally:
                if connection is not None:
                    connection.request_ended()

        return answer

    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._executor.real and self._requests >= MAX_REQUESTS:
            message = f"{MAX_REQUESTS} requests are being answered, which is the limit"
            raise Refused(503, message, headers={"Retry-After": "1"})
        self._requests += 1
        try:
            return await handler(request)
        finally:
            self._requests -= 1

    def _check_token(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode(errors="surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._token):
            raise Refused(401, "the bearer token is missing or wrong", headers={"WWW-Authenticate": "Bearer"})

    def _format_for(self, request: web.Request) -> DialectFormat:
        """Return the dialect of an answer. One client refuses the default dialect; it is recognized by its name."""
        other = self._options.dialect == DEFAULT_DIALECT and is_semantic_kernel(request.headers)
        return self._semantic_kernel if other else self._format

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="Healthy")

    async def _openapi(self, request: web.Request) -> web.Response:
        return _json(describe(self._format, self._executor))

    async def _stats(self, request: web.Request) -> web.Response:
        return _json(self.stats())

    async def _inputs(self, request: web.Request) -> web.Response:
        headers = {"Idempotency-Key": "supported"} if self._options.idempotency else None
        optional = [entry.name for entry in self._executor.inputs if not entry.required]
        body = {"inputs": self._format_for(request).inputs(self._executor.inputs), "optional_inputs": optional}
        return _json(body, headers=headers)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        fault = self._faults.next("status")
        if fault is not None:
            return self._disturb(request, fault)
        kickoff_id = request.match_info["kickoff_id"]
        seen = self._executor.report(kickoff_id)
        wording = self._format_for(request)
        if seen is None:
            return _json(wording.unknown(kickoff_id), status=404 if wording.unknown_is_404 else 200)
        return _json(wording.status(seen))

    async def _metrics(self, request: web.Request) -> web.Response:
        text = self._executor.metrics().encode()
        return web.Response(body=text, headers={"Content-Type": OPEN_METRICS})

    async def _resume(self, request: web.Request) -> web.Response:
        fault = self._faults.next("resume")
        if fault is not None and not fault.started:
            return self._disturb(request, fault)
        try:
            wanted = resume.read(await self._body(request))
            await self._targets.check_all(wanted.urls)
        except (BadBody, NotAllowed) as error:
            raise Refused(400, str(error)) from None
        try:
            word = self._executor.resume(wanted)
        except NoExecution:
            raise Refused(404, f"there is no execution {wanted.execution_id[:100]}") from None
        except (NotPaused, BadBody) as error:
            raise Refused(400, str(error)) from None
        if fault is not None:
            return self._disturb(request, fault)
        return _json({"status": word, "message": RESUMED[word]})

    async def _kickoff(self, request: web.Request) -> web.StreamResponse:
        self.counters.requests += 1
        try:
            raw = await self._body(request)
            fault = self._faults.next("kickoff")
            if fault is not None and not fault.started:
                return self._disturb(request, fault)
            taken = await self._accepted(raw, self._key(request))
        except BadBody as error:
            self.counters.refused += 1
            raise Refused(422 if error.missing else 400, str(error), missing=error.missing) from None
        except (Refused, web.HTTPRequestEntityTooLarge):
            self.counters.refused += 1
            raise
        if fault is not None:
            return self._disturb(request, fault)
        return _json({"kickoff_id": taken.kickoff_id})

    def _key(self, request: web.Request) -> str | None:
        key = request.headers.get("Idempotency-Key")
        if key is None or not self._options.idempotency:
            return None
        if not _KEY.fullmatch(key):
            raise Refused(400, "the Idempotency-Key must be 1 to 255 printable ASCII characters")
        return key

    async def _accepted(self, raw: bytes, key: str | None) -> Accepted:
        body = kickoff.parse(raw)
        try:
            taken = self._executor.repeated(body, key)
            if taken is None:
                await self._targets.check_all(kickoff.webhook_urls(body.whole))
                taken = self._executor.accept(body, key)
        except Busy as busy:
            status = 503 if busy.stopping else 429
            raise Refused(status, str(busy), headers={"Retry-After": str(busy.retry_after)}) from None
        except NotAllowed as error:
            raise Refused(400, str(error)) from None
        except KeyReused:
            raise Refused(409, "this Idempotency-Key was sent with other inputs before; send a new one") from None
        self.counters.repeated += taken.repeated
        return taken

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None

    def _disturb(self, request: web.Request, fault: Fault) -> web.Response:
        """Answer with a fault, on purpose."""
        self.counters.disturbed += 1
        if fault.status is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault.body is not None:
            return web.Response(text=fault.body, status=fault.status, headers=fault.headers)
        if fault.status == 502:
            return web.Response(text=_GATEWAY, status=502, headers=fault.headers, content_type="text/html")
        return self._error(fault.status, "a failure on purpose, for this rehearsal", headers=fault.headers)

    def _error(
        self,
        status: int,
        message: str,
        *,
        missing: list[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        body = self._format.error(_TITLES.get(status, "Error"), message, missing)
        return _json(body, status=status, headers=headers)


def _json(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), status=status, headers=headers, content_type="application/json")
