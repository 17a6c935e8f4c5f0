"""One deployed crew, spoken to over HTTP. Every answer, and every lack of one, comes back as a value.

How a request travels stands in `exchange`; what its answer means in `answers` (codes), `dialect` (payloads)
and `failures` (no answer at all).
"""

import asyncio
import json
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import orjson

from batchcrew import __version__
from batchcrew.base.clock import Clock
from batchcrew.base.errors import UsageError
from batchcrew.config.crews import CrewSettings
from batchcrew.crew import dialect
from batchcrew.crew.answers import (
    REFUSED_FOR_NOW,
    STOPS_EVERYTHING,
    described,
    kickoff_refusal,
    retry_after_seconds,
    stopping,
)
from batchcrew.crew.connect import STATUS_ROUTES, Endpoints, is_loopback
from batchcrew.crew.dialect import NotUnderstood
from batchcrew.crew.exchange import Exchange, NoReply, Reply
from batchcrew.crew.server_text import REDACTED, as_utf8, clean, server_words
from batchcrew.model.attempt import Attempt
from batchcrew.model.crew_answers import (
    Accepted,
    BadInputs,
    CrewInputs,
    Doubtful,
    KickoffAnswer,
    NotSent,
    StatusAnswer,
    Unclear,
    Unusable,
)
from batchcrew.model.execution import Execution

logger = logging.getLogger("batchcrew.crew")

BIG_ANSWER = 256 * 1024
"""A larger answer (bytes) is parsed in a thread: it would hold up all other executions."""
MAX_WORD_WARNINGS = 20
"""Unknown status words that are warned about; a server that invents more is no news."""
MIN_SECRET = 8
"""A token shorter than this is not looked for in a crew's results: ordinary text would hold it."""


