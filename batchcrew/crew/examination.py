"""Examines the server of a crew without an execution, for `doctor`: requests that start nothing, in bounded time."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

from yarl import URL

from batchcrew.base.clock import Clock
from batchcrew.crew import diagnoses
from batchcrew.crew.answers import STOPS_EVERYTHING, described, http_date
from batchcrew.crew.client import CrewClient
from batchcrew.crew.connect import STATUS_ROUTES
from batchcrew.crew.exchange import NoReply, Reply
from batchcrew.crew.server_text import as_utf8, is_page
from batchcrew.model.crew_answers import CrewInputs
from batchcrew.model.diagnosis import CrewExamination, Diagnosis

LIMITS = 3
"""Longest time of an examination, as a multiple of the time for one request."""
_NO_SUCH_PATH = "no-such-path"


@dataclass(slots=True)
class _Times:
    """The facts about the connection that the answers have shown."""

    seconds: list[float] = field(default_factory=list)
    offsets: list[float] = field(default_factory=list)
    """Seconds by which the server's clock was ahead."""
    reused: bool = False
    closes: bool = False
    idle_limit: float | None = None
    http_version: str = "1.1"


class Examination:
    """Examines one crew.

    Args:
        client: opened.
        keepalive: `crew.keepalive`, in seconds.
        limit: longest time of one request, in seconds.
    """

    def __init__(self, client: CrewClient, *, keepalive: float, clock: Clock, limit: float) -> None:
        self._client = client
        self._keepalive = keepalive
        self._clock = clock
        self._limit = limit
        self._until = clock.monotonic() + LIMITS * limit
        self._parts = client.parts
        self._times = _Times()

    async def run(self, name: str, url: str) -> CrewExamination:
        """Examine the crew.

        Args:
            name: the crew's name, for the result.
            url: the crew's address, for the result.
        """
        parts = self._parts
        first = await self._timed(partial(parts.exchange.get, parts.endpoints.inputs))
        if isinstance(first, NoReply):
            reason = parts.secrets.clean(first.reason)
            wrong = diagnoses.not_reached(first.kind, reason, refused=first.refused, local=first.local)
            return CrewExamination(name=name, url=url, diagnoses=(wrong,))
        answer = self._client.inputs_in(first)
        inputs = answer if isinstance(answer, CrewInputs) else None
        found = [*await self._connections(first), await self._token(first)]
        if first.code not in STOPS_EVERYTHING:
            page = is_page(as_utf8(first.body, first.charset))
            found.append(diagnoses.inputs(answer, code=first.code, page=page))
            if inputs is not None:
                found.append(diagnoses.idempotency(inputs))
            found.append(await self._kickoff_path(lists_inputs=inputs is not None))
            if not self._client.answers_with_results:
                found += await self._status_paths()
        declared = await self._declares_webhooks()
        found += [*self._measured(), diagnoses.webhooks(parts.endpoints.base, declared=declared)]
        return CrewExamination(name=name, url=url, diagnoses=tuple(found), inputs=inputs)

    async def _connections(self, first: Reply) -> list[Diagnosis]:
        """Return the checks of the connection to the server, from the first answer."""
        base, proxy = self._parts.endpoints.base, self._parts.exchange.proxy
        found = [diagnoses.ok("reachable", f"{base.host_port_subcomponent} answers"), diagnoses.proxy(proxy)]
        if first.moved_to is not None:
            text = f"the server redirects to {self._parts.secrets.clean(str(first.moved_to.with_query(None)))}"
            found.append(diagnoses.warning("url", text, "set `url:` to this address, without /inputs"))
        if base.scheme == "https":
            certificate = await self._certificate() if proxy is None else None
            found.append(diagnoses.certificate(certificate, self._clock.now()))
        return found

    async def _certificate(self) -> diagnoses.Certificate | None:
        """Open one more connection, and return the certificate; None if that fails."""
        base, context = self._parts.endpoints.base, self._parts.exchange.tls
        try:
            async with asyncio.timeout(self._left()):
                _, writer = await asyncio.open_connection(base.host, base.port, ssl=context)
                try:
                    return _certificate_of(writer)
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except (OSError, ValueError):
            return None

    async def _token(self, first: Reply) -> Diagnosis:
        """Return whether the token is accepted: the same request without it may be answered as well."""
        parts, without = self._parts, None
        header = parts.token_header
        if header is not None and first.good:
            reply = await self._timed(partial(parts.exchange.get, parts.endpoints.inputs, {header: ""}))
            without = reply.code if isinstance(reply, Reply) else None
        return diagnoses.token(given=header is not None, with_token=first.code, without_token=without)

    async def _kickoff_path(self, *, lists_inputs: bool) -> Diagnosis:
        parts = self._parts
        codes = []
        for url in (parts.endpoints.kickoff, parts.endpoints.under(f"/{_NO_SUCH_PATH}")):
            reply = await self._timed(partial(parts.exchange.options, url))
            codes.append(reply.code if isinstance(reply, Reply) else None)
        return diagnoses.kickoff_path(*codes, lists_inputs=lists_inputs)

    async def _status_paths(self) -> list[Diagnosis]:
        """Poll an execution that does not exist, on each path, and compare with a path that does not exist."""
        kickoff_id, parts = str(uuid4()), self._parts
        missing = await self._get(parts.endpoints.under(f"/{_NO_SUCH_PATH}/{kickoff_id}"))
        if not isinstance(missing, Reply):
            return [diagnoses.status_paths((), None)]
        found, code = [], None
        for route, path in enumerate(STATUS_ROUTES):
            reply = await self._get(parts.endpoints.status(kickoff_id, route))
            if not isinstance(reply, Reply) or reply.code >= 500:
                continue
            if reply.code in {401, 403} and reply.code != missing.code:
                return [
                    diagnoses.problem(
                        "status",
                        f"status requests on {path} are refused ({described(reply.code, '')})",
                        "the token may not be allowed to read executions; check `token:`",
                    )
                ]
            if _shape(reply, kickoff_id) != _shape(missing, kickoff_id):
                found.append(path)
                code = reply.code
        return [diagnoses.status_paths(found, code)]

    async def _declares_webhooks(self) -> bool | None:
        """Return whether the crew's OpenAPI description has webhooks; None if it has no description."""
        reply = await self._get(self._parts.endpoints.under("/openapi.json"))
        if not isinstance(reply, Reply) or not reply.good or b'"openapi"' not in reply.body:
            return None
        return b"crewWebhookUrl" in reply.body

    def _measured(self) -> list[Diagnosis]:
        times = self._times
        offset = min(times.offsets, key=abs) if times.offsets else None
        found = [diagnoses.latency(times.seconds[0], times.seconds[1:]), diagnoses.clock(offset)]
        if len(times.seconds) == 1:  # no other request could have used its connection
            return found
        return [
            *found,
            diagnoses.connection(
                http_version=times.http_version,
                closes=times.closes,
                reused=times.reused,
                idle_limit=times.idle_limit,
                keepalive=self._keepalive,
            ),
        ]

    async def _get(self, url: URL) -> Reply | NoReply:
        return await self._timed(partial(self._parts.exchange.get, url))

    async def _timed(self, send: Callable[[], Awaitable[Reply | NoReply]]) -> Reply | NoReply:
        """Send a request within the time that is left, and measure its answer."""
        limit, sent_at, before = self._left(), self._clock.monotonic(), self._clock.now()
        try:
            async with asyncio.timeout(limit):
                reply = await send()
        except TimeoutError:
            return NoReply(f"no complete answer within {limit:.0f}s")
        if isinstance(reply, Reply):
            self._note(reply, self._clock.monotonic() - sent_at, before)
        return reply

    def _left(self) -> float:
        return max(0.0, min(self._limit, self._until - self._clock.monotonic()))

    def _note(self, reply: Reply, seconds: float, before: datetime) -> None:
        times = self._times
        times.seconds.append(seconds)
        times.reused = times.reused or reply.reused
        times.http_version = reply.http_version
        times.closes = times.closes or reply.headers.get("Connection", "").casefold() == "close"
        times.idle_limit = _idle_limit(reply.headers.get("Keep-Alive", "")) or times.idle_limit
        date = http_date(reply.headers.get("Date", ""))
        if date is not None and "Age" not in reply.headers:  # a cache repeats an old date
            times.offsets.append(_offset(date, before, before + timedelta(seconds=seconds)))


