"""The client of one deployed crew. It returns every answer, and every failure to get one, as a value.

`exchange` sends requests. The meaning of an answer is in `answers` (codes), `kickoff_answers`, `input_answers` and
`dialect` (payloads), and `failures` (no answer).
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
from batchcrew.crew.exchange import Exchange, NoReply, Reply
from batchcrew.crew.input_answers import crew_inputs
from batchcrew.crew.kickoff_answers import kickoff_id, refusal
from batchcrew.crew.payload import NotUnderstood
from batchcrew.crew.server_text import REDACTED, as_utf8, clean, server_words
from batchcrew.model.attempt import Attempt
from batchcrew.model.crew_answers import (
    Accepted,
    BadInputs,
    CrewInputs,
    Doubtful,
    KickoffAnswer,
    NotSent,
    NotStarted,
    StatusAnswer,
    Unclear,
    Unusable,
)
from batchcrew.model.execution import Execution

logger = logging.getLogger("batchcrew.crew")

BIG_ANSWER = 256 * 1024
"""An answer larger than this (in bytes) is parsed in a thread, so that it does not delay other executions."""
MAX_WORD_WARNINGS = 20
"""Most unknown status words with a warning."""
MIN_SECRET = 8
"""A token shorter than this is not looked for in a crew's results: ordinary text may contain it."""


class CrewClient:
    """The API of one deployed crew. Use it as an async context manager; all executions of a crew share one.

    Args:
        name: the crew's name in the job file, for messages.
        settings: URL, token, timeouts and the largest answer.
        url: URL in place of `settings.location` (the embedded crew of this run); no proxy is used then.
        token: token in place of `settings.token`.
        concurrency: most connections for kickoffs, and as many for status requests.
        clock: the clock that dates of `Retry-After` are compared with.
        warn: receives each warning once: an unknown status word, a token over plain http.

    Raises:
        UsageError: the URL or the token is invalid.
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
        self._route: int | None = None  # the index in STATUS_ROUTES that this deployment answers; None: unknown
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
        """Return the inputs of the crew; `Unclear` if the deployment does not list them."""
        url = self._endpoints.inputs
        reply = await self._exchange.send("GET", url)
        if isinstance(reply, NoReply):
            reason = self._clean(reply.reason)
            if reply.never_sent:
                return NotSent(reason, local=reply.local)
            return Unusable(reason) if reply.refused else Unclear(reason, passing=True)
        if reply.code in STOPS_EVERYTHING:
            return Unusable(stopping(reply.code, self._server_text(reply), url=str(url)))
        if not reply.good:
            reason = f"GET {url} returned {described(reply.code, self._server_text(reply))}"
            passing = reply.code in REFUSED_FOR_NOW or reply.code >= 500
            return Unclear(reason, self._retry_after(reply), passing=passing)
        idempotent = reply.headers.get("Idempotency-Key", "").strip().casefold() == "supported"
        try:
            return crew_inputs(as_utf8(reply.body, reply.charset), idempotent_kickoff=idempotent)
        except NotUnderstood as error:
            return Unclear(f"GET {url}: {self._clean(str(error))}")

    async def kickoff(self, attempt: Attempt) -> KickoffAnswer:
        """Send the kickoff, once. Failures of the network or the server are returned, not raised."""
        origin = {"batch": attempt.batch, "job": attempt.job_id, "attempt": attempt.attempt_id}
        try:
            body = _json({"inputs": attempt.inputs, "meta": {**attempt.meta, "batchcrew": origin}})
        except (TypeError, ValueError, RecursionError) as error:
            return BadInputs(f"the inputs cannot be written as JSON: {self._clean(str(error))}")
        url = self._kickoff_url
        headers = {"Idempotency-Key": attempt.attempt_id, "Content-Type": "application/json"}
        reply = await self._exchange.send("POST", url, headers, body)
        if isinstance(reply, NoReply):
            reason = self._clean(reply.reason)
            if reply.never_sent:
                return NotSent(reason, local=reply.local)
            return Unusable(reason) if reply.refused else Doubtful(reason)
        if not reply.good:
            return kickoff_refusal(
                reply.code, self._server_text(reply), url=str(url), retry_after=self._retry_after(reply)
            )
        answer = as_utf8(reply.body, reply.charset)
        try:
            accepted = Accepted(kickoff_id(answer))
        except NotUnderstood as error:
            why = refusal(answer)
            if why is not None:
                return NotStarted(f"the kickoff was answered with {reply.code} and {self._clean(why)}")
            return Doubtful(f"the kickoff was answered with {reply.code}, but {self._clean(str(error))}")
        if self._secret and self._secret in accepted.kickoff_id.encode():
            return Doubtful(f"the kickoff was answered with {reply.code}, but its kickoff_id contains the token")
        if reply.moved_to is not None:
            self._kickoff_url = reply.moved_to
        return accepted

    async def status(self, kickoff_id: str) -> StatusAnswer:
        """Poll an execution. Failures of the network or the server are returned, not raised."""
        url = self._endpoints.status(kickoff_id, self._route or 0)
        reply = await self._exchange.send("GET", url)
        answer = await self._understood(reply)
        if self._route is None and isinstance(reply, Reply):
            if reply.code in {404, 405}:
                return await self._by_the_other_route(kickoff_id, answer)
            if isinstance(answer, Execution):
                self._route = 0
        return answer

    async def _by_the_other_route(self, kickoff_id: str, first: StatusAnswer) -> StatusAnswer:
        """Poll on the second route, after the first one answered `first` (404 or 405) and neither has answered before.

        Only a status proves that a route exists. An answer that may hide one (none, 5xx, 403 of a gateway) decides
        nothing. Any other answer means that the second route does not exist, and then `first` counts.
        """
        reply = await self._exchange.send("GET", self._endpoints.status(kickoff_id, 1))
        answer = await self._understood(reply)
        if isinstance(reply, NoReply):
            return Unclear(self._clean(reply.reason), local=reply.local)
        if isinstance(answer, Execution):
            if reply.good:
                self._route = 1
                logger.debug("crew %s answers on %s", self._name, STATUS_ROUTES[1])
            return answer
        if reply.code == 403:
            return Unclear(f"both {' and '.join(STATUS_ROUTES)} were tried: {described(403, self._server_text(reply))}")
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
            return Unusable(stopping(reply.code, self._server_text(reply), url=str(self._endpoints.base)))
        if not reply.good:
            reason = described(reply.code, self._server_text(reply))
            return Unclear(f"the status request was answered with {reason}", self._retry_after(reply))
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
        """Remove the token, so that a crew that repeats its request's headers does not bring it into the ledger."""
        if self._secret and self._secret in body:
            return body.replace(self._secret, REDACTED.encode())
        return body

    def _server_text(self, reply: Reply) -> str:
        return self._clean(server_words(as_utf8(reply.body, reply.charset)))

    def _clean(self, text: str) -> str:
        return clean(text, secret=self._token)

    def _retry_after(self, reply: Reply) -> float | None:
        return retry_after_seconds(reply.headers, self._clock.now())


def _checked_token(crew: str, settings: CrewSettings, override: str | None) -> str:
    """Return the token, without the line break that a file or a secret store may have added.

    Raises:
        UsageError: it contains characters that are not allowed in a header.
    """
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
        # Numbers over 64 bits and halves of surrogate pairs are valid JSON, but not for orjson.
        return json.dumps(value, allow_nan=False).encode()
