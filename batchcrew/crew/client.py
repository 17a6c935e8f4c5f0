"""The client of one deployed crew. It returns every answer, and every failure to get one, as a value.

`exchange` sends requests. The meaning of an answer is in `answers` (codes), `kickoff_answers`, `input_answers` and
`dialect` (payloads), and `failures` (no answer).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from multidict import CIMultiDict

from batchcrew import __version__
from batchcrew.base.clock import Clock
from batchcrew.config.crews import CrewSettings, RemoteCrew
from batchcrew.crew import dialect, resume_answers
from batchcrew.crew.answers import (
    REFUSED_FOR_NOW,
    STOPS_EVERYTHING,
    described,
    kickoff_refusal,
    retry_after_seconds,
    stopping,
)
from batchcrew.crew.connect import STATUS_ROUTES, Endpoints, is_loopback
from batchcrew.crew.credentials import checked_headers, checked_token
from batchcrew.crew.exchange import Exchange, NoReply, Reply
from batchcrew.crew.extras import WEBHOOK_URLS, KickoffExtras, no_extras, refused_extras_hint
from batchcrew.crew.input_answers import crew_inputs
from batchcrew.crew.kickoff_answers import accepted, refusal, surely_kickoff_id
from batchcrew.crew.kickoff_results import expected_result, unexpected_result
from batchcrew.crew.payload import NotUnderstood
from batchcrew.crew.request_json import request_json
from batchcrew.crew.secrets import Secrets
from batchcrew.crew.server_text import as_utf8, server_words
from batchcrew.crew.webhook_bodies import crew_execution
from batchcrew.model.attempt import Attempt
from batchcrew.model.crew_answers import (
    Accepted,
    BadInputs,
    CrewInputs,
    Doubtful,
    Finished,
    KickoffAnswer,
    NotSent,
    NotStarted,
    ResumeAnswer,
    StatusAnswer,
    Unclear,
    Unusable,
)
from batchcrew.model.execution import Execution
from batchcrew.model.waits import Decision

logger = logging.getLogger("batchcrew.crew")
T = TypeVar("T")

BIG_ANSWER = 256 * 1024
"""An answer larger than this (in bytes) is parsed in a thread, so that it does not delay other executions."""
MAX_WORD_WARNINGS = 20
"""Most unknown status words with a warning."""
MAX_KEPT = 64 * 1024
"""Most characters that are kept of an answer that was not understood."""
_ORDINARY = RemoteCrew.model_construct(url="")
"""How batchcrew calls the servers that it starts."""


@dataclass(frozen=True, slots=True)
class ClientParts:
    """The parts of a client that know its server."""

    endpoints: Endpoints
    exchange: Exchange
    secrets: Secrets
    token_header: str | None
    """The header that carries the token; None: the crew has no token."""


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
        self._settings = settings
        self._kickoff_url = self._endpoints.kickoff
        self.extras: KickoffExtras = no_extras
        """Further fields of the bodies of kickoffs: the URLs of webhooks."""
        self._token = checked_token(name, settings, token)
        self._http = settings if isinstance(settings, RemoteCrew) else _ORDINARY
        self._own_headers = checked_headers(name, self._http)
        self._secrets = Secrets(self._token, self._own_headers)
        self._clock = clock
        self._warn = warn
        self._warned_words: set[str] = set()
        self._route: int | None = None  # the index in STATUS_ROUTES that this deployment answers; None: unknown
        headers = CIMultiDict({"User-Agent": f"batchcrew/{__version__}", "Accept": "application/json"})
        headers.update(self._own_headers)
        if self._token:
            auth = self._http.auth
            headers[auth.header] = f"{auth.scheme} {self._token}".strip()
        self._exchange = Exchange(
            settings,
            self._endpoints.base,
            headers,
            concurrency=concurrency,
            direct=url is not None,
            warn=warn,
            cookies=self._http.cookies,
        )

    def widen(self, concurrency: int) -> None:
        """Allow as many connections as a higher concurrency needs."""
        self._exchange.widen(concurrency)

    @property
    def answers_with_results(self) -> bool:
        """Whether a kickoff is answered with the result, after as long as the execution takes (`crew.sync`)."""
        return self._http.sync

    @property
    def requests_webhooks(self) -> bool:
        """Whether kickoffs name webhooks, if the job file requests them."""
        return self._settings.webhooks and not self._http.sync

    @property
    def status_path(self) -> str | None:
        """The path on which this deployment has answered status requests; None: not known yet."""
        return None if self._route is None else STATUS_ROUTES[self._route]

    @property
    def parts(self) -> ClientParts:
        """The parts that `examination.py` needs for requests that no run sends."""
        header = self._http.auth.header if self._token else None
        return ClientParts(self._endpoints, self._exchange, self._secrets, header)

    async def __aenter__(self) -> Self:
        base = self._endpoints.base
        if base.scheme == "http" and (self._token or self._own_headers) and not is_loopback(base):
            what = "the token is sent" if self._token else "the headers are sent"
            self._warn(f"crew {self._name}: {what} to {base.host} unencrypted; use https:// in `url:`")
        await self._exchange.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exchange.close()

    async def inputs(self) -> CrewInputs | Unusable | NotSent | Unclear:
        """Return the inputs of the crew; `Unclear` if the deployment does not list them."""
        return self.inputs_in(await self._exchange.get(self._endpoints.inputs))

    def inputs_in(self, reply: Reply | NoReply) -> CrewInputs | Unusable | NotSent | Unclear:
        """Return the meaning of an answer to `GET /inputs`; see `inputs`."""
        url = self._endpoints.inputs
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
        body = as_utf8(reply.body, reply.charset)
        try:
            found = crew_inputs(body, idempotent_kickoff=idempotent)
        except NotUnderstood as error:
            return Unclear(f"GET {url}: {self._clean(str(self._mistake(crew_inputs, body, error)))}")
        if any(self._secrets.are_in(f"{entry.name} {entry.type}") for entry in found.inputs):
            return Unclear(f"GET {url}: the list of inputs contains the token")
        return found

    async def kickoff(self, attempt: Attempt, *, within: float | None = None) -> KickoffAnswer:
        """Send the kickoff, once. Failures of the network or the server are returned, not raised.

        Args:
            within: seconds that a server may take which answers with the result; None: as for other servers.
        """
        taken = sorted(self._http.reserved_inputs & attempt.inputs.keys())
        if taken:
            return BadInputs(f"`body: flat` reserves the name of the input {taken[0]!r}; use `inputs:` to rename it")
        extras = self.extras(attempt.attempt_id)
        try:
            body = request_json({**self._kickoff_body(attempt), **extras})
        except (TypeError, ValueError, RecursionError) as error:
            return BadInputs(f"the inputs cannot be written as JSON: {self._clean(str(error))}")
        url = self._kickoff_url
        headers = {"Idempotency-Key": attempt.attempt_id, "Content-Type": "application/json"}
        reply = await self._exchange.post(url, headers, body, within=within if self._http.sync else None)
        if isinstance(reply, NoReply):
            return self._unanswered(reply)
        if not reply.good:
            text = self._server_text(reply) + refused_extras_hint(extras, reply.body)
            return kickoff_refusal(reply.code, text, url=str(url), retry_after=self._retry_after(reply))
        answer = as_utf8(reply.body, reply.charset)
        understood = await self._answer_of(answer, reply.code)
        if reply.moved_to is not None and isinstance(understood, Accepted | Finished):
            self._kickoff_url = reply.moved_to
        return understood

    def _kickoff_body(self, attempt: Attempt) -> dict[str, Any]:
        body = dict(attempt.inputs) if self._http.body == "flat" else {"inputs": attempt.inputs}
        if self._http.meta:
            origin = {"batch": attempt.batch, "job": attempt.job_id, "attempt": attempt.attempt_id}
            body["meta"] = {**attempt.meta, "batchcrew": origin}
        return body

    async def resume(self, attempt: Attempt, task_id: str, decision: Decision) -> ResumeAnswer:
        """Send human input to a paused execution, once. Failures are returned, not raised.

        Args:
            attempt: the one that started the execution.
            task_id: the task that waits for it.
        """
        extras = self.extras(attempt.attempt_id)
        body = {
            "execution_id": attempt.kickoff_id,
            "task_id": task_id,
            "human_feedback": decision.feedback,
            "is_approve": decision.approve,
            **{name: extras[name] for name in WEBHOOK_URLS if name in extras},
        }
        url = self._endpoints.resume
        reply = await self._exchange.post(url, {"Content-Type": "application/json"}, request_json(body), within=None)
        if isinstance(reply, NoReply):
            return self._unanswered(reply)
        if reply.good:
            return resume_answers.resumed(self._secrets.redacted(as_utf8(reply.body, reply.charset)))
        return resume_answers.refused(
            reply.code, self._server_text(reply), url=str(url), retry_after=self._retry_after(reply)
        )

    def _unanswered(self, reply: NoReply) -> NotSent | Unusable | Doubtful:
        """Return the meaning of a POST that got no answer."""
        reason = self._clean(reply.reason)
        if reply.never_sent:
            return NotSent(reason, local=reply.local)
        return Unusable(reason) if reply.refused else Doubtful(reason)

    async def _answer_of(self, answer: bytes, code: int) -> KickoffAnswer:
        """Return the meaning of an answer to a kickoff with a success code."""
        said = f"the kickoff was answered with {code}"
        if self._http.sync:
            try:
                ended = await self._read(expected_result, answer)
            except NotUnderstood as error:
                return self._without_execution(said, answer, error)
            if ended is not None:
                return self._finished(ended, answer)
        try:
            found = accepted(answer)
        except NotUnderstood as error:
            ended = None if self._http.sync else await self._read(unexpected_result, answer)
            if ended is not None:
                return self._finished(ended, answer)
            return self._without_execution(said, answer, self._mistake(accepted, answer, error))
        if self._secrets.are_in(found.kickoff_id):
            return Doubtful(f"{said}, but its kickoff_id contains the token")
        return found

    def _without_execution(self, said: str, answer: bytes, error: NotUnderstood) -> NotStarted | Doubtful:
        """Return the meaning of an answer that has neither an id nor a result."""
        why = refusal(self._secrets.redacted(answer))
        if why is not None:
            return NotStarted(f"{said} and {self._clean(why)}")
        return Doubtful(f"{said}, but {self._clean(str(error))}", self._kept(answer))

    def _mistake(self, read: Callable[[bytes], object], answer: bytes, error: NotUnderstood) -> NotUnderstood:
        """Return the error of reading an answer, without secrets; the error's text may end inside a secret."""
        try:
            read(self._secrets.redacted(answer))
        except NotUnderstood as redacted:
            return redacted
        return error

    def _finished(self, execution: Execution, answer: bytes) -> Finished:
        kickoff_id = surely_kickoff_id(answer)
        return Finished(execution, None if kickoff_id and self._secrets.are_in(kickoff_id) else kickoff_id)

    async def _read(self, read: Callable[[bytes], T], answer: bytes) -> T:
        """Return what `read` makes of an answer without secrets; a large one is read in a thread."""
        body = self._secrets.redacted(answer)
        return await asyncio.to_thread(read, body) if len(body) > BIG_ANSWER else read(body)

    def is_secret(self, kickoff_id: str) -> bool:
        """Return whether a kickoff id, which a webhook named, contains the token or a credential."""
        return self._secrets.are_in(kickoff_id)

    def reported(self, body: str) -> Execution | None:
        """Return the execution that a crew webhook reports; None if it reports neither a state nor a result."""
        try:
            return crew_execution(self._secrets.redacted(body.encode()))
        except NotUnderstood:
            return None

    async def status(self, kickoff_id: str) -> StatusAnswer:
        """Poll an execution. Failures of the network or the server are returned, not raised."""
        url = self._endpoints.status(kickoff_id, self._route or 0)
        reply = await self._exchange.get(url)
        answer = await self.status_in(reply)
        if self._route is None and isinstance(reply, Reply):
            if reply.code in {404, 405}:
                return await self._by_the_other_route(kickoff_id, answer)
            if isinstance(answer, Execution):
                self._route = 0
        return answer

    async def _by_the_other_route(self, kickoff_id: str, first: StatusAnswer) -> StatusAnswer:
        """Poll on the second route, after the first one answered `first` (404 or 405) and neither has answered before.

        Only a status proves that a route exists. An answer that may hide a status (no answer, 5xx, or a gateway's 403)
        does not decide which route exists. Any other answer means that the second route does not exist, and then
        `first` counts.
        """
        reply = await self._exchange.get(self._endpoints.status(kickoff_id, 1))
        answer = await self.status_in(reply)
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

    async def status_in(self, reply: Reply | NoReply) -> StatusAnswer:
        """Return the meaning of an answer to a status request."""
        if isinstance(reply, NoReply):
            reason = self._clean(reply.reason)
            return Unusable(reason) if reply.refused else Unclear(reason, local=reply.local)
        if reply.code == 404:
            return dialect.not_found(self._secrets.redacted(as_utf8(reply.body, reply.charset)))
        if reply.code in STOPS_EVERYTHING:
            return Unusable(stopping(reply.code, self._server_text(reply), url=str(self._endpoints.base)))
        if not reply.good:
            reason = described(reply.code, self._server_text(reply))
            return Unclear(f"the status request was answered with {reason}", self._retry_after(reply))
        body = as_utf8(reply.body, reply.charset)
        try:
            execution = await self._read(dialect.execution, body)
        except NotUnderstood as error:
            reason = f"the status request was answered with {reply.code}, but {self._clean(str(error))}"
            return Unclear(reason, body=self._kept(body))
        if not execution.known_word:
            self._warn_of(execution.word)
        return execution

    def _warn_of(self, word: str) -> None:
        if word not in self._warned_words and len(self._warned_words) < MAX_WORD_WARNINGS:
            self._warned_words.add(word)
            self._warn(f"crew {self._name}: unknown status {word!r} is treated as running")

    def _kept(self, answer: bytes) -> str:
        """Return the beginning of an answer that was not understood, without secrets."""
        return self._secrets.redacted(answer).decode("utf-8", "replace")[:MAX_KEPT]

    def _server_text(self, reply: Reply) -> str:
        return self._clean(server_words(as_utf8(reply.body, reply.charset)))

    def _clean(self, text: str) -> str:
        return self._secrets.clean(text)

    def _retry_after(self, reply: Reply) -> float | None:
        return retry_after_seconds(reply.headers, self._clock.now())