def _offset(date: datetime, before: datetime, after: datetime) -> float:
    """Return by how many seconds the server's clock is ahead, at least.

    Args:
        date: the server's time, without the fraction of its second.
        before: when the request was sent.
        after: when the answer had arrived.
    """
    ahead, behind = (date - after).total_seconds(), (before - date).total_seconds() - 1
    return max(ahead, 0.0) or -max(behind, 0.0)


def _certificate_of(writer: asyncio.StreamWriter) -> diagnoses.Certificate:
    peer = writer.get_extra_info("peercert") or {}
    ssl_object = writer.get_extra_info("ssl_object")
    expires = None
    if "notAfter" in peer:
        expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(peer["notAfter"]), UTC)
    return diagnoses.Certificate(expires=expires, protocol=(ssl_object and ssl_object.version()) or "")


def _idle_limit(header: str) -> float | None:
    """Return the seconds of `Keep-Alive: timeout=5`."""
    for part in header.split(","):
        key, _, value = part.strip().partition("=")
        if key.casefold() == "timeout" and value.isdecimal() and len(value) < 10:
            return float(value)
    return None


def _shape(reply: Reply, kickoff_id: str) -> tuple[int, bytes]:
    """Return an answer without the parts that repeat the request's path."""
    body = reply.body
    for repeated in (kickoff_id, _NO_SUCH_PATH, "status"):
        body = body.replace(repeated.encode(), b"")
    return reply.code, body