class CrewClient:
    """The API of one deployed crew. Use it as an async context manager; all executions of a crew share one.

    Args:
        name: the crew's name in the job file, for messages.
        settings: URL, token, timeouts and the largest answer.
        url: where the crew is in place of `settings.location` (the embedded crew of this run); no proxy is used then.
        token: in place of `settings.token`.
        concurrency: most connections for kickoffs, and as many again for questions.
        clock: what `Retry-After` dates are compared with.
        warn: told, once each, what a person may want to know: an unknown status word, a token over plain http.

    Raises:
        UsageError: the URL or the token cannot be one.
    """

    def __init__(
        self,
        name: str,
        settings: CrewSettings,
        *,
        url: str | None = None,
        token: str | None = None,
        concurrency: int,
        clock: Clock,
        warn: Callable[[str], None],
    ) -> None:
        self._name = name
        self._endpoints = Endpoints(name, settings.location if url is None else url)
        self._kickoff_url = self._endpoints.kickoff
        self._token = _checked_token(name, settings, token)
        self._secret = self._token.encode() if len(self._token) >= MIN_SECRET else b""
        self._clock = clock
        self._warn = warn
        self._warned_words: set[str] = set()
        self._route: int | None = None  # which of STATUS_ROUTES this deployment answers on, once one has
        headers = {"User-Agent": f"batchcrew/{__version__}", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self._exchange = Exchange(
            settings, self._endpoints.base, headers, concurrency=concurrency, direct=url is not None, warn=warn
        )

    async def __aenter__(self) -> Self:
        base = self._endpoints.base
        if base.scheme == "http" and self._token and not is_loopback(base):
            self._warn(f"crew {self._name}: the token goes to {base.host} unencrypted; use https:// in `url:`")
        await self._exchange.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exchange.close()

    async def inputs(self) -> CrewInputs | Unusable | NotSent | Unclear:
        """What the crew asks for. Unclear where a deployment does not tell; then a kickoff shows what is wrong."""
        url = self._endpoints.inputs
        reply = await self._exchange.ask("GET", url)
        if isinstance(reply, NoReply):
            reason = self._clean(reply.reason)
            if reply.never_sent:
                return NotSent(reason, local=reply.local)
            return Unusable(reason) if reply.refused else Unclear(reason, passing=True)
        if reply.code in STOPS_EVERYTHING:
            return Unusable(stopping(reply.code, self._said(reply), url=str(url)))
        if not reply.good:
            said = f"GET {url} returned {described(reply.code, self._said(reply))}"
            passing = reply.code in REFUSED_FOR_NOW or reply.code >= 500
            return Unclear(said, self._retry_after(reply), passing=passing)
        idempotent = reply.headers.get("Idempotency-Key", "").strip().casefold() == "supported"
        try:
            return dialect.crew_inputs(as_utf8(reply.body, reply.charset), idempotent_kickoff=idempotent)
        except NotUnderstood as error:
            return Unclear(f"GET {url}: {self._clean(str(error))}")

    async def kickoff(self, attempt: Attempt) -> KickoffAnswer:
        """Start the crew once; it is never sent a second time. Nothing that a network or server does is raised."""
        origin = {"batch": attempt.batch, "job": attempt.job_id, "attempt": attempt.attempt_id}
        try:
            body = _json({"inputs": attempt.inputs, "meta": {**attempt.meta, "batchcrew": origin}})
        except (TypeError, ValueError, RecursionError) as error:
            return BadInputs(f"the inputs cannot be written as JSON: {self._clean(str(error))}")
        url = self._kickoff_url
        headers = {"Idempotency-Key": attempt.attempt_id, "Content-Type": "application/json"}
        reply = await self._exchange.ask("POST", url, headers, body)
        if isinstance(reply, NoReply):
            reason = self._clean(reply.reason)
            if reply.never_sent:
                return NotSent(reason, local=reply.local)
            return Unusable(reason) if reply.refused else Doubtful(reason)
        if not reply.good:
            return kickoff_refusal(reply.code, self._said(reply), url=str(url), retry_after=self._retry_after(reply))
        try:
            accepted = Accepted(dialect.kickoff_id(as_utf8(reply.body, reply.charset)))
        except NotUnderstood as error:
            return Doubtful(f"the kickoff was answered with {reply.code}, but {self._clean(str(error))}")
        if self._secret and self._secret in accepted.kickoff_id.encode():
            return Doubtful(f"the kickoff was answered with {reply.code}, but its kickoff_id contains the token")
        if reply.moved_to is not None:
            self._kickoff_url = reply.moved_to
        return accepted

    async def status(self, kickoff_id: str) -> StatusAnswer:
        """How an execution is. Nothing that a network or server does is raised."""
        url = self._endpoints.status(kickoff_id, self._route or 0)
        reply = await self._exchange.ask("GET", url)
        answer = await self._understood(reply)
        if self._route is None and isinstance(reply, Reply):
            if reply.code in {404, 405}:
                return await self._by_the_other_route(kickoff_id, answer)
            if isinstance(answer, Execution):
                self._route = 0
        return answer

    async def _by_the_other_route(self, kickoff_id: str, first: StatusAnswer) -> StatusAnswer:
        """Ask on the second route, as none has ever answered and the first just gave `first` (404 or 405).

        Only a status proves a route. What may hide one (no answer, 5xx, 403 of a gateway) decides nothing;
        anything else there means that the route does not exist, and then a 404 of the first stands.
        """
        reply = await self._exchange.ask("GET", self._endpoints.status(kickoff_id, 1))
        answer = await self._understood(reply)
        if isinstance(reply, NoReply):
            return Unclear(self._clean(reply.reason), local=reply.local)
        if isinstance(answer, Execution):
            if reply.good:
                self._route = 1
                logger.debug("crew %s answers on %s", self._name, STATUS_ROUTES[1])
            return answer
        if reply.code == 403:
            return Unclear(f"both {' and '.join(STATUS_ROUTES)} were tried: {described(403, self._said(reply))}")
        if reply.code in STOPS_EVERYTHING or reply.code in REFUSED_FOR_NOW or reply.code >= 500:
            return answer
        return first

    async def _understood(self, reply: Reply | NoReply) -> StatusAnswer:
        if isinstance(reply, NoReply):
            reason = self._clean(reply.reason)
            return Unusable(reason) if reply.refused else Unclear(reason, local=reply.local)
        if reply.code == 404:
            return dialect.not_found(self._redacted(as_utf8(reply.body, reply.charset)))
        if reply.code in STOPS_EVERYTHING:
            return Unusable(stopping(reply.code, self._said(reply), url=str(self._endpoints.base)))
        if not reply.good:
            said = described(reply.code, self._said(reply))
            return Unclear(f"the status request was answered with {said}", self._retry_after(reply))
        body = self._redacted(as_utf8(reply.body, reply.charset))
        try:
            if len(body) > BIG_ANSWER:
                execution = await asyncio.to_thread(dialect.execution, body)
            else:
                execution = dialect.execution(body)
        except NotUnderstood as error:
            return Unclear(f"the status request was answered with {reply.code}, but {self._clean(str(error))}")
        if not execution.known_word:
            self._warn_of(execution.word)
        return execution

    def _warn_of(self, word: str) -> None:
        if word not in self._warned_words and len(self._warned_words) < MAX_WORD_WARNINGS:
            self._warned_words.add(word)
            self._warn(f"crew {self._name}: unknown status {word!r} is treated as running")

    def _redacted(self, body: bytes) -> bytes:
        """A crew that echoes its request's headers does not bring the token into the ledger."""
        if self._secret and self._secret in body:
            return body.replace(self._secret, REDACTED.encode())
        return body

    def _said(self, reply: Reply) -> str:
        return self._clean(server_words(as_utf8(reply.body, reply.charset)))

    def _clean(self, text: str) -> str:
        return clean(text, secret=self._token)

    def _retry_after(self, reply: Reply) -> float | None:
        return retry_after_seconds(reply.headers, self._clock.now())


def _checked_token(crew: str, settings: CrewSettings, override: str | None) -> str:
    """The token, without the line break that a file or a secret store may have put at its end."""
    token = override
    if token is None and settings.token is not None:
        token = settings.token.get_secret_value()
    token = (token or "").strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(
            f"crew {crew}: the token contains characters that are not allowed in an HTTP header; copy it again"
        )
    return token


def _json(value: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Numbers over 64 bits and half emojis are JSON as well, only not for orjson.
        return json.dumps(value, allow_nan=False).encode()
